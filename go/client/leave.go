package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

const (
	// closeTimeout bounds how long closing a session takes, whatever the network does.
	closeTimeout = 5 * time.Second
	// detachTimeout bounds how long the last input may take on its way when a
	// session is left.
	detachTimeout = 2 * time.Second
)

// Close ends the session and what it started, now; output not yet written is
// dropped. It takes a bounded time, and is harmless after the end. The error
// is that of telling the node, which else ends the session by itself after its
// resumeFor. A session of another's that is watched or was joined is left.
func (s *Session) Close() error {
	s.shutting.Do(func() {
		if s.role == wire.RoleOwner {
			s.shutErr = s.shut()
		} else {
			s.shutErr = s.part()
		}
	})
	s.settled()
	return s.shutErr
}

// Detach leaves the session running on the node, for as long as its resumeFor,
// and returns within a bounded time; [Session.Wait] then returns [ErrDetached].
// Input that was written is delivered before. The error says how much of it was
// not. After Close or the end it is harmless.
func (s *Session) Detach() error {
	s.shutting.Do(func() {
		if s.role == wire.RoleOwner {
			s.shutErr = s.detach()
		} else {
			s.shutErr = s.part()
		}
	})
	s.settled()
	return s.shutErr
}

// settled waits for the session's goroutines.
func (s *Session) settled() {
	s.requests.Wait()
	select {
	case <-s.streamed:
	case <-time.After(s.c.waits.close): // a writer that does not return
	}
}

// shut tells the node to end the session and waits for its end, for a bounded time.
func (s *Session) shut() (err error) {
	s.closing.Store(true)
	s.stay()
	ctx, cancel := context.WithTimeout(s.ctx, s.c.waits.close)
	defer cancel()
	tellErr := s.tellClose(ctx)
	if tellErr == nil {
		select {
		case <-s.done:
		case <-s.streamed: // there was no stream to end
		case <-ctx.Done():
		}
	}
	if !s.over() {
		err = tellErr
	}
	s.finish(wire.Exit{}, &LossError{ErrClosed})
	return err
}

// tellClose ends the input and tells the node to end the session.
func (s *Session) tellClose(ctx context.Context) error {
	if s.over() {
		return nil
	}
	s.in.fail(ErrClosed)
	if err := s.sendClose(ctx); err != nil {
		return s.c.explain(err, "close session on %s", s.c.target)
	}
	return nil
}

// detach leaves one's own session.
func (s *Session) detach() error {
	if s.over() {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.c.waits.detach)
	defer cancel()
	left := s.in.flushed(ctx)
	s.stay()
	if l := s.present(); l != nil && s.consumed.Load() > s.acked.Load() {
		_, _ = s.post(ctx, l, wire.Shell{Op: wire.OpAck}) // it spares the next one what is known
	}
	ended := s.over()
	s.finish(wire.Exit{}, ErrDetached)
	if left > 0 && !ended {
		return errs.Transport(nil, "detach from session on %s: %d bytes of input were not confirmed", s.c.target, left)
	}
	return nil
}

// part leaves a session of another's.
func (s *Session) part() error {
	s.closing.Store(true)
	s.stay()
	var err error
	if s.role == wire.RoleJoined && s.linked() && !s.over() {
		ctx, cancel := context.WithTimeout(s.ctx, s.c.waits.detach)
		defer cancel()
		s.in.flushed(ctx)
		err = s.sendClose(ctx)
	}
	ended := s.over()
	s.finish(wire.Exit{}, ErrDetached)
	if err != nil && !ended {
		return fmt.Errorf("leave session on %s: %w", s.c.target, clean(err))
	}
	return nil
}

// linked reports whether there is a link.
func (s *Session) linked() bool { return s.present() != nil }

// present is the link, nil while there is none.
func (s *Session) present() *link {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	return s.link
}

// over reports whether the session has ended.
func (s *Session) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// finish ends the session: the first call counts.
func (s *Session) finish(exit wire.Exit, err error) {
	s.ending.Do(func() {
		s.exit, s.err = exit, s.final(err)
		s.in.mu.Lock()
		s.stopped = true
		s.in.mu.Unlock()
		s.in.fail(ErrEnded)
		s.orders.fail(ErrEnded, s.err)
		s.probe.Stop()
		s.goneIn.Stop()
		s.rhythm.timer.Stop()
		s.cancel(ErrEnded)
		close(s.done)
	})
}

// final is what Wait returns for err: with the way out, where there is one.
func (s *Session) final(err error) error {
	if err == nil || errors.Is(err, ErrDetached) {
		return err
	}
	lost := errs.Transport(clean(err), "session on %s", s.c.target)
	if lost.Hint = s.wayOut(err); lost.Hint == "" {
		lost.Hint = errs.HintOf(err)
	}
	return lost
}

// ended books that the node no longer knows the session: its exit must follow
// on the stream, or on the next one.
func (s *Session) ended() {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if s.gone == 0 {
		s.gone = 1
		s.goneIn.Reset(s.c.waits.gone)
	}
}

// untold is called when no exit has followed: another stream may bring it, once.
func (s *Session) untold() {
	s.in.mu.Lock()
	l, again := s.link, s.gone == 1
	s.gone = 2
	s.in.mu.Unlock()
	switch {
	case l == nil: // the next link waits anew
	case again:
		l.cancel(errGone)
	default:
		s.finish(wire.Exit{}, &LossError{errGone})
	}
}

func seconds(n float64) time.Duration {
	return time.Duration(n * float64(time.Second)).Round(time.Second)
}
