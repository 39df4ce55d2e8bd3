// Package session is a remote shell's life as the daemon sees it. The program,
// its terminal, its output and the count of its input are the keeper's; this
// package decides who may act in a session, puts input in order, writes the
// event streams, has sessions recorded, measures the path, and ends sessions when
// their time has come.
//
// It refuses to start anything without a grant of package authz, and anything in
// a session to a key that is none of [Session.Keys]: that is answered as if there
// were no such session. Operations in a session that has ended are refused as
// ended to its own keys, and never reach a program again.
//
// # Life
//
// A session is live until the keeper says that everything of it is gone, over
// until its exit was written to the owner's stream or nobody came for it, and its
// recording is complete, and then remembered: its keys, its exit, why it had to
// end and the last unacknowledged output, for some minutes and within a bound, so
// that a client whose connection broke at the very end still learns how it ended.
//
// A daemon that leaves ([Registry.Drain]) gives its sessions to the keeper; the
// next one finds them ([Registry.Restore]) and decides about each again, as
// [Registry.Recheck] does when the configuration changes. One that is no longer
// permitted ends, and its client is told why, also when it comes later.
//
// # Who has a session
//
// Its opener, until another key that the policy permits attaches: that one is the
// owner then. The owner's acknowledgements alone let output go, and the owner's
// own numbering of input and operations is the one that the first event, answers
// and input events are in. A new owner goes on where the last one's was accepted.
// What the one before had sent early is forgotten, and nothing it has under way
// is applied after the next was told where to go on.
//
// Others watch, or join and type too, each with a key and a numbering of its own;
// they come and go with their streams, and do not outlast the daemon. Everybody
// attached is told who comes and who leaves, and whoever attaches who is there.
//
// # Input of several
//
// The keeper has one count of input and one of control operations. Those of who
// joined are taken off for the owner: before each request of theirs is given to
// the keeper, the keeper has been told (in the session's record) from which count
// on how much is theirs. Wherever a daemon dies, the count that the keeper has
// tells the next one how much of that was done; and where some was not, the record
// is set right before the owner's next byte. The owner's input costs nothing.
//
// # Streams
//
// One stream at a time belongs to the owner; a new one takes over and the old one
// ends with the event "replaced". Each stream is written by the goroutine that
// calls [Session.Stream] or [Viewer.Stream] and by no other. Output is sent as it
// comes; no timer stands in the way of an echo, and no other goroutine in that of
// the owner's: see readers. The exit is the last event, after all output, and
// waits for no recording. Viewers hold nothing up: who is too slow is told of a
// gap.
//
// # Rhythm
//
// What hides when somebody types is in rhythm_linux.go. A decoy goes no further
// than that: neither the keeper nor the count of input nor the idle timeout knows
// of it, and a client draws a bounded number. On the beat the streams of all who
// are attached send one burst on each beat of their own, from the first input until
// none has come for a while, and inputs are answered after a fixed time, since the
// keeper takes a key and no decoy. While nobody types there is no beat and no timer.
//
// # Recordings
//
// A session that has to be recorded is not started before its recording was
// created, and ends when that fails. What is recorded of a session is as it was
// when it was opened, whatever the configuration says later. The keeper gives up
// no output before it is both acknowledged and recorded, so that the next daemon
// goes on with the recording where this one stops. Input is kept in memory until
// the keeper tells whether the terminal echoed it; what was hidden is overwritten
// and what a daemon that dies had not recorded is not recorded.
//
// # Goroutines
//
// One per session, which ends with the session, or when the registry is drained
// or stopped; both wait for it. One more for each recording, which the first
// waits for. Timers are callbacks that only wake somebody.
//
// # Locks
//
// Registry.mu is never held while a session's lock is taken. In a session, the
// order is attaching, typing.mu, controls.mu, saving, mu; observing before mu,
// and acks.mu and recording.mu after all.
//
// # Secrets
//
// What the keeper is given to remember holds the arguments and variables that
// rules are asked about, in its memory alone; no log line holds them, nor
// keystrokes nor output.
package session
