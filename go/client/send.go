package client

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"etcha/go/wire"
)

const (
	// postTimeout is the time for one request inside a session.
	postTimeout = wire.RequestRead
	// probeMin and probeMax bound the pauses after which the node is asked for
	// room that it has not told of.
	probeMin = time.Second
	probeMax = wire.RetryMax
	// maxAcks is how many requests may be under way while one more is started
	// for an acknowledgement alone.
	maxAcks = eager
)

// once sends one request inside the session. Each tells what output was consumed.
func (s *Session) once(ctx context.Context, sh wire.Shell) (wire.Answer, error) {
	sh.Ack = s.consumed.Load()
	raise(&s.told, sh.Ack)
	tok, err := s.seal.sign(s.c.claims(s.node, s.source, s.info.Session, &sh))
	if err != nil {
		return wire.Answer{}, err
	}
	var ans wire.Answer
	start := s.c.o.Now()
	err = s.c.exchange(ctx, s.c.transport, s.url, tok, postTimeout, &ans)
	s.c.trace(ctx, s.url, &sh, len(tok), start, err)
	if err != nil {
		s.told.Store(s.acked.Load()) // too low at worst: then it is told twice
		s.orders.tick()
		return wire.Answer{}, err
	}
	raise(&s.acked, sh.Ack)
	return ans, nil
}

// raise sets v to at least n.
func raise(v *atomic.Uint64, n uint64) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); {
		old = v.Load()
	}
}

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

// acknowledge tells the node of consumed output, once there is enough of it.
// On a long path one acknowledgement after another would take two round trips
// for each window; so further ones leave while the first is under way.
func (s *Session) acknowledge(end uint64) {
	switch due := end - s.told.Load(); {
	case due < s.ackEvery:
	case due < max(2*s.ackEvery, s.info.Window/4) || !s.alsoAck(end):
		s.orders.tick()
	}
}

// alsoAck starts a sender with an acknowledgement, when few are under way.
func (s *Session) alsoAck(end uint64) bool {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if s.in.err != nil || s.in.senders >= maxAcks {
		return false
	}
	raise(&s.told, end)
	s.in.senders++
	s.requests.Add(1)
	go s.sendAck()
	return true
}

// sendAck is a sender that begins with an acknowledgement. When that fails the
// tender does it.
func (s *Session) sendAck() {
	ans, err := s.once(s.ctx, wire.Shell{Op: wire.OpAck})
	if err == nil {
		s.heard(ans)
	}
	s.in.mu.Lock()
	c := s.in.take(s.c.o.Now())
	if c == nil {
		s.in.senders--
		s.launch()
	}
	s.in.mu.Unlock()
	s.send(c)
}

// backoff is the pauses between tries: none, then from wire.RetryMin doubling
// to wire.RetryMax, with jitter.
type backoff struct{ last time.Duration }

// next is the next pause, at least as long as was asked for.
func (b *backoff) next(asked time.Duration) time.Duration {
	if b.last == 0 {
		b.last = wire.RetryMin / 2
		return asked
	}
	b.last = min(2*b.last, wire.RetryMax)
	return max(asked, b.last/2+rand.N(b.last/2+1))
}
