package session

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"etcha/go/errs"
	"etcha/go/sse"
	"etcha/go/wire"
)

const (
	// ceased is how long no input has to come for the beat to end: longer than
	// what a network takes now and then, so that the beat has no holes.
	ceased = 12 * wire.Beat
	// answerAfter is when an input is answered on the beat: the keeper takes a
	// key and no decoy, and has been asked by then.
	answerAfter = wire.Beat / 4
	// answerSize is the JSON of an answer with its padding, bytes.
	answerSize = 96
	// keyMax bounds the input that counts as keys, bytes.
	keyMax = 64
	// echoMin and echoMax bound, at random, how long the event that a decoy draws
	// takes: as an echo does, and behind the answer.
	echoMin = 800 * time.Microsecond
	echoMax = 3 * time.Millisecond
	// hushMin and hushMax bound, at random, how long an echo may take until
	// something else is sent in its place.
	hushMin = 4 * time.Millisecond
	hushMax = 12 * time.Millisecond
	// decoyRate is how many events a second a client may draw beyond the first
	// decoyBurst.
	decoyRate  = 100
	decoyBurst = 25
)

// rhythm is what a session knows of when input comes, whoever sends it.
type rhythm struct {
	born  time.Time
	heard atomic.Int64 // of the last input, nanoseconds after born; 0: none came
}

// obscure is how the rhythm of typing is hidden; empty: not. Who types into
// pipes is a program.
func (s *Session) obscure() wire.Obscure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal || s.shell.Obscure == wire.ObscureOff {
		return ""
	}
	return s.shell.Obscure
}

// beating reports whether output leaves on the beat: input has just come on it.
func (s *Session) beating() bool {
	q := &s.rhythm
	heard := time.Duration(q.heard.Load())
	return heard > 0 && s.r.o.Now().Sub(q.born)-heard < ceased
}

// beat books that input came, before anybody can see what becomes of it.
func (s *Session) beat() {
	was := s.beating()
	s.rhythm.heard.Store(int64(max(s.r.o.Now().Sub(s.rhythm.born), 1)))
	if !was {
		s.stir()
	}
}

// conceal carries out an input of the owner or of j in a session whose rhythm is
// hidden. A decoy goes no further than this: the program, the numbering and the
// idle timeout know nothing of it.
func (s *Session) conceal(ctx context.Context, j *Viewer, mode wire.Obscure, sh wire.Shell, input func() error) error {
	if sh.Decoy && (len(sh.Data) > 0 || sh.EOF) {
		return errs.New(wire.CodeBadRequest, "a decoy with data")
	}
	switch {
	case mode == wire.ObscureInterval:
		return s.onBeat(ctx, j, sh.Decoy, input)
	case sh.Decoy:
		if mode == wire.ObscureChaff {
			s.draw(j)
		}
		return nil
	case mode == wire.ObscureChaff && len(sh.Data) <= keyMax:
		s.unlessEchoed(j)
	}
	return input()
}

// onBeat answers a key as late as a decoy, as long as they come no faster than on
// a beat.
func (s *Session) onBeat(ctx context.Context, j *Viewer, decoy bool, input func() error) error {
	s.beat()
	if decoy {
		input = func() error { return nil }
	}
	now := s.r.o.Now()
	if !s.typist(j).drawing.allow(now.Sub(s.rhythm.born)) {
		return input()
	}
	due := make(chan struct{})
	stop := s.r.o.After(answerAfter-exactly, func() { close(due) })
	defer stop()
	if err := input(); err != nil {
		return err
	}
	select {
	case <-due:
		s.r.until(now.Add(answerAfter))
	case <-ctx.Done():
	case <-s.r.ctx.Done():
	}
	return nil
}

// draw has an event sent to the owner or to j, as a decoy demands: when an echo
// would come, or what stands for it.
func (s *Session) draw(j *Viewer) {
	t := s.typist(j)
	if !t.drawing.allow(s.r.o.Now().Sub(s.rhythm.born)) {
		return
	}
	least, most := echoMin, echoMax
	if t.hushed.Load() {
		least, most = hushMin, hushMax
	}
	s.r.o.After(least+rand.N(most-least), func() { s.owe(j) })
}

// owe has an event sent to the owner or to j.
func (s *Session) owe(j *Viewer) {
	s.typist(j).owed.Add(1)
	if j == nil {
		poke(s.kick)
	} else {
		poke(j.poke)
	}
}

// unlessEchoed has an event sent after a key, unless output comes soon: a key that is
// not echoed, as in a password, would be the one that draws nothing.
func (s *Session) unlessEchoed(j *Viewer) {
	t := s.typist(j)
	t.unechoed.Add(1)
	s.r.o.After(hushMin+rand.N(hushMax-hushMin), func() {
		n := t.unechoed.Load()
		if n <= 0 || !t.unechoed.CompareAndSwap(n, n-1) {
			return
		}
		t.hushed.Store(true)
		if t.drawing.allow(s.r.o.Now().Sub(s.rhythm.born)) {
			s.owe(j)
		}
	})
}

// padded makes all answers in a session equally long.
func padded(a wire.Answer) wire.Answer {
	bare, err := json.Marshal(a)
	if err != nil { // three numbers
		return a
	}
	a.Pad = strings.Repeat("0", max(answerSize-len(bare)-len(`,"pad":""`), 1))
	return a
}

// drawn is what the requests of one who types demand of its stream.
type drawn struct {
	owed     atomic.Int32 // decoy events to be sent
	unechoed atomic.Int32 // keys after which no output was sent so far
	hushed   atomic.Bool  // the last key had no echo
	drawing  allowance
}

// allowance bounds how often something is done: a bucket of decoyBurst that
// fills with decoyRate.
type allowance struct {
	full atomic.Int64 // when it is full, nanoseconds after rhythm.born
}

// allow takes one out of the bucket at a time after rhythm.born.
func (a *allowance) allow(now time.Duration) bool {
	const one = int64(time.Second / decoyRate)
	for {
		old := a.full.Load()
		next := max(old, int64(now)) + one
		if next-int64(now) > decoyBurst*one {
			return false
		}
		if a.full.CompareAndSwap(old, next) {
			return true
		}
	}
}

// cover is how one stream hides the rhythm; it belongs to the stream's goroutine.
type cover struct {
	mode wire.Obscure // what the client was told; empty: nothing is hidden
	of   *drawn       // who the stream is for
	next time.Time    // the beat that is waited for; zero: there is none
	tick chan struct{}
}

// onBeat reports whether what is to be sent waits for the beat.
func (t *teller) onBeat() bool {
	return t.cover.mode == wire.ObscureInterval && t.s.beating()
}

// cloak begins to hide as the client was told.
func (t *teller) cloak(mode wire.Obscure, of *drawn) {
	t.cover = cover{mode: mode, of: of, tick: make(chan struct{}, 1)}
	of.owed.Store(0) // to another stream
	of.unechoed.Store(0)
}

// await waits for news by wait, or for the next beat while there is one. When
// the first input has come, what it draws does not leave before the first beat.
func (t *teller) await(ctx context.Context, stop <-chan struct{}, wait func() error) error {
	if !t.onBeat() {
		t.cover.next = time.Time{}
		if err := wait(); err != nil || !t.onBeat() {
			return err
		}
	}
	cancel := t.s.r.o.After(t.cover.advance(t.s.r.o.Now())-exactly, func() { poke(t.cover.tick) })
	defer cancel()
	select {
	case <-t.cover.tick:
		t.s.r.until(t.cover.next)
	case <-stop:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// advance gives how long it is until the next beat. The beats are wire.Beat
// apart, whenever input comes and however late one was; the first is between two
// of the client's, away from when those are answered.
func (c *cover) advance(now time.Time) time.Duration {
	if c.next.IsZero() {
		c.next = now.Add(wire.Beat / 2)
	} else {
		c.next = c.next.Add(wire.Beat)
	}
	if late := now.Sub(c.next); late >= 0 {
		c.next = c.next.Add((late/wire.Beat + 1) * wire.Beat)
	}
	return c.next.Sub(now)
}

// decoys sends the events that are owed, one by one, and the beat's own when
// nothing else is sent on it.
func (t *teller) decoys() error {
	if t.cover.mode == "" {
		return nil
	}
	n := t.cover.of.owed.Swap(0)
	if t.onBeat() {
		n = 1
		if t.unsent {
			n = 0
		}
	}
	for range n {
		if err := t.flush(); err != nil {
			return err
		}
		t.unsent = true
		if err := t.w.Event(wire.EventKeepalive, sse.NoID, decoyText); err != nil {
			return err
		}
	}
	return nil
}

// decoyText fits into the size of an echo.
var decoyText = []byte("0")

// echoed books that output was sent.
func (t *teller) echoed() {
	if t.cover.mode != "" && t.cover.of.unechoed.Swap(0) > 0 {
		t.cover.of.hushed.Store(false)
	}
}
