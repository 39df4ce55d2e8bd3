// Package cli is the program: its subcommands, flags, messages, and the
// terminal of an interactive shell.
//
// It owns what a person sees: help, `error:` and `hint:` lines on stderr, exit
// statuses, colours (only on a terminal, never with NO_COLOR), raw mode and the
// escape sequences of `etcha shell`. It decides nothing about access: that is
// the node's part. [Run] returns the exit status; nothing here ends the process.
//
// Invariants:
//
//   - A terminal that was made raw is restored on each way out: return, error,
//     signal, and a panic in a goroutine of this package.
//   - Secrets (private keys, passphrases, tokens, what is typed) are never in
//     argv, logs or messages, except the key that generate-keys was asked for.
//   - With a command's own output on stdout, everything meant for the person
//     goes to stderr.
//
// Goroutines: `etcha shell` starts one reader of stdin, one sender, and one for
// signals and the window's size; all are owned by the session of that command,
// which ends them before it returns. Only the reader may stay behind, blocked
// in a read of stdin that nothing can wake; it touches nothing any more.
// `etcha demo` starts one per child process and waits for it.
//
// The node's commands (run, keeper, node, demo) exist on Linux only; elsewhere
// they say so.
package cli
