package etcha

import (
	"errors"
	"fmt"

	"etcha/go/client"
	"etcha/go/errs"
	"etcha/go/wire"
)

// ErrUntrusted is matched by errors about who answers: another node than the
// pinned one, a TLS key that is not the node's, an answer without its proof.
// No input was sent.
var ErrUntrusted = errors.New("the node is not the one expected")

// ErrEnded is matched by the errors of using a session after its end.
var ErrEnded = errors.New("the session has ended")

// ErrDetached is matched by what Wait returns of a session that this side has
// left: it goes on.
var ErrDetached = client.ErrDetached

// ErrReplaced is matched by what Wait returns of a session that another client
// has attached to.
var ErrReplaced = client.ErrReplaced

// ErrReadOnly is matched by the errors of acting in a session that is watched.
var ErrReadOnly = client.ErrReadOnly

// ExitError is a program that ended otherwise than by itself with status 0.
type ExitError struct {
	Code   int    // exit status; 128+n when ended by signal n
	Signal string // name without "SIG" of the signal that ended the program; else empty
	// Reason is "exited" when the program ended by itself, else why the node ended
	// it: closed, idle, age, lost, policy, stopped, killed, keeper, record.
	Reason string
}

func (e *ExitError) Error() string {
	switch {
	case e.Reason != string(wire.ReasonExited):
		return fmt.Sprintf("the session was ended (%s), exit status %d", e.Reason, e.Code)
	case e.Signal != "":
		return fmt.Sprintf("the program was ended by signal %s, exit status %d", e.Signal, e.Code)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// LossError is a session whose end is not known: the node was lost, and there was
// no way back for as long as it keeps a session (Info.ResumeFor), or it refused.
type LossError struct{ Err error }

func (e *LossError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *LossError) Unwrap() error { return e.Err }

// RefusedError is a refusal by the node.
type RefusedError struct {
	Code   string // stable, for programs: not_found, denied, limited, …
	Detail string // what was refused, for people; may be empty
	Hint   string // the way out, for people; may be empty
	Err    error  // what was done, and the refusal
}

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// marked makes an error match one of this package and leaves its text alone.
type marked struct{ err, as error }

func (e *marked) Error() string        { return e.err.Error() }
func (e *marked) Unwrap() error        { return e.err }
func (e *marked) Is(target error) bool { return target == e.as }

// public turns an error of the inner client into one of this package.
func public(err error) error {
	var refused *client.RefusedError
	var loss *client.LossError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &loss):
		return &LossError{untrusted(err)}
	case errors.As(err, &refused):
		return &RefusedError{
			Code: string(refused.Problem.Code), Detail: refused.Problem.Detail, Hint: errs.HintOf(err), Err: err,
		}
	case errors.Is(err, client.ErrEnded), errors.Is(err, client.ErrClosed):
		return &marked{err, ErrEnded}
	}
	return untrusted(err)
}

// untrusted marks an error about who answers.
func untrusted(err error) error {
	switch errs.CodeOf(err) {
	case client.CodeNodeChanged, client.CodeUntrusted, client.CodeProof:
		return &marked{err, ErrUntrusted}
	}
	return err
}
