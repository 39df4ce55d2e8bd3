// Package command runs lists of commands: check, change, remove.
//
// It owns what a list means ([Decode], [Compile], [List.Run]), how the levels of
// an exec merge ([Merge]), and how a script becomes a process ([Process],
// [Shells]). Where a list comes from, what is kept of a run and what is shown of
// it is the caller's: everything is told through [Options.Observe],
// [Options.Emit] and [Result]. Nothing is logged.
//
// # What is left open elsewhere, and chosen here
//
//   - A null in a list is an empty list, a null field is unset.
//   - An on… target may match siblings on the wrong side, and the command itself,
//     as long as it matches one that it can reach; those are left out.
//   - A group that is a target triggers each of its children.
//   - Only paths of commands are filtered; a command that the filter leaves out
//     cannot be triggered and sets no variables.
//   - A command that is due but has no script for the mode does nothing and
//     triggers nothing.
//   - A check that cannot start, or takes too long, is a failure of its command and
//     not a failed check: it says nothing about what is due. In check mode the
//     list goes on after it, as an earlier change may be what is missing.
//   - After a failure, first the targets of onFail run, each with its check, then
//     what is always, also inside later groups, each in the order of the mode.
//     Triggers between commands count no more; events do. In remove mode targets
//     of onFail run their change, what is always its remove.
//   - A group with a failed child still fires when another child changed. The
//     output of its events is that of its children, a line each.
//   - Check mode emits no events.
//   - A cancelled run stops at once: no onFail, nothing that is always.
//   - [Options.Timeout] is for each script.
//
// # Variables
//
// P_CHECK, P_CHANGE and P_REMOVE are 1 when that script ran and exited with 0,
// else 0. The variables of a prefix are set after each script of its command, so
// that a change sees its own check; all seven are set, also when nothing ran.
// _CHECK, _CHANGE and _REMOVE are set when a command has finished, with or without
// a prefix, and tell of the one before; what the filter leaves out and groups are
// none. NUL bytes are left out of values.
//
// ${NAME} is replaced as text, whatever it holds and whatever quotes stand
// around it, by what commands left and the env of the exec. A script for a shell
// that uses output which others control says "$NAME", which the shell expands
// itself, and is not open to being changed by it. $${NAME} becomes ${NAME}.
//
// # Processes
//
// A script is the last argument of exec.command, in a session of its own without
// a terminal. Programs are looked up in the script's PATH, relative entries left
// out. Output is stdout and stderr through one pipe, the last [MaxOutput] bytes
// kept and white space trimmed at both ends. It is read until nothing holds it,
// at most 500 ms after the script ended; what a script leaves in the background
// stays. The end of the context kills the session, what descends from it and its
// container; what became a daemon before, in a session of its own and with its
// parent gone, stays. Elsewhere than on Linux the process group is killed.
//
// With user or group this process must be root, or sudo set. sudo -E is used
// only where this process is not root's; it keeps what sudo's policy lets it keep.
//
// A container is run by docker, else podman, as run -i --rm with a name of its
// own, by which it is removed when it is killed. user, group, sudo and workDir
// are for the client of the engine. Values of variables reach it through its
// environment, not its arguments, but for names that mean something to the
// client itself, such as DOCKER_HOST.
//
// # Long-lived shells
//
// On Linux, [Shells] runs checks for bash in subshells of one bash, which saves
// starting one each. What could tell the difference is run as a process: stdin,
// sudo where not root, containers, options other than errexit, nounset, noglob
// and pipefail, an environment that bash itself acts upon, and scripts that name
// what belongs to the shell ($$, BASH…, set, kill, lists of processes, anything
// in the background; see odd). A check whose shell died, and one with a mistake in
// its syntax, is run again as a process. What is left different: the order in
// which the environment is listed, and a line about it in the output when a signal
// ends the one program that a script is.
//
// # Invariants
//
//   - Nothing runs before the whole list and each of its execs is without mistake.
//   - Check mode runs checks only. A change is run at most once for each command.
//   - Scripts reach a shell as bytes that end with NUL, which a script cannot
//     hold; nothing is quoted.
//   - Environment and stdin are never in an error; of a script's output its last
//     lines are, which is what they are for.
//
// # Goroutines
//
// [List.Run] runs in its caller's. While a script runs as a process there are those
// of os/exec, which end with it; when a context ends, one that kills, which the
// runner waits for. [Shells] has processes, which Close ends, and no goroutines.
package command
