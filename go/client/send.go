package client

import (
	"time"

	"etcha/go/wire"
)

// The pauses after which the node is asked for room that it has not told of.
const (
	probeMin = time.Second
	probeMax = wire.RetryMax
)

// launch starts senders for what may be sent. The lock of the input is held.
func (s *Session) launch() {
	for s.in.more() {
		c := s.in.take(s.c.o.Now())
		if c == nil {
			break
		}
		s.in.senders++
		s.requests.Add(1)
		go s.send(c)
	}
	s.watchRoom()
}

// send sends a chunk and then whatever else may be sent.
func (s *Session) send(c *chunk) {
	defer s.requests.Done()
	var b backoff
	for c != nil {
		corrections := s.c.corrections.Load()
		ans, err := s.once(s.ctx, wire.Shell{Op: wire.OpInput, Offset: c.offset, Data: c.data, EOF: c.eof})
		if err == nil {
			b = backoff{}
		} else if !s.retry(c, err, corrections) {
			s.leave()
			return
		} else {
			select {
			case <-s.c.waits.after(b.next(pauseOf(err))):
			case <-s.ctx.Done():
			}
		}
		c = s.settle(c, ans, err)
	}
}

// retry reports whether a chunk that was refused or not answered is to be sent
// again; otherwise the input, or the session, has ended.
func (s *Session) retry(c *chunk, err error, corrections uint64) bool {
	code := refusal(err)
	tries := s.c.waits.tries
	switch {
	case s.ctx.Err() != nil:
		return false
	case code == wire.CodeEnded || code == wire.CodeNotFound || code == wire.CodeDenied:
		s.in.fail(ErrEnded)
		s.ended()
		return false
	case code == wire.CodeClockSkew || code == wire.CodeReplayed:
		tries = wire.TokenRetries
	}
	if code != wire.CodeOffset && !temporary(err) || c.tries >= tries {
		s.finish(wire.Exit{}, &LossError{err})
		return false
	}
	if code == wire.CodeClockSkew || code == wire.CodeExpired {
		// Without an answer the token may still be right the next time.
		_ = s.c.correctClock(s.ctx, corrections)
	}
	return true
}

// settle books what became of a chunk and returns the next one to send; nil
// ends the sender.
func (s *Session) settle(c *chunk, ans wire.Answer, err error) *chunk {
	in, now := s.in, s.c.o.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	if err == nil {
		in.answered(c, ans, now)
	} else {
		in.refused(c, err, now)
	}
	next := in.take(now)
	if next == nil {
		in.senders--
	}
	s.launch()
	return next
}

// leave ends a sender.
func (s *Session) leave() {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.in.senders--
}

// watchRoom sees to it that input which waits for room does not wait for ever,
// should the event that tells of it be lost. The lock of the input is held.
func (s *Session) watchRoom() {
	switch {
	case !s.in.stuck():
		s.probe.Stop()
		s.probing, s.probeIn = false, s.c.waits.probe
	case !s.probing:
		s.probing = true
		s.probe.Reset(s.probeIn)
		s.probeIn = min(2*s.probeIn, probeMax)
	}
}

// askRoom sends an acknowledgement for the sake of its answer.
func (s *Session) askRoom() {
	s.in.mu.Lock()
	s.probing = false
	s.in.mu.Unlock()
	s.orders.wantAnswer()
}
