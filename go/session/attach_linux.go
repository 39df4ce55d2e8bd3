package session

import (
	"context"
	"fmt"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// Attach prepares that whoever owns the key by takes the session over with a new
// stream, which [Session.Stream] then writes from claims.Shell.Offset on: all
// output before that is consumed. The stream that was attached ends.
//
// A session key in the claims replaces the present one at this moment. Without
// one, the opener's key takes the right to act from the present one, and the
// session's own key keeps it.
//
// A size in the claims is applied like a resize, under claims.Shell.Seq, or the
// next number when that is 0: a client that knows the session's count should
// give one.
//
// Refusals are of the codes not_found (another key), offset (above the head; an
// [OffsetError]), bad_request, draining and unready. A session that has ended is
// attached to for its last output and its exit while they are remembered.
func (s *Session) Attach(ctx context.Context, by token.PublicKey, c wire.Claims) error {
	if err := s.allow(by); err != nil {
		return err
	}
	if c.Shell == nil || c.Shell.Op != wire.OpAttach {
		return errs.New(wire.CodeBadRequest, "the operation is not %q", wire.OpAttach)
	}
	sh := *c.Shell
	resize := sh.Cols != 0 || sh.Rows != 0
	if resize {
		if err := authz.CheckSize(sh.Cols, sh.Rows); err != nil {
			return err
		}
	}
	if head := s.state().Head; sh.Offset > head {
		return headError(sh.Offset, head)
	}
	if s.finale.Load() != nil {
		return nil
	}
	if err := s.rebind(ctx, by, c.Confirm); err != nil {
		return keeperError(err)
	}
	s.acknowledge(max(sh.Ack, sh.Offset))
	if resize {
		if err := s.resizeTo(ctx, sh); err != nil {
			return keeperError(err)
		}
	}
	return nil
}

// headError refuses an offset that no output has.
func headError(offset, head uint64) error {
	return &OffsetError{
		Offset: head,
		Err:    errs.New(wire.CodeOffset, "there is no output at %d, only up to %d", offset, head),
	}
}

// rebind gives the session to the key that the claims bring, and ends the stream
// of whoever had it. The keeper remembers the new key before it counts.
func (s *Session) rebind(ctx context.Context, by token.PublicKey, confirm *wire.Confirmation) error {
	s.attaching.Lock()
	defer s.attaching.Unlock()
	if err := s.allow(by); err != nil { // it may have lost its right meanwhile
		return err
	}
	s.mu.Lock()
	rec, own := s.record, s.confirm
	s.mu.Unlock()
	if confirm != nil || by.Equal(s.opener) {
		rec.Confirm = confirm
		key, err := rec.confirmKey()
		if err != nil {
			return err
		}
		if !key.Equal(own) {
			if err := s.saveRecord(ctx, rec); err != nil {
				return err
			}
		}
		own = key
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record, s.confirm = rec, own
	s.stream.displace()
	return nil
}

// saveRecord has the keeper remember a record.
func (s *Session) saveRecord(ctx context.Context, rec record) error {
	b, err := rec.encode()
	if err != nil {
		return err
	}
	if err := s.held.SetMeta(ctx, b); err != nil && s.finale.Load() == nil {
		return fmt.Errorf("attach: %w", err)
	}
	return nil
}

// resizeTo applies the size that an attach brings.
func (s *Session) resizeTo(ctx context.Context, sh wire.Shell) error {
	st := s.state()
	if st.Exit != nil || !s.terminal {
		return nil
	}
	seq := sh.Seq
	if seq == 0 {
		seq = st.Seq + 1
	}
	_, err := s.held.Resize(ctx, seq, sh.Cols, sh.Rows)
	if s.state().Exit != nil {
		return nil // it ended meanwhile
	}
	return err
}
