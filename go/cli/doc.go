// Package cli is the program: its subcommands, flags, messages, and the
// terminal of an interactive shell.
//
// It owns what a person sees: help, `error:` and `hint:` lines on stderr, exit
// statuses, colours (only on a terminal, never with NO_COLOR), raw mode, the
// escape sequences of `etcha shell`, and the line that says that a connection is
// lost. It decides nothing about access: that is the node's part. [Run] returns the exit status; nothing here ends the process.
//
// Invariants:
//
//   - A terminal that was made raw is restored on each way out: return, error,
//     signal, and a panic in a goroutine of this package.
//
//   - Secrets (private keys, passphrases, tokens, what is typed) are never in
//     argv, logs or messages, except the key that generate-keys was asked for.
//
//   - With a command's own output on stdout, everything meant for the person
//     goes to stderr.
//
//   - Between two writes of a program's output something else is written to the
//     terminal (the status line) only with the cursor's place and colours kept,
//     and what it cut in two is written once more.
//
//   - Output that was meant for another terminal, what a guest sees and what is
//     shown at an attach, makes ours answer nothing.
//
// Goroutines: `etcha shell` and `etcha attach` start a reader of stdin, a sender,
// one that watches signals, one for the window's size, one for the status line
// and one that waits for the session's end; all belong to the session (remote)
// and end with it. The reader may stay behind, blocked in a read of stdin that
// nothing can wake, and so may, when a network is gone and the person does not
// wait, a call to the node; neither touches the terminal any more. `etcha
// sessions` asks nodes from one goroutine each, and with -f follows them so, until
// it ends. `etcha demo` starts one for each child process and waits for it. A
// question on the terminal has one that watches signals meanwhile.
//
// The node's commands (run, keeper, node, demo) exist on Linux only; elsewhere
// they say so.
package cli
