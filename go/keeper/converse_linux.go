package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"etcha/go/wire"
)

// converse serves one connection: hello, then requests about all sessions,
// until it becomes a session's own by a start or an adoption.
func (s *server) converse(l *link) {
	if err := s.greet(l); err != nil {
		s.log.Warn("connection was refused", "err", err)
		return
	}
	for {
		f, err := l.in.next()
		if err != nil {
			s.logBreak(err)
			return
		}
		switch f.op {
		case opStart:
			s.start(l, f)
			return
		case opAdopt:
			s.adopt(l, f)
			return
		case opShutdown:
			s.shutdown(l, f.id)
			return
		case opList:
			err = s.list(l, f)
		default:
			err = refuseUnknown(l, f)
		}
		if err != nil {
			s.logBreak(err)
			return
		}
	}
}

// greet exchanges versions.
func (s *server) greet(l *link) error {
	_ = l.conn.SetReadDeadline(s.deadline(helloTime))
	f, err := l.in.next()
	if err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	_ = l.conn.SetReadDeadline(time.Time{})
	var theirs hello
	if f.op != opHello {
		return fmt.Errorf("hello: %w: op %d", errFrame, f.op)
	}
	if err := json.Unmarshal(f.body, &theirs); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	if err := theirs.check(); err != nil {
		return errors.Join(err, l.send(opAnswer, flagFailed, f.id, fail(err), nil))
	}
	return l.sendJSON(opAnswer, f.id, hello{Newest: protocolNewest, Oldest: protocolOldest, PID: os.Getpid()})
}

// deadline is a time from now on by the system's clock, whatever Options.Now is.
func (s *server) deadline(d time.Duration) time.Time { return time.Now().Add(d) }

// logBreak logs how a connection ended, unless its daemon just left.
func (s *server) logBreak(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		return
	}
	s.log.Warn("connection to a daemon broke", "err", err)
}

// refuseUnknown answers a request that this keeper does not know, and skips
// other frames.
func refuseUnknown(l *link, f frame) error {
	if f.id == 0 {
		return nil
	}
	return l.send(opAnswer, flagFailed, f.id, fail(fmt.Errorf("%w: op %d", ErrInvalid, f.op)), nil)
}

func (s *server) list(l *link, f frame) error {
	var q listQuery
	if err := json.Unmarshal(f.body, &q); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	return l.sendJSON(opAnswer, f.id, s.page(q.After))
}

// shutdown ends the sessions, answers, gives the daemons time to leave, and
// lets the keeper go.
func (s *server) shutdown(l *link, id uint32) {
	s.log.Info("shutting down")
	s.stopAll()
	if err := l.send(opAnswer, 0, id, nil, nil); err == nil {
		_ = l.conn.SetReadDeadline(s.deadline(farewell))
		_, _ = l.in.next()
	}
	s.leave()
}

// start starts a session and serves it.
func (s *server) start(l *link, f frame) {
	h, err := s.beginAside(f.body)
	if err != nil {
		_ = l.send(opAnswer, flagFailed, f.id, fail(err), nil)
		return
	}
	if !s.hand(l, f.id, h) {
		// Nobody has learnt of the session, so nobody would come back for it.
		h.end(wire.ReasonClosed)
		h.forget()
	}
}

// beginAside begins in a goroutine of its own: the stack that a start takes would
// stay with this one, which serves the session to its end.
func (s *server) beginAside(body []byte) (h *held, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		h, err = s.begin(body)
	}()
	<-done
	return h, err
}

// begin starts the program of a request.
func (s *server) begin(body []byte) (*held, error) {
	var b startBody
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	r, err := b.request()
	if err != nil {
		return nil, err
	}
	if err := s.reserve(r.ID); err != nil {
		return nil, fmt.Errorf("start session %q: %w", r.ID, err)
	}
	h, err := newHeld(s, r)
	if err != nil {
		s.vacate(r.ID)
		return nil, fmt.Errorf("start session %q: %w", r.ID, err)
	}
	s.settle(h)
	s.log.Debug("session started", "session", h.id)
	return h, nil
}

// adopt gives a session to the daemon behind the connection.
func (s *server) adopt(l *link, f frame) {
	var b adoptBody
	err := json.Unmarshal(f.body, &b)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var h *held
	if err == nil {
		h, err = s.find(b.ID)
	}
	if err != nil {
		_ = l.send(opAnswer, flagFailed, f.id, fail(err), nil)
		return
	}
	s.hand(l, f.id, h)
}

// hand makes the connection the session's own until it breaks. It reports
// whether the other side took the session over.
func (s *server) hand(l *link, id uint32, h *held) (taken bool) {
	if err := h.attach(l); err != nil {
		_ = l.send(opAnswer, flagFailed, id, fail(err), nil)
		return true // by somebody else
	}
	defer h.detach(l)
	if err := h.introduce(l, id); err != nil {
		s.logBreak(err)
		return false
	}
	served, err := h.serve(l)
	s.logBreak(err)
	return served > 0 // a daemon that starts a session sends a frame at once
}
