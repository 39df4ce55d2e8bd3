package session

import (
	"context"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// Attach prepares that id takes the session over with a new stream, which
// [Session.Stream] then writes from claims.Shell.Offset on: all output before
// that is consumed. The stream that was attached ends.
//
// The opener's key may, and the session's own; any other one must be permitted
// to, which the caller has asked and Attach asks again of the newest policy. The
// session then belongs to that key, for input and acknowledgements, until
// another takes it, and the policy decides about it again when it changes; the
// session stays the opener's for limits and lists.
//
// A session key in the claims replaces the present one at this moment. Without
// one, the key of id takes the right to act from the present one, and the
// session's own key keeps it.
//
// A size in the claims is applied like a resize, under claims.Shell.Seq, or the
// next number when that is 0: a client that knows the session's count should
// give one.
//
// Refusals are of the codes not_found (another key), denied, offset (above the
// head; an [OffsetError]), bad_request, draining and unready. A session that has
// ended is attached to for its last output and its exit while they are remembered.
//
// The reign that it gives goes with the stream: should the session have been given
// to somebody else by then, the stream is refused.
func (s *Session) Attach(ctx context.Context, id authz.Identity, c wire.Claims) (Reign, error) {
	if err := s.mayAttach(id); err != nil {
		return 0, err
	}
	if c.Shell == nil || c.Shell.Op != wire.OpAttach {
		return 0, errs.New(wire.CodeBadRequest, "the operation is not %q", wire.OpAttach)
	}
	sh := *c.Shell
	resize := sh.Cols != 0 || sh.Rows != 0
	if resize {
		if err := authz.CheckSize(sh.Cols, sh.Rows); err != nil {
			return 0, err
		}
	}
	if head := s.state().Head; sh.Offset > head {
		return 0, headError(sh.Offset, head)
	}
	if s.finale.Load() != nil {
		return s.ruled(), nil
	}
	reign, err := s.rebind(ctx, id, c.Confirm)
	if err != nil {
		return 0, keeperError(err)
	}
	s.acknowledge(max(sh.Ack, sh.Offset))
	if resize {
		if err := s.resizeTo(ctx, id.Key, c.Confirm, sh); err != nil {
			return 0, keeperError(err)
		}
	}
	return reign, nil
}

// Reign counts to whom a session was given: it changes with the keys that may act
// as its owner. 0 is the opener's, before anybody attached.
type Reign uint64

// ruled gives the present reign.
func (s *Session) ruled() Reign {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reign
}

// mayBegin refuses the stream of a reign that is over, and of an owner who is not
// the opener and has lost the right to it. The caller holds attaching.
func (s *Session) mayBegin(reign Reign) error {
	s.mu.Lock()
	now, who, rec := s.reign, s.owner, s.memo.Grant
	s.mu.Unlock()
	switch {
	case reign != now:
		return errNotFound()
	case who.Key.Equal(s.opener.Key):
		return nil
	}
	return s.r.mayAct(who, wire.OpAttach, rec)
}

// headError refuses an offset that no output has.
func headError(offset, head uint64) error {
	return &OffsetError{
		Offset: head,
		Err:    errs.New(wire.CodeOffset, "there is no output at %d, only up to %d", offset, head),
	}
}

// mayAttach refuses who may not take the session over.
func (s *Session) mayAttach(id authz.Identity) error {
	s.mu.Lock()
	own, rec := s.confirm, s.memo.Grant
	s.mu.Unlock()
	switch {
	case id.Key.IsZero():
		return errNotFound()
	case id.Key.Equal(s.opener.Key), !own.IsZero() && id.Key.Equal(own):
		return nil
	}
	return s.r.mayAct(id, wire.OpAttach, rec)
}

// rebind gives the session to id and the key that the claims bring, and ends the
// stream of whoever had it. The keeper remembers them before they count.
func (s *Session) rebind(ctx context.Context, id authz.Identity, confirm *wire.Confirmation) (Reign, error) {
	s.attaching.Lock()
	defer s.attaching.Unlock()
	if err := s.mayAttach(id); err != nil { // it may have lost its right meanwhile
		return 0, err
	}
	same := s.isOwn(id.Key)
	if !same || confirm != nil {
		if err := s.bind(ctx, id, confirm, same); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if same {
		s.owner.Addr = id.Addr // the client may have moved: who looks later must find where it is
	}
	s.stream.displace()
	return s.reign, nil
}

// isOwn reports whether a key is the session's own.
func (s *Session) isOwn(key token.PublicKey) bool {
	own, ok := s.SessionKey()
	return ok && key.Equal(own)
}

// bind makes id, unless it is the session's own key, and the key of confirm
// those that act.
func (s *Session) bind(ctx context.Context, id authz.Identity, confirm *wire.Confirmation, same bool) error {
	rec := s.remembered()
	rec.Confirm = confirm
	switch {
	case same:
	case id.Key.Equal(s.opener.Key):
		rec.Owner = nil
	default:
		rec.Owner = &owner{Key: id.Key.String(), Subject: id.Subject, Addr: id.Addr}
	}
	k, err := rec.keys()
	if err != nil {
		return err
	}
	err = s.save(ctx, func(r *memo) { r.Confirm, r.Owner = rec.Confirm, rec.Owner })
	if err != nil {
		return err
	}
	s.handOver(k, same, id)
	return nil
}

// handOver makes keys those that act. From then on nothing that the earlier ones
// have under way is applied, as the next owner is told the offsets of this moment.
func (s *Session) handOver(k keys, same bool, id authz.Identity) {
	s.typing.mu.Lock()
	defer s.typing.mu.Unlock()
	s.controls.mu.Lock()
	defer s.controls.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confirm = k.confirm
	s.reign++
	if !same {
		k.owner.Subject, k.owner.Addr = id.Subject, id.Addr
		s.owner = k.owner
		s.typing.owner.restart()
	}
}

// resizeTo applies the size that an attach brings.
func (s *Session) resizeTo(ctx context.Context, by token.PublicKey, confirm *wire.Confirmation, sh wire.Shell) error {
	if s.state().Exit != nil || !s.terminal {
		return nil
	}
	if confirm != nil {
		var err error
		if by, err = token.ConfirmKey(confirm); err != nil {
			return err
		}
	}
	if sh.Seq == 0 {
		sh.Seq = s.controls.seq.Load() + 1
	}
	err := s.resize(ctx, by, sh)
	if s.state().Exit != nil {
		return nil // it ended meanwhile
	}
	return err
}

// keepOwner decides again about an owner who is not the opener. One who may not
// have the session any more is told so and loses it; the opener may attach.
func (s *Session) keepOwner(ctx context.Context) {
	// Behind whoever is about to take it over by the policy of before.
	s.attaching.Lock()
	defer s.attaching.Unlock()
	rec := s.remembered()
	if rec.Owner == nil {
		return
	}
	s.mu.Lock()
	who := s.owner
	s.mu.Unlock()
	err := s.r.mayAct(who, wire.OpAttach, rec.Grant)
	if err == nil {
		return
	}
	s.log.Warn("owner may not have the session any more", "peer", who.Addr, "subject", who.Subject, "err", err)
	s.handOver(keys{owner: s.opener}, false, s.opener)
	err = s.save(ctx, func(r *memo) { r.Confirm, r.Owner = nil, nil })
	if err != nil { // the next daemon decides again as well
		s.log.Warn("loss of a session is not remembered", "err", err)
	}
	s.say(wire.NoticePolicy, "the node's configuration no longer permits that you have this session", nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream.displace()
}
