package keeper

import (
	"fmt"
	"time"
)

// parking is how a session's goroutines are asked to stop where they are.
type parking struct {
	asked  chan struct{} // closed when they must
	parked chan struct{} // closed when they have
}

func newParking() *parking { return &parking{asked: make(chan struct{}), parked: make(chan struct{})} }

func (p *parking) isAsked() bool {
	select {
	case <-p.asked:
		return true
	default:
		return false
	}
}

// freeze brings everything to a stop without losing a byte, so that the next
// program in this process can go on: no new connection or session, what daemons
// have put into their sockets is taken, then every session is parked. Only the
// asker's connection stays. After an error, as after success, thaw undoes it.
func (s *server) freeze(asker *link) error {
	if err := s.closeDoors(asker); err != nil {
		return err
	}
	limit := time.After(takeoverTime)
	select {
	case <-s.alone:
	case <-limit:
		return fmt.Errorf("%w: a daemon's connection does not end", ErrUnsettled)
	}
	all := s.all()
	pauses := make([]*parking, len(all))
	for i, h := range all {
		if pauses[i] = h.freeze(); pauses[i] == nil {
			return fmt.Errorf("%w: session %q has not come back from an earlier try", ErrUnsettled, h.id)
		}
	}
	for i, h := range all {
		select {
		case <-pauses[i].parked:
		case <-h.gone:
		case <-limit:
			return fmt.Errorf("%w: session %q does not come to rest", ErrUnsettled, h.id)
		}
	}
	return nil
}

// closeDoors ends all connections but one, and lets nobody in.
func (s *server) closeDoors(asker *link) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping || s.leaving:
		return ErrStopping
	case s.starting > 0:
		return fmt.Errorf("%w: a session is being started", ErrUnsettled)
	}
	s.frozen, s.alone = true, make(chan struct{})
	_ = s.ln.SetDeadline(past())
	for l := range s.links {
		if l != asker {
			_ = l.conn.CloseRead() // what was sent until now is still received
		}
	}
	s.checkAlone()
	return nil
}

// checkAlone tells the freeze that only its asker is left, and nobody accepts.
// The caller holds mu.
func (s *server) checkAlone() {
	if !s.frozen || s.accepting || len(s.links) > 1 {
		return
	}
	select {
	case <-s.alone:
	default:
		close(s.alone)
	}
}

// thaw lets everything go on.
func (s *server) thaw() {
	s.mu.Lock()
	if !s.frozen {
		s.mu.Unlock()
		return
	}
	s.frozen = false
	_ = s.ln.SetDeadline(time.Time{})
	if !s.accepting {
		s.accepting = true
		s.wg.Go(s.accept)
	}
	s.mu.Unlock()
	for _, h := range s.all() {
		h.thaw()
	}
}

// freeze asks the session's goroutines to park. Bytes that were read are in the
// ring then, those that were not are in the terminal or pipe; likewise with input.
// nil: it has not thawed since the last time.
func (h *held) freeze() *parking {
	h.mu.Lock()
	if h.frozen {
		h.mu.Unlock()
		return nil
	}
	h.frozen = true
	p := h.pause
	h.moved.Broadcast()
	if h.resume != nil {
		h.resume.Stop() // expire may be under way: it sees frozen
	}
	h.stopTrim()
	over := h.ended
	close(p.asked)
	h.mu.Unlock()
	if over {
		return p
	}
	for _, f := range h.files() {
		_ = f.SetReadDeadline(past())
	}
	h.in.freeze()
	return p
}

// thaw lets a frozen session go on, once it has parked.
func (h *held) thaw() {
	h.mu.Lock()
	begin := h.frozen && !h.thawing
	h.thawing = begin || h.thawing
	p := h.pause
	h.mu.Unlock()
	if !begin {
		return
	}
	h.s.wg.Go(func() {
		select {
		case <-p.parked:
			for _, f := range h.files() {
				_ = f.SetReadDeadline(time.Time{})
			}
			h.in.thaw()
			h.melt()
			h.live()
		case <-h.gone:
			h.melt()
		}
	})
}

// melt undoes freeze but for the goroutines.
func (h *held) melt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frozen, h.thawing, h.pause = false, false, newParking()
	if h.resume != nil {
		h.setResume(max(0, time.Until(h.expires)))
	}
	if h.ring != nil {
		h.armTrim()
	}
}

// freeze stops the writer and keeps what it did not write.
func (in *input) freeze() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.frozen = true
	_ = in.h.proc.SetWriteDeadline(past())
	for in.writing {
		in.idle.Wait()
	}
}

// thaw writes on.
func (in *input) thaw() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.frozen = false
	if !in.void {
		_ = in.h.proc.SetWriteDeadline(time.Time{})
	}
	in.begin()
}
