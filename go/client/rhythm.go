package client

import (
	"math/rand/v2"
	"time"

	"etcha/go/wire"
)

const (
	// keyMax bounds the input that counts as keys, bytes: decoys hide among keys,
	// not among what is pasted.
	keyMax = 64
	// chaffMin and chaffMax bound, at random, the time between two decoys of
	// wire.ObscureChaff.
	chaffMin = 30 * time.Millisecond
	chaffMax = 150 * time.Millisecond
	// maxBesides is how many requests may be under way for another decoy of
	// wire.ObscureChaff: keys come first.
	maxBesides = maxFlying / 2
)

// rhythm hides from who watches the link when somebody types. It says when
// something may leave, and for how long decoys do; input.mu guards it.
type rhythm struct {
	mode    wire.Obscure // empty: nothing is hidden
	origin  time.Time    // a beat; all others are whole beats away from it
	until   time.Time    // decoys leave until then
	ticking bool         // timer is set
	next    time.Time    // when it is for
	timer   *time.Timer
}

// hide begins to hide as the node says, on the beats of a random origin.
func (r *rhythm) hide(mode wire.Obscure, now time.Time) {
	r.mode = ""
	if mode == wire.ObscureChaff || mode == wire.ObscureInterval {
		r.mode = mode
	}
	r.origin = now.Add(-rand.N(wire.Beat))
}

// paced reports whether input leaves on the beat only.
func (r *rhythm) paced() bool { return r.mode == wire.ObscureInterval }

// struck books that somebody wrote n bytes.
func (r *rhythm) struck(n int, now time.Time) {
	if n > 0 && (r.paced() || r.mode == wire.ObscureChaff && n <= keyMax) {
		r.until = now.Add(wire.DecoyMin + rand.N(wire.DecoyMax-wire.DecoyMin))
	}
}

// lively reports whether decoys are due.
func (r *rhythm) lively(now time.Time) bool { return r.mode != "" && now.Before(r.until) }

// pause is how long it is until the next beat, or the next decoy.
func (r *rhythm) pause(now time.Time) time.Duration {
	if !r.paced() {
		return chaffMin + rand.N(chaffMax-chaffMin)
	}
	return wire.Beat - now.Sub(r.origin)%wire.Beat
}

// wind starts the beat, where there is something to send on it. The lock of the
// input is held.
func (s *Session) wind() {
	r := &s.rhythm
	if r.mode == "" || r.ticking || s.link == nil {
		return
	}
	now := s.c.waits.now()
	if r.lively(now) || r.paced() && s.in.unsent > 0 {
		r.set(now)
	}
}

// set sets the timer to the next beat or decoy.
func (r *rhythm) set(now time.Time) {
	pause := r.pause(now)
	r.ticking, r.next = true, now.Add(pause)
	r.timer.Reset(pause - exactly)
}

// tick is the beat. It goes on until there is nothing to send, nor to hide.
func (s *Session) tick() {
	s.in.mu.Lock()
	r := &s.rhythm
	rest := r.next.Sub(s.c.waits.now())
	s.in.mu.Unlock()
	sleep(min(rest, exactly))
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	now := s.c.waits.now()
	r.ticking = false
	if s.link == nil || s.in.err != nil || s.in.paused {
		return // the next link winds it again
	}
	var on bool
	if r.paced() {
		on = s.onBeat(now)
	} else {
		on = s.chaff(now)
	}
	if on {
		r.set(now)
	}
}

// onBeat sends what has gathered, or a decoy, as one request; more only when it
// is much, which hides nothing. While no more may be under way neither leaves.
func (s *Session) onBeat(now time.Time) (on bool) {
	lively := s.rhythm.lively(now)
	if s.in.senders >= maxFlying {
		return lively || s.in.unsent > 0
	}
	c := s.in.take(now)
	if c == nil {
		if lively {
			s.sendDecoy()
		}
		return lively
	}
	for c != nil {
		s.started()
		go s.send(s.link, c)
		c = nil
		if s.in.senders < maxFlying && s.in.unsent >= wire.MaxInput {
			c = s.in.take(now)
		}
	}
	return true
}

// chaff sends a decoy, unless keys would wait for it.
func (s *Session) chaff(now time.Time) (on bool) {
	if !s.rhythm.lively(now) {
		return false
	}
	if s.in.senders <= maxBesides {
		s.sendDecoy()
	}
	return true
}

// sendDecoy starts a sender with a decoy. It is sent once, whatever becomes of it.
func (s *Session) sendDecoy() {
	s.started()
	s.in.decoys++
	go s.sendBeside(s.link, wire.Shell{Op: wire.OpInput, Decoy: true})
}

// following is what a sender sends after another request: on the beat nothing.
// The lock of the input is held.
func (s *Session) following(now time.Time) *chunk {
	if s.rhythm.paced() {
		return nil
	}
	return s.in.take(now)
}
