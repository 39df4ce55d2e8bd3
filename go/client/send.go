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
func (s *Session) once(ctx context.Context, l *link, sh wire.Shell) (wire.Answer, error) {
	sh.Ack = s.consumed.Load()
	raise(&s.told, sh.Ack)
	tok, err := l.seal.sign(s.c.claims(s.node, s.source, s.id, &sh))
	if err != nil {
		return wire.Answer{}, err
	}
	via := l.via
	if l.dead() {
		via = s.c.shared()
	}
	var ans wire.Answer
	u := s.c.route(wire.PathSession(s.source, s.id))
	start := s.c.o.Now()
	answered := l.pulse.expect(s.littleUnderWay)
	err = s.c.exchange(ctx, via, u, tok, bounds{limit: postTimeout, most: wire.MaxNodeAnswer}, &ans)
	answered()
	s.c.trace(ctx, u, &sh, len(tok), start, err)
	if err != nil {
		s.told.Store(s.acked.Load()) // too low at worst: then it is told twice
		s.orders.tick()
		return wire.Answer{}, err
	}
	raise(&s.acked, sh.Ack)
	return ans, nil
}

// littleUnderWay reports whether what is under way is so little that an answer
// is due soon, however slow the line.
func (s *Session) littleUnderWay() bool {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	return s.in.inFlight <= 2*minPiece
}

// raise sets v to at least n.
func raise(v *atomic.Uint64, n uint64) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); {
		old = v.Load()
	}
}

// launch starts senders for what may be sent. The lock of the input is held.
func (s *Session) launch() {
	for !s.rhythm.paced() && s.in.more() {
		c := s.in.take(s.c.waits.now())
		if c == nil {
			break
		}
		s.started()
		go s.send(s.link, c)
	}
	s.wind()
	s.watchRoom()
}

// started books a sender. The lock of the input is held, and there is a link.
func (s *Session) started() {
	s.in.senders++
	s.requests.Add(1)
	s.link.requests.Add(1)
}

// doneSending books the end of a sender's goroutine.
func (s *Session) doneSending(l *link) {
	l.requests.Done()
	s.requests.Done()
}

// send sends a chunk and then whatever else may be sent.
func (s *Session) send(l *link, c *chunk) {
	defer s.doneSending(l)
	var b backoff
	for c != nil {
		corrections := s.c.corrections.Load()
		ans, err := s.once(l.ctx, l, wire.Shell{Op: wire.OpInput, Offset: c.offset, Data: c.data, EOF: c.eof})
		switch {
		case err == nil:
			b = backoff{}
		case l.dead(): // the next link sends it again
		case s.retry(l, c, err, corrections):
			s.c.waits.pause(l.ctx, b.next(pauseOf(err)))
		default:
			s.leave()
			return
		}
		c = s.settle(c, ans, err)
	}
}

// retry reports whether a chunk that was refused or not answered is to be sent
// again; otherwise the input, or the session, has ended. It is sent again for as
// long as a lost link would be.
func (s *Session) retry(l *link, c *chunk, err error, corrections uint64) bool {
	code := refusal(err)
	over := !c.since.IsZero() && s.c.waits.now().Sub(c.since) >= seconds(s.Info().ResumeFor)
	switch code {
	case wire.CodeEnded, wire.CodeNotFound, wire.CodeDenied:
		s.in.fail(ErrEnded)
		s.ended()
		return false
	case wire.CodeClockSkew, wire.CodeReplayed:
		over = over || c.tries >= wire.TokenRetries
	}
	if code != wire.CodeOffset && !temporary(err) || over {
		s.finish(wire.Exit{}, &LossError{err})
		return false
	}
	if code == wire.CodeClockSkew || code == wire.CodeExpired {
		// Without an answer the token may still be right the next time.
		_ = s.c.correctClock(l.ctx, corrections)
	}
	return true
}

// settle books what became of a chunk and returns the next one to send; nil
// ends the sender.
func (s *Session) settle(c *chunk, ans wire.Answer, err error) *chunk {
	in, now := s.in, s.c.waits.now()
	in.mu.Lock()
	defer in.mu.Unlock()
	if err == nil {
		in.answered(c, ans, now)
	} else {
		in.refused(c, err, now)
	}
	next := s.following(now)
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
	if s.role == wire.RoleViewer {
		return // only the owner's count
	}
	switch due := end - s.told.Load(); {
	case due < s.ackEvery:
	case due < max(2*s.ackEvery, s.info.Load().Window/4) || !s.alsoAck(end):
		s.orders.tick()
	}
}

// alsoAck starts a sender with an acknowledgement, when few are under way.
func (s *Session) alsoAck(end uint64) bool {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if s.in.err != nil || s.link == nil || s.in.senders >= maxAcks {
		return false
	}
	raise(&s.told, end)
	s.started()
	go s.sendBeside(s.link, wire.Shell{Op: wire.OpAck})
	return true
}

// sendBeside is a sender that begins with an acknowledgement or a decoy. When
// that fails the tender acknowledges.
func (s *Session) sendBeside(l *link, sh wire.Shell) {
	ans, err := s.once(l.ctx, l, sh)
	if err == nil {
		s.heard(ans)
	}
	s.in.mu.Lock()
	if sh.Decoy {
		s.in.decoys--
	}
	c := s.following(s.c.waits.now())
	if c == nil {
		s.in.senders--
		s.launch()
	}
	s.in.mu.Unlock()
	s.send(l, c)
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
