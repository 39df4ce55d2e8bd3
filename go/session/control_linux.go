package session

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/token"
	"etcha/go/wire"
)

// controls orders control operations: the keeper has one count, of which share
// is the part of those who joined; each client counts its own.
type controls struct {
	mu      sync.Mutex
	share   share         // guarded by mu
	unsaved bool          // guarded by mu: the keeper may remember another share
	seq     atomic.Uint64 // last one of the owner that was applied; changed under mu
}

// control resizes, signals or closes, for the owner with the key by or for j,
// who joined.
func (s *Session) control(ctx context.Context, by token.PublicKey, j *Viewer, sh wire.Shell) error {
	switch sh.Op {
	case wire.OpResize:
		if err := authz.CheckSize(sh.Cols, sh.Rows); err != nil {
			return err
		}
		if j != nil {
			return nil // the terminal has its owner's size
		}
		return s.resize(ctx, by, sh)
	case wire.OpSignal:
		if !wire.KnownSignal(sh.Signal) {
			return errs.New(wire.CodeBadRequest, "there is no signal %.16q", sh.Signal)
		}
		return s.ordered(ctx, by, j, sh.Seq, func(seq uint64) error {
			_, err := s.held.Signal(ctx, seq, sh.Signal)
			return err
		})
	default:
		return s.close(by, j, sh.Seq)
	}
}

// close ends the session for its owner; somebody who joined leaves it.
func (s *Session) close(by token.PublicKey, j *Viewer, seq uint64) error {
	s.controls.mu.Lock()
	defer s.controls.mu.Unlock()
	if err := s.stillActs(by, j); err != nil {
		return err
	}
	switch {
	case j != nil:
		j.cut()
	case seq > s.controls.seq.Load():
		s.endFor(wire.ReasonClosed)
	}
	return nil
}

func (s *Session) resize(ctx context.Context, by token.PublicKey, sh wire.Shell) error {
	applied := false
	err := s.ordered(ctx, by, nil, sh.Seq, func(seq uint64) error {
		st, err := s.held.Resize(ctx, seq, sh.Cols, sh.Rows)
		applied = err == nil && st.Seq == seq
		return err
	})
	if applied {
		s.resized(ctx, wire.Size{Cols: sh.Cols, Rows: sh.Rows})
	}
	return err
}

// resized tells everybody the terminal's new size. That the next daemon knows it
// is worth no refusal.
func (s *Session) resized(ctx context.Context, size wire.Size) {
	if rec := s.remembered(); !s.terminal || rec.Cols == size.Cols && rec.Rows == size.Rows {
		return
	}
	s.recording.resized(size)
	err := s.save(ctx, func(r *memo) { r.Cols, r.Rows = size.Cols, size.Rows })
	if err != nil {
		s.log.Debug("size of the terminal is not remembered", "err", err)
		s.mu.Lock()
		s.memo.Cols, s.memo.Rows = size.Cols, size.Rows
		s.mu.Unlock()
	}
	s.readers.rouse()
}

// ordered applies a control operation if its seq is above the last one of the
// same client, under the keeper's own number for it.
func (s *Session) ordered(ctx context.Context, by token.PublicKey, j *Viewer, seq uint64, apply func(uint64) error) error {
	c := &s.controls
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.stillActs(by, j); err != nil {
		return err
	}
	last := &c.seq
	if j != nil {
		last = &j.seq
	}
	if seq <= last.Load() {
		return nil
	}
	at, err := s.claimControl(ctx, j, seq)
	if err != nil {
		return err
	}
	err = apply(at)
	st := s.held.State()
	// With an error the keeper may apply it yet.
	c.unsaved = c.unsaved || err != nil || j != nil && st.Seq != at
	if st.Seq >= at {
		last.Store(seq)
	}
	return err
}

// claimControl gives the keeper's number for a client's operation, and has it
// remember one of j beforehand. The caller holds controls.mu.
func (s *Session) claimControl(ctx context.Context, j *Viewer, seq uint64) (uint64, error) {
	c := &s.controls
	if c.unsaved {
		// What was given before has been applied when this returns.
		if err := s.save(ctx, func(*memo) {}); err != nil {
			return 0, err
		}
	}
	at := s.held.State().Seq
	theirs := c.share.of(at)
	if j == nil && seq > math.MaxUint64-theirs || at == math.MaxUint64 {
		return 0, errs.New(wire.CodeBadRequest, "a seq of %d", seq)
	}
	if j == nil && !c.unsaved {
		return seq + theirs, nil
	}
	next := share{Base: theirs, From: at}
	if j != nil {
		next.Len = 1
	}
	c.unsaved = true
	if err := s.save(ctx, func(r *memo) { r.Seqs = next }); err != nil {
		return 0, err
	}
	c.share, c.unsaved = next, false
	if j != nil {
		return at + 1, nil
	}
	c.seq.Store(at - min(at, theirs))
	return seq + theirs, nil
}

// answer is where the owner, or j, stands.
func (s *Session) answer(st keeper.State, j *Viewer) wire.Answer {
	t := s.typist(j)
	if st.Room < lowRoom {
		t.low.Store(true)
	}
	a := wire.Answer{Offset: t.accepted.Load(), Room: st.Room, Seq: s.controls.seq.Load()}
	if j != nil {
		a.Seq = j.seq.Load()
	}
	return a
}
