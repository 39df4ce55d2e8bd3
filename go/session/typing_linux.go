package session

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/token"
	"etcha/go/wire"
)

// OffsetError is a refusal of the code offset and carries the one wanted.
type OffsetError struct {
	Offset uint64 // input: the next byte wanted; attach: the output head
	Room   uint64 // input: bytes that may be sent beyond Offset
	Err    error  // an errs.Error
}

func (e *OffsetError) Error() string { return e.Err.Error() }

// Unwrap gives the refusal.
func (e *OffsetError) Unwrap() error { return e.Err }

// typist is one who types: the owner, or somebody who joined. Each numbers the
// own bytes from 0.
type typist struct {
	assembler               // guarded by typing.mu
	accepted  atomic.Uint64 // own bytes that the keeper has; changed under typing.mu
	closed    bool          // the end of the input was given; guarded by typing.mu
	low       atomic.Bool   // it was told of little room
	drawn
}

// restart forgets what came early: another client goes on where this one was,
// and numbers its own bytes.
func (t *typist) restart() {
	t.early = nil
	if !t.closed {
		t.ends, t.end = false, 0
	}
}

// typing is a session's input before it is with the keeper: whole requests of
// one after those of another.
type typing struct {
	mu    sync.Mutex
	owner typist
	// share is what the keeper remembers of the others' input, unsaved that it
	// may remember something else; it must not when the next byte comes.
	share   share
	unsaved bool
}

// lowRoom is the room below which a client is told when there is more again.
const lowRoom = wire.InputWindow / 2

// resumeTyping finds the numbers again that an earlier daemon left.
func (s *Session) resumeTyping(rec memo) {
	st := s.held.State()
	in, c := &s.typing, &s.controls
	in.share, in.unsaved = rec.Bytes, !rec.Bytes.settled(st.Accepted)
	in.owner.accepted.Store(st.Accepted - min(st.Accepted, in.share.of(st.Accepted)))
	c.share, c.unsaved = rec.Seqs, !rec.Seqs.settled(st.Seq)
	c.seq.Store(st.Seq - min(st.Seq, c.share.of(st.Seq)))
}

// input puts a piece of input in order and gives the keeper what now follows. It
// is that of the owner, with the key by, or of j, who joined.
func (s *Session) input(ctx context.Context, by token.PublicKey, j *Viewer, sh wire.Shell) error {
	p := piece{sh.Offset, sh.Data}
	if err := s.checkInput(j, p, sh.EOF); err != nil {
		return err
	}
	in := &s.typing
	in.mu.Lock()
	defer in.mu.Unlock()
	// Whoever takes over counts on the offset that it was told.
	if err := s.stillActs(by, j); err != nil {
		return err
	}
	t := s.typist(j)
	next, room := t.accepted.Load(), s.held.State().Room
	if p.end() > next+room || !t.fits(next, p) {
		t.low.Store(true)
		return &OffsetError{
			Offset: next, Room: room,
			Err: errs.New(wire.CodeOffset, "input up to %d is beyond the window, which ends at %d", p.end(), next+room),
		}
	}
	if t.beyond(p.end()) || sh.EOF && !t.close(p.end()) {
		return errs.New(wire.CodeBadRequest, "input follows its own end")
	}
	data := t.add(next, p)
	// What had come early may fit no more when others have typed meanwhile: it is
	// sent again by a client that sees it is not accepted.
	return s.give(ctx, t, j, data[:min(uint64(len(data)), room)])
}

// typist is who types as j, or as the owner.
func (s *Session) typist(j *Viewer) *typist {
	if j == nil {
		return &s.typing.owner
	}
	return &j.typist
}

func (s *Session) checkInput(j *Viewer, p piece, eof bool) error {
	switch {
	case len(p.data) > wire.MaxInput:
		return errs.New(wire.CodeTooLarge, "an input of %d bytes; the limit is %d", len(p.data), wire.MaxInput)
	case p.offset > math.MaxUint64-wire.MaxInput:
		return errs.New(wire.CodeBadRequest, "an offset of %d", p.offset)
	case eof && s.terminal:
		return errs.New(wire.CodeBadRequest, "the input of a terminal has no end")
	case eof && j != nil:
		return errs.New(wire.CodeBadRequest, "only the owner of a session ends its input")
	}
	return nil
}

// give hands input that follows on to the keeper. The caller holds typing.mu.
func (s *Session) give(ctx context.Context, t *typist, j *Viewer, data []byte) error {
	eof := t.ends && t.end == t.accepted.Load()+uint64(len(data))
	if len(data) == 0 && !eof {
		return nil
	}
	if err := s.claimInput(ctx, j, len(data)); err != nil {
		return err
	}
	at := s.held.State().Accepted
	s.recording.typed(at, data) // before anybody can be told what became of it
	st, err := s.held.Input(ctx, at, data, eof)
	n := min(st.Accepted-min(st.Accepted, at), uint64(len(data)))
	t.accepted.Add(n)
	if j != nil {
		s.typing.unsaved = n != uint64(len(data))
	}
	s.meter.Input(int(n))
	s.recording.untyped(at + n)
	if err != nil {
		return fmt.Errorf("input at %d: %w", at, inputError(err))
	}
	t.closed = t.closed || eof
	return nil
}

// claimInput has the keeper remember whose the next n bytes are, before they
// are given; of the owner's it needs to know only when it may take them for
// another's. The caller holds typing.mu.
func (s *Session) claimInput(ctx context.Context, j *Viewer, n int) error {
	in := &s.typing
	if j == nil && !in.unsaved {
		return nil
	}
	at := s.held.State().Accepted
	next := share{Base: in.share.of(at), From: at}
	if j != nil {
		next.Len = uint64(n)
	}
	in.unsaved = true
	if err := s.save(ctx, func(r *memo) { r.Bytes = next }); err != nil {
		return err
	}
	in.share, in.unsaved = next, false
	return nil
}

// inputError makes public what the client did wrong. A gap or a full window
// cannot be: that was looked at before.
func inputError(err error) error {
	if errors.Is(err, keeper.ErrInputClosed) {
		return errs.New(wire.CodeBadRequest, "input follows its own end")
	}
	return err
}

// inputState is what a typist is told of room, told being the offset it was last
// told: of others' bytes between the own ones it is not known which are written,
// so the own are taken for the last.
func (t *typist) inputState(st keeper.State, told uint64) wire.InputState {
	own := t.accepted.Load()
	waiting := st.Accepted - min(st.Accepted, st.Written)
	return wire.InputState{Offset: max(told, own-min(own, waiting)), Room: st.Room}
}
