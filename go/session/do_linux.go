package session

import (
	"context"
	"math"
	"sync"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// Do carries out an operation inside the session for whoever owns the key by:
// its owner, or somebody who joined. The owner's acknowledgement comes before
// anything else, so that a program that waits for its output to drain never
// waits for an input. Do never waits for the program; where input comes on a beat
// it answers one after a fixed part of it.
//
// Somebody who joined has a numbering of input and of control operations of the
// own; what is typed at the same time is mixed by whole requests. Of such a
// client an acknowledgement and a size are ignored, and close only leaves.
//
// Refusals are of the codes not_found (another key), denied (the opener, while
// another key has taken the session over), ended, bad_request, too_large, offset
// (an [OffsetError]), draining and unready.
func (s *Session) Do(ctx context.Context, by token.PublicKey, sh wire.Shell) (wire.Answer, error) {
	j, err := s.actor(by)
	if err != nil {
		return wire.Answer{}, err
	}
	if s.finale.Load() != nil {
		return wire.Answer{}, errEnded()
	}
	if j == nil {
		s.acknowledge(sh.Ack)
	}
	err = s.do(ctx, by, j, sh)
	switch {
	case err != nil && s.finale.Load() != nil: // it ended meanwhile
		return wire.Answer{}, errEnded()
	case err != nil:
		return wire.Answer{}, keeperError(err)
	}
	a := s.answer(s.state(), j)
	if s.obscure() != "" {
		a = padded(a)
	}
	return a, nil
}

func errEnded() error { return errs.New(wire.CodeEnded, "the session has ended") }

func (s *Session) do(ctx context.Context, by token.PublicKey, j *Viewer, sh wire.Shell) error {
	if s.state().Exit != nil {
		// Acknowledging the last output is no mistake, nor is closing.
		if sh.Op == wire.OpAck || sh.Op == wire.OpClose {
			return nil
		}
		return errEnded()
	}
	switch sh.Op {
	case wire.OpAck:
		return nil
	case wire.OpInput:
		return s.conceal(ctx, j, s.obscure(), sh, func() error { return s.input(ctx, by, j, sh) })
	case wire.OpResize, wire.OpSignal, wire.OpClose:
		if sh.Seq == 0 {
			return errs.New(wire.CodeBadRequest, "the operation %q has no seq", sh.Op)
		}
		return s.control(ctx, by, j, sh)
	default:
		return errs.New(wire.CodeBadRequest, "the operation %.16q is not one inside a session", string(sh.Op))
	}
}

// acks is how much output was consumed.
type acks struct {
	mu    sync.Mutex
	owner uint64 // by the owner
	// recorded is what the recording has; ungated where nothing waits for one.
	recorded uint64
}

// ungated is the offset of a recording that holds nothing up.
const ungated = math.MaxUint64

// acknowledge takes in how much output the owner has consumed. The keeper gives
// up only what the recording has as well.
func (s *Session) acknowledge(consumed uint64) {
	st := s.held.State() // the head that this answers
	a := &s.acks
	a.mu.Lock()
	fresh := consumed > a.owner
	a.owner = max(a.owner, min(consumed, st.Head))
	upto := min(a.owner, a.recorded)
	a.mu.Unlock()
	if !fresh {
		return
	}
	s.held.Acknowledge(upto)
	if limit, grown := s.flight.acknowledged(consumed, st.Head, s.r.o.Now()); grown {
		s.held.SetFlight(limit)
	}
}

// recordedTo takes in how much output the recording has.
func (s *Session) recordedTo(offset uint64) {
	a := &s.acks
	a.mu.Lock()
	a.recorded = offset
	upto := min(a.owner, a.recorded)
	a.mu.Unlock()
	s.held.Acknowledge(upto)
}

// relieve gives up the older half of the window in place of an owner who is away,
// where the source has it so and the recording must not miss it: the keeper
// would ask nobody.
func (s *Session) relieve() {
	// Until the end, so that nothing is given up once somebody is attached.
	s.mu.Lock()
	defer s.mu.Unlock()
	away := s.stream == nil && s.shell.Discard
	st, half := s.held.State(), s.held.Info().Window/2
	if !away || st.Head-min(st.Head, st.Acked) <= half {
		return
	}
	a := &s.acks
	a.mu.Lock()
	a.owner = max(a.owner, min(st.Head-half, a.recorded))
	upto := min(a.owner, a.recorded)
	a.mu.Unlock()
	s.held.Acknowledge(upto)
}

// givenUp is up to where the keeper was told that output is not needed.
func (s *Session) givenUp() uint64 {
	s.acks.mu.Lock()
	defer s.acks.mu.Unlock()
	return min(s.acks.owner, s.acks.recorded)
}

// consumed is what the owner has consumed.
func (s *Session) consumed() uint64 {
	s.acks.mu.Lock()
	defer s.acks.mu.Unlock()
	return s.acks.owner
}
