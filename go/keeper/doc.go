// Package keeper is the process that holds the shells of a node, and the
// daemon's side of the socket to it.
//
// The keeper is the parent of every shell. It owns the terminals, the output
// rings, the input offsets, the sequence numbers of control operations and the
// exit statuses, and it has no network code. The daemon may be restarted,
// upgraded or killed at any moment: the next one finds the keeper and goes on
// where the offsets say, without a byte lost or doubled. Only the keeper's own
// death ends sessions.
//
// The program runs [Main] as the keeper. A daemon uses [Connect], which starts
// one where there is none, and handles of type [Session].
//
// # What travels
//
// The two talk over a Unix socket in the state folder, which only the same user
// and root may use, checked by both sides. One connection belongs to the daemon,
// one more to each session; a connection that breaks is how either learns that
// the other is gone. Frames are bounded; unknown ones are refused or skipped, and
// the first exchange compares versions, as a newer daemon must be able to talk to
// the keeper that an older one started.
//
// Output goes through shared memory: the keeper reads the program's output
// straight into a ring that the daemon maps read-only. The daemon's few words
// (acknowledged, flight, what it waits for) stand in a page of their own, which
// the keeper never trusts: they are clamped, and the numbers that count are the
// keeper's. A frame without content, a poke, tells either side that a word
// changed, and only when it said that it waits.
//
// Input is a frame without an answer. What the socket has taken the keeper will
// apply, also when the daemon is dead by then, so the daemon counts it as
// accepted; an adopted session is drained of the earlier daemon's frames before
// the next daemon learns its offsets.
//
// # Invariants
//
//   - No byte in [acked, head) is overwritten; the program waits instead, except
//     in a Discard session that nobody reads, where it is counted.
//   - Each input byte is written to the program once, in order, or dropped after
//     the program has ended or closed its input.
//   - An exit is published after all of the output that comes before it, and the
//     end of a session after all of its processes are gone.
//   - Nothing waits for the program but goroutines of its own session.
//   - One keeper per state folder: a lock on keeper.lock, held until the socket is
//     gone.
//
// It refuses peers of other users, frames beyond their bounds, input that does
// not follow on what was accepted or exceeds [wire.InputWindow] (that breaks the
// connection: a daemon checks before), and state folders that are not absolute.
//
// # Goroutines
//
// In the keeper: one accepts; one per connection; per session one for its life,
// one per output stream, and one that writes input while the program does not
// take it at once, all ended by the session's end; one that reaps orphans, ended
// by Main; timers. In the daemon: one per connection, ended by [Keeper.Close] and
// [Session.Release] or the loss of the keeper; one that waits for the end of a
// keeper that this process started, which ends with that keeper alone.
package keeper
