// Package pty starts one program on a terminal or on pipes, as a user, and ends
// it whole. It is implemented on Linux; elsewhere the package is empty.
//
// # What it owns
//
// The terminal's master or the pipes, the program's exit status, its processes
// and, where there is one, its cgroup. [Parent.Start] makes a [Process] of a
// [Spec]; [Process.End] ends everything it started; [Process.Close] gives all
// back, or [Process.Release] all but processes that may stay.
//
// # How a program is started
//
// The process forks itself under the name [HelperName], in a session of its own,
// with the terminal as its controlling one and in its cgroup from the first
// instruction. The helper, [HelperMain], reads its order from a pipe (never from
// arguments or environment, which others can read), marks every other
// descriptor close-on-exec, begins an audit session, takes back a protection
// from the out-of-memory killer, sets the umask, becomes the account (groups,
// group, user, capabilities, keyring), enters the working directory, resets all
// signals and executes the program. A step that fails is reported through a
// second pipe and is the [StartError] that Start returns; its end without a
// report means that the program runs.
//
// # How a session is ended
//
// With a cgroup its members are the session, and with them what systemd-logind
// moved out for a login inside it. Without one, members are found again and
// again by the session of the leader and those begun in it, by the number for
// audit, by the marker [Marker] in the environment, and by descent; when this
// process is the subreaper of its descendants ([SetSubreaper]) nothing that
// descends from it escapes, and nothing that does not is touched. What was
// handed to another manager (at, systemd-run, docker) is not part of a session.
//
// # Handing over
//
// A program may execute another in its own process, which goes on as the parent:
// [Parent.Freeze] stops starts and reaping, [Frozen.Export] describes a Process,
// and in the new program [Parent.Restore] takes it over, by its number and start
// time, after checking that it is its child and that the descriptors are a
// terminal's master or pipes. What cannot be taken over is ended by
// [Parent.Abolish]. [LeaveCgroup] moves this process out of the group that it was
// started in, into one of its own beside it.
//
// # Invariants
//
//   - The leader is reaped after its session is torn down, not when it ends:
//     until then its number, which names its session and process group too,
//     cannot come to mean another process. Signals to what a scan found go
//     through a pidfd, after it was recognised once more.
//   - While frozen nobody reaps: an exit status is found by this program or by the
//     next one.
//   - Between fork and registration nobody reaps ([Parent]), so that an exit
//     status is never taken by [Parent.ReapOrphans].
//   - What the program reads and writes is blocking; what this process holds is
//     not, so that deadlines work and Close wakes readers and writers.
//   - Arguments, environment and data are never in an error or a log; a failed
//     start names the program's file, the directory or the account.
//
// # What it refuses
//
// A program without a name, a NUL byte in any text, a session name that is not
// safe in a file name, a relative working directory, the ids that system calls
// take for "unchanged". [Account.CheckLogin] refuses accounts that may not log in.
//
// # Goroutines
//
// One per Process, also a restored one, which waits for the leader; it ends when the leader has ended
// and End, Release or Close was called. [Parent.ReapOrphans] runs in its
// caller's and ends with its context.
package pty
