// Package session is a remote shell's life as the daemon sees it. The program,
// its terminal, its output and the count of its input are the keeper's; this
// package decides who may act in a session, puts input in order, writes the
// event stream, measures the path, and ends sessions when their time has come.
//
// It refuses to start anything without a grant of package authz, and anything in
// a session to a key that is neither the opener's nor the session's own: that is
// answered as if there were no such session. Operations in a session that has
// ended are refused as ended to its own keys, and never reach a program again.
//
// # Life
//
// A session is live until the keeper says that everything of it is gone, over
// until its exit was written to a stream or nobody came for it, and then
// remembered: its keys, its exit and the last unacknowledged output, for some
// minutes and within a bound, so that a client whose connection broke at the
// very end still learns how it ended.
//
// A daemon that leaves ([Registry.Drain]) gives its sessions to the keeper; the
// next one finds them ([Registry.Restore]) and decides about each again, as
// [Registry.Recheck] does when the configuration changes.
//
// # Streams
//
// One stream at a time belongs to a session; a new one takes over and the old
// one ends with the event "replaced". The stream is written by the goroutine
// that calls [Session.Stream] and by no other. Output is sent as it comes; no
// timer stands in the way of an echo. The exit is the last event, after all
// output.
//
// # Goroutines
//
// One per session, which ends with the session, or when the registry is drained
// or stopped; both wait for it. Timers are callbacks that only wake somebody.
//
// # Locks
//
// Registry.mu is never held while a session's lock is taken. In a session,
// attaching comes before mu, and typing is never held together with either.
//
// # Secrets
//
// What the keeper is given to remember holds no argument and no environment; no
// log line holds them, nor keystrokes nor output.
package session
