package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

const (
	// attachTimeout bounds one try to attach again: a path that comes back must
	// not find the client waiting for an answer that never comes.
	attachTimeout = wire.RetryMax
	// hurryAfter is how long after a try a key that is typed starts the next.
	hurryAfter = time.Second
	// overtaken is how long an attach that had no answer may still arrive.
	overtaken = wire.MaxTokenLife + wire.ClockLeeway
)

// errLeft ends a search for a link that is not wanted any more.
var errLeft = errors.New("the session was left")

// run follows the session over all its links until it ends.
func (s *Session) run(l *link) {
	defer close(s.streamed)
	for l != nil {
		exit, err := s.follow(l)
		s.drop(l, err)
		var loss *LossError
		switch {
		case !errors.As(err, &loss) || !s.passing(err):
			s.finish(exit, err)
			return
		case s.attaching.Err() != nil:
			return // who leaves the session finishes it
		}
		s.c.renew(l.via)
		l = s.resume(l, err)
	}
}

// drop lets go of a link whose stream has ended, and of its requests.
func (s *Session) drop(l *link, err error) {
	s.in.mu.Lock()
	s.link, s.in.paused = nil, true
	s.goneIn.Stop()
	s.in.mu.Unlock()
	if err == nil {
		err = ErrEnded
	}
	l.cancel(err)
	l.requests.Wait()
	l.end(err)
	s.in.mu.Lock()
	s.in.lost()
	s.in.mu.Unlock()
}

// passing reports whether a session that lost its stream can go on. One that was
// taken over may have been so by an own attach that was given up and came late.
func (s *Session) passing(err error) bool {
	return !errors.Is(err, ErrReplaced) || s.c.waits.now().Sub(s.unheard) < overtaken
}

// outage is the time without a link.
type outage struct {
	s        *Session
	cause    error
	deadline time.Time // the node gives the session up
	tries    int       // the one that is next counted
}

// newOutage begins one. A node that only ever sends what breaks the protocol is
// not tried for ever.
func (s *Session) newOutage(lost *link, cause error) *outage {
	var broken *StreamError
	if lost.lively || s.deadline.IsZero() || !errors.As(cause, &broken) {
		s.deadline = s.c.waits.now().Add(seconds(s.Info().ResumeFor))
	}
	if lost.lively {
		s.back = backoff{}
	}
	return &outage{s: s, cause: cause, deadline: s.deadline}
}

// resume makes another link: at once, and then with pauses, until the node
// refuses or resumeFor has passed since the loss. nil: the session is over or
// left.
func (s *Session) resume(lost *link, cause error) *link {
	w := s.c.waits
	o := s.newOutage(lost, cause)
	for o.tries = 1; ; o.tries++ {
		if o.tries == 1 && w.now().After(o.deadline) {
			s.finish(wire.Exit{}, cause)
			return nil
		}
		o.pause(s.back.next(pauseOf(o.cause)))
		start := w.now()
		l, err := s.again()
		o.slept(start, 2*attachTimeout)
		switch {
		case err == nil:
			o.over()
			return l
		case s.attaching.Err() != nil:
			return nil
		case conclusive(err):
			s.finish(wire.Exit{}, &LossError{known(cause, err)})
			return nil
		case !w.now().Before(o.deadline):
			s.finish(wire.Exit{}, &LossError{&outageError{err}})
			return nil
		}
		o.cause = err
	}
}

// pause tells of the outage and waits before the next try.
func (o *outage) pause(d time.Duration) {
	s, w := o.s, o.s.c.waits
	start := w.now()
	s.c.notify(o.lostEvent(d))
	if d <= hurryAfter {
		if d > 0 {
			w.pause(s.attaching, d)
		}
	} else {
		w.pause(s.attaching, hurryAfter)
		select {
		case <-s.hurry: // of before: somebody types or not
		default:
		}
		select {
		case <-w.after(d - hurryAfter):
		case <-s.hurry:
		case <-s.attaching.Done():
		}
	}
	o.slept(start, d)
}

// slept takes the time out of account during which this process stood still.
func (o *outage) slept(start time.Time, planned time.Duration) {
	if over := o.s.c.waits.now().Sub(start) - planned; over > suspended {
		o.deadline = o.deadline.Add(over)
	}
}

// over tells that the link is back.
func (o *outage) over() {
	o.s.c.notify(Event{
		Kind: EventBack, Text: "connected again", Node: o.s.node, Session: o.s.id, Attempt: o.tries,
	})
}

// known is the error of a session that does not go on. Who took it over does not
// let this side back in.
func known(lost, refused error) error {
	if errors.Is(lost, ErrReplaced) {
		return ErrReplaced
	}
	return fmt.Errorf("%w; before that: %s", refused, oneLine(lost))
}

// again makes one try for another link.
func (s *Session) again() (*link, error) {
	ctx := s.attaching
	if s.role == wire.RoleOwner { // others may have to ask a person for a signature
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, 2*attachTimeout, errTimeout)
		defer cancel()
	}
	q, err := s.returning()
	if err != nil {
		return nil, err
	}
	var l *link
	var info wire.Session
	err = s.c.fresh(ctx, func() (err error) {
		l, info, err = s.dial(ctx, q())
		return err
	})
	switch {
	case refusal(err) == wire.CodeNotFound:
		return nil, s.c.anotherNode(ctx, err)
	case err != nil:
		if refusal(err) == "" {
			s.unheard = s.c.waits.now()
		}
		return nil, err
	}
	if err := s.goOn(info); err != nil {
		l.end(err)
		return nil, err
	}
	if !s.install(l, info) {
		l.end(errLeft)
		return nil, errLeft
	}
	return l, nil
}

// returning is how another link is asked for: the owner attaches by the
// session's key, others come in anew.
func (s *Session) returning() (func() call, error) {
	limit := min(attachTimeout, s.c.o.Timeout)
	switch s.role {
	case wire.RoleViewer:
		return func() call { return s.entry(wire.OpWatch, nil, nil, limit) }, nil
	case wire.RoleJoined:
		key, cnf, err := newSessionKey()
		return func() call { return s.entry(wire.OpJoin, key, &cnf, limit) }, err
	}
	return func() call { return s.reattach(limit) }, nil
}

// reattach is an attach by the session's key. Each takes a number of its own
// for the terminal's size.
func (s *Session) reattach(limit time.Duration) call {
	key, consumed := s.last.seal, s.consumed.Load()
	sh := wire.Shell{Op: wire.OpAttach, Offset: consumed, Ack: consumed}
	if s.pty {
		sh.Cols, sh.Rows, sh.Seq = s.orders.size()
	}
	sign := func(ctx context.Context) (string, error) {
		if err := ctx.Err(); err != nil { // asked after the number was taken: a close has a higher one
			return "", err
		}
		claims := s.c.claims(s.node, s.source, s.id, &sh)
		claims.ID = token.NewID()
		return key.sign(claims)
	}
	return call{path: wire.PathSession(s.source, s.id), sh: sh, seal: key, limit: limit, sign: sign}
}

// goOn matches what the node has with what this side has.
func (s *Session) goOn(info wire.Session) error {
	consumed := s.consumed.Load()
	if info.OutputStart < consumed {
		return &brokenError{fmt.Sprintf("the node begins output at %d, before the %d bytes that it was told of", info.OutputStart, consumed)}
	}
	s.in.mu.Lock()
	lost, err := s.in.resume(info.InputOffset, s.role == wire.RoleJoined)
	s.in.mu.Unlock()
	if err != nil {
		return err
	}
	s.orders.resume(info.Seq, s.role == wire.RoleJoined)
	if lost > 0 {
		s.c.notify(Event{
			Kind: EventGap, Node: s.node, Session: s.id,
			Text: fmt.Sprintf("%d bytes that were typed were under way when the connection was lost and are not sent again", lost),
		})
	}
	s.skip(info.OutputStart)
	return nil
}

// skip tells of output that the node does not have any more, and goes on behind it.
func (s *Session) skip(to uint64) {
	from := s.consumed.Load()
	if to <= from {
		return
	}
	s.consumed.Store(to)
	s.c.notify(Event{
		Kind: EventGap, Node: s.node, Session: s.id, From: from, To: to,
		Text: fmt.Sprintf("%d bytes of output were dropped", to-from),
	})
}

// conclusive reports whether trying to attach again is of no use: the node has
// refused, or it is not the right node. What others in the path say is not.
func conclusive(err error) bool {
	var refused *RefusedError
	var changed *NodeChangedError
	var broken *brokenError
	var sign *signError
	if errors.As(err, &refused) {
		return !temporary(err)
	}
	return errors.As(err, &changed) || errors.As(err, &broken) || errors.As(err, &sign) || errs.CodeOf(err) == CodeProof
}

// wayOut is the hint for a session that was lost.
func (s *Session) wayOut(err error) string {
	var outage *outageError
	keeps := seconds(s.Info().ResumeFor)
	switch {
	case errors.Is(err, ErrReplaced):
		return fmt.Sprintf("the program runs on; attach to session %s to take it back", s.id)
	case errors.As(err, &outage):
		return fmt.Sprintf("the node keeps a session for %s without its client, which have passed; what remains of it is session %s", keeps, s.id)
	case refusal(err) == wire.CodeNotFound:
		return fmt.Sprintf("the node does not know session %s any more, or it is another client's now", s.id)
	case refusal(err) != "", errs.HintOf(err) != "":
		return s.c.hint(err)
	case keeps > 0 && !s.closing.Load():
		return fmt.Sprintf("the program may run on there for %s more, as session %s", keeps, s.id)
	}
	return ""
}
