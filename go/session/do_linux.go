package session

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"etcha/go/authz"
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

// typing is a session's input before it is with the keeper.
type typing struct {
	mu sync.Mutex
	assembler
	low atomic.Bool // the client was told of little room
}

// lowRoom is the room below which a client is told when there is more again.
const lowRoom = wire.InputWindow / 2

// Do carries out an operation inside the session for whoever owns the key by.
// The acknowledgement in it comes before anything else, so that a program that
// waits for its output to drain never waits for an input. Do never waits for the
// program.
//
// Refusals are of the codes not_found (another key), ended, bad_request,
// too_large, offset (an [OffsetError]), draining and unready.
func (s *Session) Do(ctx context.Context, by token.PublicKey, sh wire.Shell) (wire.Answer, error) {
	if err := s.allow(by); err != nil {
		return wire.Answer{}, err
	}
	if s.finale.Load() != nil {
		return wire.Answer{}, errEnded()
	}
	s.acknowledge(sh.Ack)
	st, err := s.do(ctx, sh)
	switch {
	case err != nil && s.finale.Load() != nil: // it ended meanwhile
		return wire.Answer{}, errEnded()
	case err != nil:
		return wire.Answer{}, keeperError(err)
	}
	if st.Room < lowRoom {
		s.typing.low.Store(true)
	}
	return wire.Answer{Offset: st.Accepted, Room: st.Room, Seq: st.Seq}, nil
}

func errEnded() error { return errs.New(wire.CodeEnded, "the session has ended") }

func (s *Session) do(ctx context.Context, sh wire.Shell) (keeper.State, error) {
	st := s.state()
	if st.Exit != nil {
		// Acknowledging the last output is no mistake, nor is closing.
		if sh.Op == wire.OpAck || sh.Op == wire.OpClose {
			return st, nil
		}
		return st, errEnded()
	}
	switch sh.Op {
	case wire.OpAck:
		return st, nil
	case wire.OpInput:
		return s.input(ctx, sh)
	case wire.OpResize, wire.OpSignal, wire.OpClose:
		if sh.Seq == 0 {
			return st, errs.New(wire.CodeBadRequest, "the operation %q has no seq", sh.Op)
		}
		return s.control(ctx, sh, st)
	default:
		return st, errs.New(wire.CodeBadRequest, "the operation %.16q is not one inside a session", string(sh.Op))
	}
}

// acknowledge takes in how much output was consumed.
func (s *Session) acknowledge(consumed uint64) {
	st := s.held.State() // the head that this answers
	if consumed <= st.Acked {
		return
	}
	s.held.Acknowledge(consumed)
	if limit, grown := s.flight.acknowledged(consumed, st.Head, s.r.o.Now()); grown {
		s.held.SetFlight(limit)
	}
}

// control resizes, signals or closes.
func (s *Session) control(ctx context.Context, sh wire.Shell, st keeper.State) (keeper.State, error) {
	switch sh.Op {
	case wire.OpResize:
		if err := authz.CheckSize(sh.Cols, sh.Rows); err != nil {
			return st, err
		}
		return s.held.Resize(ctx, sh.Seq, sh.Cols, sh.Rows)
	case wire.OpSignal:
		if !wire.KnownSignal(sh.Signal) {
			return st, errs.New(wire.CodeBadRequest, "there is no signal %.16q", sh.Signal)
		}
		return s.held.Signal(ctx, sh.Seq, sh.Signal)
	default:
		if sh.Seq > st.Seq {
			s.endFor(wire.ReasonClosed)
		}
		return st, nil
	}
}

// input puts a piece of input in order and gives the keeper what now follows.
func (s *Session) input(ctx context.Context, sh wire.Shell) (keeper.State, error) {
	p := piece{sh.Offset, sh.Data}
	switch {
	case len(p.data) > wire.MaxInput:
		return keeper.State{}, errs.New(wire.CodeTooLarge, "an input of %d bytes; the limit is %d", len(p.data), wire.MaxInput)
	case p.offset > math.MaxUint64-wire.MaxInput:
		return keeper.State{}, errs.New(wire.CodeBadRequest, "an offset of %d", p.offset)
	case sh.EOF && s.terminal:
		return keeper.State{}, errs.New(wire.CodeBadRequest, "the input of a terminal has no end")
	}
	in := &s.typing
	in.mu.Lock()
	defer in.mu.Unlock()
	st := s.held.State()
	if p.end() > st.Accepted+st.Room || !in.fits(st.Accepted, p) {
		in.low.Store(true)
		return st, &OffsetError{
			Offset: st.Accepted, Room: st.Room,
			Err: errs.New(wire.CodeOffset, "input up to %d is beyond the window, which ends at %d", p.end(), st.Accepted+st.Room),
		}
	}
	if in.beyond(p.end()) || sh.EOF && !in.close(p.end()) {
		return st, errs.New(wire.CodeBadRequest, "input follows its own end")
	}
	return s.give(ctx, st.Accepted, in.add(st.Accepted, p))
}

// give hands input that follows on to the keeper. The caller holds typing.mu.
func (s *Session) give(ctx context.Context, next uint64, data []byte) (keeper.State, error) {
	end := next + uint64(len(data))
	eof := s.typing.ends && s.typing.end == end
	if len(data) == 0 && !eof {
		return s.held.State(), nil
	}
	st, err := s.held.Input(ctx, next, data, eof)
	if err != nil {
		return st, fmt.Errorf("input at %d: %w", next, inputError(err))
	}
	s.meter.Input(len(data))
	return st, nil
}

// inputError makes public what the client did wrong. A gap or a full window
// cannot be: that was looked at before.
func inputError(err error) error {
	if errors.Is(err, keeper.ErrInputClosed) {
		return errs.New(wire.CodeBadRequest, "input follows its own end")
	}
	return err
}
