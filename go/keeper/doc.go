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
// What became of input, for a recording that must not hold what was hidden,
// stands in the ring's header: ranges of offsets, and whether the terminal echoed
// before and after they were written to it. See [Session.Echo] for its limits.
//
// # Upgrade
//
// A daemon of another version, or of another executable file, asks the keeper to
// become that program ([ConnectOptions], [Keeper.Upgrade]): execve(2) in the same
// process, which stays the parent of every shell, and keeps its cgroup, limits,
// score for the out-of-memory killer and being a subreaper. The program's file
// comes as a descriptor, so that what was asked is what is executed.
//
// First the program is run with [ProbeArgument] and says which versions of the
// state it reads, and for which folder its arguments are. Any doubt means that
// the old program stays. Then everything comes to rest: no connection is
// accepted, those that wait are the kernel's; what daemons had put into their
// sockets is taken; pumps, writers and lives of sessions park (freeze). A byte is
// then in the ring or still in the terminal, in the queue or written. Nobody
// reaps, so that a program that ends meanwhile is found as a zombie. The state
// goes to a sealed memory file with a version; only the descriptors in it, and it
// itself, lose their close-on-exec flag, just before execve. When execve fails
// all of that is undone (thaw) and the old program goes on.
//
// The new program decodes strictly, checks each descriptor, process and cgroup
// for being what the state says, and registers all programs before it reaps the
// first orphan. A session that it cannot take over is ended and logged; the
// others live. Terminal signals and SIGTERM are blocked from before execve until
// the new program listens to them. Time left to a session without a daemon runs
// on. An ending under way begins again with HUP, and counts survivors anew.
//
// # Cgroups
//
// A supervisor kills a daemon with its whole cgroup by default. The keeper
// therefore leaves it when it starts: under systemd, as root, for a transient
// scope etcha-keeper-PID-START.scope with delegation; where there is no systemd,
// for a cgroup v2 of that name beside the daemon's (and likewise in the first
// version's hierarchy name=systemd). Sessions' groups are below the keeper's. In
// the topmost group that can be seen, without the right to make another, and
// under systemd without root, it stays; that is logged at debug level. The
// controllers of the first version are left alone: they limit, nobody kills by
// them. The keeper's own group survives an upgrade, as its name does; one that a
// dead keeper left is swept by the next one that starts beside it.
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
//   - What a daemon has put into its socket counts, also when it is dead, and when
//     an answer cannot be sent to it any more.
//   - An upgrade that fails before execve changes nothing but connections.
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
// by Main; timers; while an upgrade is undone one per session, until it has parked.
// In the daemon: one per connection, ended by [Keeper.Close] and
// [Session.Release] or the loss of the keeper; one that waits for the end of a
// keeper that this process started, which ends with that keeper alone.
package keeper
