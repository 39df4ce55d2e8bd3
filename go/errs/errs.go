// Package errs is how an error of this module reaches a person or another node:
// a code for programs, a text that may be shown, a hint with the way out, the
// private cause for the log, and the exit status.
//
// Inside the module errors are wrapped with %w as usual. An [Error] is made
// where the public text is known; everything else reaches the outside as an
// internal error and the log as it is.
package errs

import (
	"errors"
	"fmt"

	"etcha/go/wire"
)

// Exit statuses of the program. A remote program's own status is passed through.
const (
	ExitOther     = 1   // anything not named here
	ExitUsage     = 2   // bad flags or arguments
	ExitTransport = 255 // the node could not be reached, refused, or was lost
)

// Error is an error with a public side.
type Error struct {
	Code wire.Code // for programs; empty: not for another node
	Text string    // public; lower case, no full stop
	Hint string    // public; the way out, may be empty
	Exit int       // exit status; 0: ExitOther
	Err  error     // private cause, may be nil
}

// Error joins the public text and the cause, for logs and for the local user.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Text
	case e.Text == "":
		return e.Err.Error()
	default:
		return e.Text + ": " + e.Err.Error()
	}
}

// Unwrap gives the private cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error for another node: code and public text.
func New(code wire.Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Usage makes an error of bad flags or arguments.
func Usage(format string, args ...any) *Error {
	return &Error{Text: fmt.Sprintf(format, args...), Exit: ExitUsage}
}

// Transport makes an error of reaching a node, with its cause.
func Transport(cause error, format string, args ...any) *Error {
	return &Error{Text: fmt.Sprintf(format, args...), Exit: ExitTransport, Err: cause}
}

// WithHint returns a copy of e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// Because returns a copy of e with a private cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Err = cause
	return &c
}

// CodeOf is the code of the first Error in err's chain that has one, else
// [wire.CodeInternal].
func CodeOf(err error) wire.Code {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			break
		}
		if e.Code != "" {
			return e.Code
		}
		err = e.Err
	}
	return wire.CodeInternal
}

// ExitOf is the exit status for err: 0 for nil, else that of the first Error
// in the chain that has one, else [ExitOther].
func ExitOf(err error) int {
	if err == nil {
		return 0
	}
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			break
		}
		if e.Exit != 0 {
			return e.Exit
		}
		err = e.Err
	}
	return ExitOther
}

// HintOf is the first hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
