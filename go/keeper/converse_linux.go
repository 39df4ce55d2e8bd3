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
)

// converse serves a new connection: hello, then requests about all sessions,
// until it ends or becomes a session's own by a start or an adoption.
func (s *server) converse(l *link) *held {
	l.takeFDs = true // with an upgrade
	defer l.closeFDs()
	if err := s.greet(l); err != nil {
		s.log.Warn("connection was refused", "err", err)
		return nil
	}
	for {
		f, err := l.in.next()
		if err != nil {
			s.logBreak(err)
			return nil
		}
		switch f.op {
		case opStart:
			l.takeFDs = false
			return s.start(l, f)
		case opAdopt:
			l.takeFDs = false
			return s.adopt(l, f)
		case opShutdown:
			s.shutdown(l, f.id)
			return nil
		case opList:
			err = s.list(l, f)
		case opUpgrade:
			err = s.upgrade(l, f)
		default:
			err = refuseUnknown(l, f)
		}
		if err != nil {
			s.logBreak(err)
			return nil
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
	return l.sendJSON(opAnswer, f.id, hello{
		Newest: protocolNewest, Oldest: protocolOldest, PID: os.Getpid(), Version: s.version, Program: ownProgram(),
	})
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

// start starts a session for the daemon behind the connection.
func (s *server) start(l *link, f frame) *held {
	h, err := s.begin(f.body)
	if err != nil {
		_ = l.send(opAnswer, flagFailed, f.id, fail(err), nil)
		return nil
	}
	if !s.hand(l, f.id, h) {
		h.abandon()
		return nil
	}
	return h
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
func (s *server) adopt(l *link, f frame) *held {
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
		return nil
	}
	if !s.hand(l, f.id, h) {
		return nil
	}
	return h
}

// hand attaches a session to the connection and tells so.
func (s *server) hand(l *link, id uint32, h *held) bool {
	if err := h.attach(l); err != nil {
		_ = l.send(opAnswer, flagFailed, id, fail(err), nil)
		return false
	}
	if err := h.introduce(l, id); err != nil {
		s.logBreak(err)
		h.detach(l)
		return false
	}
	return true
}

// attend serves a session's daemon until the connection ends. A daemon that
// starts a session sends a frame at once: if none comes, nobody has learnt of
// the session, and nobody would come back for it.
func (s *server) attend(l *link, h *held) {
	err := h.serve(l)
	s.logBreak(err)
	untaken := h.detach(l)
	if untaken {
		h.abandon()
	}
}
