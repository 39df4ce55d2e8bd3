package client

import (
	"sync/atomic"
	"time"

	"etcha/go/wire"
)

// NoPauses lets all pauses between tries end at once, on a clock that takes them
// for passed.
func (c *Client) NoPauses() *Clock {
	clock := &Clock{}
	now := make(chan time.Time)
	close(now)
	c.waits.now = clock.Now
	c.waits.after = func(d time.Duration) <-chan time.Time {
		clock.Skip(d)
		return now
	}
	return clock
}

// LongPausesOnly lets pauses of up to a second end at once, and longer ones never.
func (c *Client) LongPausesOnly() {
	clock := c.NoPauses()
	short := c.waits.after
	c.waits.after = func(d time.Duration) <-chan time.Time {
		if d > time.Second {
			return nil
		}
		return short(d)
	}
	c.waits.now = clock.Now
}

// Clock is the time of day, with the pauses that were skipped.
type Clock struct{ skip atomic.Int64 }

// Now is the clock's time.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.skip.Load())) }

// Skip lets time pass.
func (c *Clock) Skip(d time.Duration) { c.skip.Add(int64(d)) }

// ManyTries lets a client try the same signal for ever.
func (c *Client) ManyTries() { c.waits.tries = 1 << 30 }

// ShortPatience lets a client give up a request without an answer after d, while
// the stream is silent.
func (c *Client) ShortPatience(d time.Duration) { c.waits.unanswered = d }

// ShortWaits lets a client give up a session that is gone, and ask for room, after d.
func (c *Client) ShortWaits(d time.Duration) { c.waits.gone, c.waits.probe = d, d }

// ShortEnd lets a client wait for d until a session is closed or left.
func (c *Client) ShortEnd(d time.Duration) { c.waits.close, c.waits.detach = d, d }

// ShortSilence lets a client give up a silent stream after d.
func (c *Client) ShortSilence(d time.Duration) { c.waits.silence = d }

// PayloadSize and Padding are those of a request token.
func PayloadSize(c wire.Claims) (int, error) { return payloadSize(c) }

// Sizes of the input's flow control, for tests.
const (
	MaxFlying  = maxFlying
	MaxWaiting = maxWaiting
	MaxTries   = maxTries
)

// ParseKnown parses a file of known nodes and writes it again.
func ParseKnown(file string, text []byte) ([]KnownNode, []byte, error) {
	k, err := parseKnown(file, text)
	if err != nil {
		return nil, nil, err
	}
	var all []KnownNode
	for _, l := range k.lines {
		if l.node.Target != "" {
			all = append(all, l.node)
		}
	}
	return all, k.text(), nil
}

// Reading reports whether the session waits for its stream to bring something.
func (s *Session) Reading() bool {
	l := s.present()
	return l != nil && l.pulse.waiting()
}

// Ticking reports whether the session sends on a beat, or decoys.
func (s *Session) Ticking() bool {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	return s.rhythm.ticking
}
