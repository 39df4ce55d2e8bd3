package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"etcha/go/client"
	"etcha/go/errs"
	"etcha/go/wire"
)

// errEnded is the escape sequence for the end: the program's own status is
// never learnt.
var errEnded = errors.New("ended by the escape sequence")

// errDetached is a session that was left and goes on.
var errDetached = errors.New("left by the escape sequence")

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

// endedError is a session that the node has ended.
type endedError struct{ reason wire.ExitReason }

func (e *endedError) Error() string { return endText(e.reason) }

// outcome is the error of the command for the end of the session, and puts the
// terminal right when the program could not.
func (r *remote) outcome(ended wire.Exit, err error) error {
	r.mu.Lock()
	why := r.why
	r.mu.Unlock()
	switch {
	case why != nil:
		err = why
	case err == nil && r.viewer():
		r.output.reset()
		r.note("the session %s", watchedEnd(ended))
		return nil
	case err == nil && ended.Reason == wire.ReasonExited:
		if r.tty != nil && ended.Signal != "" {
			r.note("the program was ended by SIG%s", ended.Signal)
		}
		return exit(ended.Code)
	case err == nil:
		err = &endedError{ended.Reason}
	}
	r.output.reset()
	return r.explain(err)
}

// watchedEnd is what somebody is told of the end whose exit status it is not.
func watchedEnd(e wire.Exit) string {
	if e.Reason != wire.ReasonExited {
		return endText(e.Reason)
	}
	return fmt.Sprintf("has ended, exit status %d", e.Code)
}

// explain makes of an error what the person gets to read.
func (r *remote) explain(err error) error {
	var ended *endedError
	var sig *signalError
	var status *statusError
	switch {
	case errors.As(err, &status):
		return err
	case errors.Is(err, errDetached), errors.Is(err, client.ErrDetached):
		if !r.outlives() {
			r.left()
		}
		return nil
	case errors.Is(err, errEnded):
		if !r.outlives() {
			r.app.etcha("ended the session on %s", r.where)
		}
		return exit(r.endStatus)
	case errors.As(err, &sig):
		r.app.etcha("%s", sig)
		r.outlives()
		return exit(128 + signalNumber(sig.sig))
	case errors.As(err, &ended):
		return &errs.Error{Text: "the session on " + r.where.String() + " " + endText(ended.reason), Exit: errs.ExitTransport}
	case errors.Is(err, context.Canceled):
		return exit(errs.ExitTransport)
	}
	if e := r.lossHint(err); e != nil {
		return e
	}
	var told *errs.Error
	if errors.As(err, &told) {
		return err // the client has said which node, and how to exit
	}
	return errs.Transport(err, "session on %s", r.where)
}

// left says that the session goes on, and how to come back.
func (r *remote) left() {
	if r.guest() {
		r.app.etcha("left the session on %s; it goes on", r.where)
		return
	}
	r.app.etcha("left the session on %s, which keeps it for %s\netcha attach %s goes on with it",
		r.where, lasting(r.sess.Info().ResumeFor), r.attachArgs())
}

// outlives says how to come back to a session that this side gave up while the
// connection was lost. It reports whether that is so.
func (r *remote) outlives() bool {
	deadline, lost := r.line.lostUntil()
	if !lost || r.sess == nil || r.guest() {
		return false
	}
	left := time.Until(deadline)
	if left <= 0 {
		return false
	}
	r.app.etcha("gave up while the connection was lost; the session lives on %s for %s more\netcha attach %s goes on with it",
		r.where, shortDuration(left.Round(time.Second)), r.attachArgs())
	return true
}

// lossHint is the error of a session whose end is not known, with the command
// that goes on with it while it lives; nil for others.
func (r *remote) lossHint(err error) error {
	var loss *client.LossError
	if r.sess == nil || r.guest() || !errors.As(err, &loss) || errors.Is(err, client.ErrClosed) {
		return nil
	}
	var refused *client.RefusedError
	switch {
	case errors.Is(err, client.ErrReplaced):
		return errs.Transport(err, "").WithHint("the program runs on; etcha attach %s takes it back", r.attachArgs())
	case errors.As(err, &refused), errs.CodeOf(err) == client.CodeNodeChanged, errs.CodeOf(err) == client.CodeProof:
		return nil // the client has the way out
	}
	keeps := lasting(r.sess.Info().ResumeFor)
	if until, lost := r.line.lostUntil(); lost && !time.Now().Before(until) {
		return errs.Transport(err, "").WithHint("the node keeps a session for %s without its client, which have passed; etcha sessions %s shows whether it still lives",
			keeps, r.where.argument())
	}
	return errs.Transport(err, "").WithHint("while it lives, etcha attach %s goes on with it; the node keeps a session for %s", r.attachArgs(), keeps)
}

// lasting is a number of seconds for people.
func lasting(seconds float64) string {
	return shortDuration(time.Duration(seconds * float64(time.Second)).Round(time.Second))
}

// etcha says something that is no error.
func (a *app) etcha(format string, args ...any) {
	a.say("etcha", a.paint(dim, "etcha:"), fmt.Sprintf(format, args...))
}

// endText says why the node ended a session.
func endText(reason wire.ExitReason) string {
	switch reason {
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
	case wire.ReasonRecord:
		return "was closed: it could not be recorded any more, and the node requires that"
	case wire.ReasonClosed:
		return "was closed"
	default:
		return fmt.Sprintf("ended (%s)", reason)
	}
}
