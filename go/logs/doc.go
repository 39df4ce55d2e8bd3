// Package logs makes the program's [slog.Logger]: the formats human, kv
// (logfmt) and json, the levels debug, info, warn, error and none.
//
// It owns how a record looks on its way out, nothing else: what is logged, and
// where it goes, is the caller's. One record is one line and one Write. Whatever
// a message, key or value contains, no control character and no other rune that
// does not print (C0, DEL, C1, bidirectional overrides, line separators) leaves
// as it is, so that a value can neither forge a line nor drive the terminal that
// shows it; the escape sequences of the colours are the only exception, and only
// when colour was asked for.
//
// A type that is secret implements [slog.LogValuer]; that is resolved before
// anything is formatted, in every format.
//
// The package starts no goroutine. Loggers and [Level] are safe for concurrent use.
package logs
