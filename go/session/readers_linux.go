package session

import (
	"context"
	"sync/atomic"
)

// readers is how those who read a session hear of news. The keeper's word has
// one consumer at a time: the owner's stream takes it itself, so that an echo
// goes from the keeper to the owner without another goroutine in between, and
// wakes the others first, which costs nothing where there are none. While the
// owner's stream is busy, which may be for long with a slow client, or nobody is
// attached, those others take the keeper's word in its stead.
type readers struct {
	// tending counts the owner's streams that wait for the keeper's word: one, or
	// for a moment two.
	tending atomic.Int32
	// standIns counts the others that wait for it.
	standIns atomic.Int32
	// others are the channels, of capacity 1, of those beside the owner; nil: none.
	others atomic.Pointer[[]chan struct{}]
}

// rouse wakes all readers but the owner's stream.
func (q *readers) rouse() {
	if all := q.others.Load(); all != nil {
		for _, c := range *all {
			poke(c)
		}
	}
}

// stir wakes everybody who reads the session.
func (s *Session) stir() {
	poke(s.kick)
	s.readers.rouse()
}

// tend waits for news as the owner's stream, until the context ends or stop is
// closed.
func (s *Session) tend(ctx context.Context, stop <-chan struct{}) error {
	q := &s.readers
	q.tending.Add(1)
	if q.standIns.Load() > 0 {
		q.rouse() // the next word is not theirs
	}
	var err error
	select {
	case <-s.held.Changed():
	case <-s.kick:
	case <-stop:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	q.tending.Add(-1)
	q.rouse()
	return err
}

// follow waits for news as another reader, whose channel own is.
func (s *Session) follow(ctx context.Context, own <-chan struct{}) error {
	q := &s.readers
	var changed <-chan struct{}
	if q.standIns.Add(1); q.tending.Load() == 0 {
		changed = s.held.Changed()
	} else {
		q.standIns.Add(-1)
	}
	var err error
	select {
	case <-changed:
		s.stir()
	case <-own:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if changed != nil {
		q.standIns.Add(-1)
	}
	return err
}

// regroup counts anew who reads beside the owner. The caller holds mu.
func (s *Session) regroup() {
	var all []chan struct{}
	for _, v := range s.viewers {
		all = append(all, v.poke)
	}
	if s.recording != nil && s.recording.active.Load() {
		all = append(all, s.recording.poke)
	}
	if all == nil {
		s.readers.others.Store(nil)
		return
	}
	s.readers.others.Store(&all)
}
