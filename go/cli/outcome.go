package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"etcha"
	"etcha/go/errs"
	"etcha/go/wire"
)

// errEnded is the escape sequence for the end: the program's own status is
// never learnt.
var errEnded = errors.New("ended by the escape sequence")

// signalError is a signal to this process that ended what it did.
type signalError struct{ sig os.Signal }

func (e *signalError) Error() string { return "ended by " + signalName(e.sig) }

// signalName is a signal's name as people know it, where it may end a session.
func signalName(sig os.Signal) string {
	switch sig {
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGHUP:
		return "SIGHUP"
	case syscall.SIGQUIT:
		return "SIGQUIT"
	default:
		return sig.String()
	}
}

func signalled(sig os.Signal) error { return &signalError{sig} }

// outcome is the error of the command for the end of the session, and puts the
// terminal right when the program could not.
func (r *remote) outcome(err error) error {
	r.mu.Lock()
	why := r.why
	r.mu.Unlock()
	if why != nil {
		err = why
	}
	var ended *etcha.ExitError
	if err == nil || errors.As(err, &ended) && ended.Reason == string(wire.ReasonExited) {
		if ended == nil {
			return nil
		}
		if r.tty != nil && ended.Signal != "" {
			r.note("the program was ended by SIG%s", ended.Signal)
		}
		return exit(ended.Code)
	}
	r.output.reset()
	return r.explain(err)
}

// explain makes of an error what the person gets to read.
func (r *remote) explain(err error) error {
	var ended *etcha.ExitError
	var sig *signalError
	var status *statusError
	switch {
	case errors.As(err, &status):
		return err
	case errors.Is(err, errEnded):
		fmt.Fprintf(r.app.stderr, "%s ended the session on %s\n", r.app.paint(dim, "etcha:"), r.where)
		return exit(errs.ExitTransport)
	case errors.As(err, &sig):
		fmt.Fprintf(r.app.stderr, "%s %s\n", r.app.paint(dim, "etcha:"), sig)
		return exit(128 + signalNumber(sig.sig))
	case errors.As(err, &ended):
		return &errs.Error{Text: "the session on " + r.where.String() + " " + endText(ended), Exit: errs.ExitTransport}
	case errors.Is(err, context.Canceled):
		return exit(errs.ExitTransport)
	}
	var told *errs.Error
	if errors.As(err, &told) {
		return err // the client has said which node, and how to exit
	}
	return errs.Transport(err, "session on %s", r.where)
}

// endText says why the node ended a session.
func endText(e *etcha.ExitError) string {
	switch wire.ExitReason(e.Reason) {
	case wire.ReasonIdle:
		return "was closed: nothing happened in it for too long"
	case wire.ReasonAge:
		return "was closed: it reached its longest life"
	case wire.ReasonLost:
		return "was closed: the node had lost this client"
	case wire.ReasonPolicy:
		return "was closed: the node's configuration no longer permits it"
	case wire.ReasonStopped:
		return "was closed: the node stops"
	case wire.ReasonKilled:
		return "was ended by an operator"
	case wire.ReasonKeeper:
		return "died: the process that held it on the node was killed"
	case wire.ReasonClosed:
		return "was closed"
	default:
		return fmt.Sprintf("ended (%s)", e.Reason)
	}
}
