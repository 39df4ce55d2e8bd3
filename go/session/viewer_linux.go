package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// Viewer is somebody beside the owner who watches a session, or has joined it:
// then it types too, with a key and a numbering of its own. It never holds the
// output up: where it is too slow it is told of a gap.
type Viewer struct {
	s     *Session
	id    authz.Identity
	op    wire.Op
	role  wire.Role
	key   token.PublicKey // that acts for who joined; the zero one otherwise
	since time.Time

	typist typist        // of who joined
	seq    atomic.Uint64 // last control operation of who joined; changed under controls.mu

	poke    chan struct{} // cap 1: the stream must look again
	dropped atomic.Bool   // the stream must end

	notices []wire.Notice // guarded by Session.mu
}

// Admit takes in id, who the claims say wants to watch or to join; the caller
// has asked the policy, and Admit asks again of the newest one. Everybody
// attached is told. The caller must go on with [Viewer.Stream], which ends it.
//
// Whoever joins brings a key of its own in the claims, which acts in the session
// while the stream lasts.
//
// Refusals are of the codes not_found and denied (the policy), bad_request,
// limited (beyond [wire.MaxViewers]), ended and draining.
func (s *Session) Admit(_ context.Context, id authz.Identity, c wire.Claims) (*Viewer, error) {
	v, err := s.newViewer(id, c)
	if err != nil {
		return nil, err
	}
	if !s.r.enter() {
		return nil, errDraining()
	}
	if err := s.seat(v); err != nil {
		s.r.exit()
		return nil, err
	}
	// From here on a new policy decides about v. This one may be newer than the
	// one that the caller asked.
	if err := s.r.mayAct(id, v.op, s.Record()); err != nil {
		s.unseat(v)
		s.r.exit()
		return nil, err
	}
	text, kind := who(id)+" watches", Watched
	if v.role == wire.RoleJoined {
		text, kind = who(id)+" has joined: both type", Joined
	}
	s.log.Info("session is viewed", "peer", id.Addr, "subject", id.Subject, "role", v.role)
	s.recording.mark(text)
	s.say(wire.NoticeWatched, text, v)
	s.happen(Happening{Kind: kind, By: id})
	return v, nil
}

func (s *Session) newViewer(id authz.Identity, c wire.Claims) (*Viewer, error) {
	v := &Viewer{s: s, id: id, role: wire.RoleViewer, since: s.r.o.Now(), poke: make(chan struct{}, 1)}
	if c.Shell != nil {
		v.op = c.Shell.Op
	}
	switch {
	case id.Key.IsZero():
		return nil, errNotFound()
	case v.op == wire.OpWatch:
		return v, nil
	case v.op != wire.OpJoin:
		return nil, errs.New(wire.CodeBadRequest, "the operation is neither %q nor %q", wire.OpWatch, wire.OpJoin)
	case c.Confirm == nil:
		return nil, errs.New(wire.CodeBadRequest, "to join takes a key of its own (cnf)")
	}
	var err error
	v.role = wire.RoleJoined
	v.key, err = token.ConfirmKey(c.Confirm)
	return v, err
}

// seat makes v one of the session's viewers, who is told who else is there.
func (s *Session) seat(v *Viewer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state().Exit != nil:
		return errEnded()
	case len(s.viewers) >= wire.MaxViewers:
		return errs.New(wire.CodeLimited, "%d watch or have joined this session, which is the limit", len(s.viewers))
	}
	if !v.key.IsZero() {
		taken := v.key.Equal(s.opener.Key) || v.key.Equal(s.owner.Key) || v.key.Equal(s.confirm) ||
			slices.ContainsFunc(s.viewers, func(o *Viewer) bool { return v.key.Equal(o.key) })
		if taken {
			return errs.New(wire.CodeBadRequest, "the key of a join is in use already")
		}
	}
	v.notices = s.presentLocked(v)
	s.viewers = append(s.viewers, v)
	s.regroup()
	return nil
}

// presentLocked tells who is there beside the owner and but. The caller holds mu.
func (s *Session) presentLocked(but *Viewer) []wire.Notice {
	var all []wire.Notice
	for _, v := range s.viewers {
		if v == but {
			continue
		}
		text := who(v.id) + " watches"
		if v.role == wire.RoleJoined {
			text = who(v.id) + " has joined: both type"
		}
		all = append(all, wire.Notice{Code: wire.NoticeWatched, Message: text})
	}
	return all
}

// unseat makes v none of the viewers; its key acts no more.
func (s *Session) unseat(v *Viewer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.viewers = slices.DeleteFunc(s.viewers, func(o *Viewer) bool { return o == v })
	s.regroup()
}

// recheckViewers decides about all viewers again, and ends the streams of those
// who may not view the session any more.
func (s *Session) recheckViewers() {
	s.mu.Lock()
	all, rec := slices.Clone(s.viewers), s.memo.Grant
	s.mu.Unlock()
	for _, v := range all {
		err := s.r.mayAct(v.id, v.op, rec)
		if err == nil {
			continue
		}
		s.log.Warn("viewer is no longer permitted", "peer", v.id.Addr, "subject", v.id.Subject, "err", err)
		s.mu.Lock()
		v.notices = append(v.notices, wire.Notice{
			Code: wire.NoticePolicy, Message: "the node's configuration no longer permits that you view this session",
		})
		s.mu.Unlock()
		v.cut()
	}
}

// member is v in a list. The caller holds Session.mu.
func (v *Viewer) member() wire.Member {
	return wire.Member{
		Role: v.role, Key: keyName(v.id.Key), Subject: v.id.Subject, Addr: addrText(v.id), Since: v.since.UnixMilli(),
	}
}

// cut has v's stream end when what is there was written. At once its key acts no
// more.
func (v *Viewer) cut() {
	v.dropped.Store(true)
	v.s.unseat(v)
	poke(v.poke)
}

// leave ends v's time.
func (v *Viewer) leave() {
	s := v.s
	s.unseat(v)
	defer s.r.exit()
	defer poke(s.wake) // the end may wait for it
	text := who(v.id) + " has left"
	s.recording.mark(text)
	s.say(wire.NoticeWatched, text, v)
	s.happen(Happening{Kind: Left, By: v.id})
}

// viewing is a viewer's stream.
type viewing struct {
	teller
	v    *Viewer
	size wire.Size // that the client was told
	told uint64    // the input offset that the client was last told
}

// Stream writes the session's events to w, from the oldest output that is kept,
// or from st.From on where that is later, until the session has ended, v was cut
// off or has left, the daemon leaves, or the context ends. Its first event has
// v's role. w is as for [Session.Stream].
//
// It returns nil when the last event was written that was due; the cause of the
// context; or the error of writing. Before the first event it may be refused with
// offset.
func (v *Viewer) Stream(ctx context.Context, w *sse.Writer, st Start) error {
	defer v.leave()
	f := &viewing{teller: teller{s: v.s, w: w}, v: v}
	f.quiet.begin(v.s.r, func() { poke(v.poke) })
	defer f.quiet.end()
	if err := f.hello(st); err != nil {
		return fmt.Errorf("begin stream: %w", err)
	}
	for {
		if done, err := f.turn(ctx); done || err != nil {
			return err
		}
		if err := f.await(ctx, nil, func() error { return v.s.follow(ctx, v.poke) }); err != nil {
			return err
		}
	}
}

// hello sends the first event.
func (f *viewing) hello(st Start) error {
	s := f.s
	p, err := s.r.prove(s.id, st.Tok, 0)
	if err != nil {
		return err
	}
	state := s.state()
	if st.From > state.Head {
		return headError(st.From, state.Head)
	}
	f.next = s.beginAt(st.From, state)
	lost := f.next - st.From
	if st.From == 0 {
		lost = 0 // it asked for what there is
	}
	f.v.typist.low.Store(state.Room < lowRoom)
	first := s.describe(f.v, f.next, lost, p.token)
	f.cloak(first.Obscure, &f.v.typist.drawn)
	f.size = wire.Size{Cols: first.Cols, Rows: first.Rows}
	return f.send(wire.EventSession, first)
}

// turn writes all that there is; done after the last event.
func (f *viewing) turn(ctx context.Context) (done bool, err error) {
	for {
		// Before the output and the notices: what was said before an end comes
		// before it.
		st, over := f.s.state(), f.s.departed.Load() || f.v.dropped.Load()
		n, err := f.output()
		if errors.Is(err, errBehind) {
			n, err = n+1, f.gap()
		}
		if err == nil {
			err = f.asides(st)
		}
		switch {
		case err != nil:
			return true, err
		case over:
			return true, f.flush()
		case n > 0:
			if err := f.flush(); err != nil || ctx.Err() != nil {
				return true, errors.Join(err, context.Cause(ctx))
			}
			f.echoed()
			if n < flushBurst && f.onBeat() {
				return false, nil // what comes now is the next beat's
			}
			continue
		case st.Exit != nil && f.next >= st.Head:
			return true, f.exit(st.Exit)
		}
		if err := errors.Join(f.breakSilence(), f.decoys()); err != nil {
			return true, err
		}
		return false, f.flush()
	}
}

// gap goes on in the middle of what is kept, so that a slow client does not fall
// behind again at once.
func (f *viewing) gap() error {
	st := f.s.state()
	g := wire.Gap{From: f.next, To: st.Tail + (st.Head-min(st.Head, st.Tail))/2}
	if g.To <= g.From {
		return nil
	}
	f.next = g.To
	return f.event(wire.EventGap, g)
}

// asides writes the events beside the output.
func (f *viewing) asides(st keeper.State) error {
	s, t := f.s, &f.v.typist
	s.mu.Lock()
	notices, size := f.v.notices, wire.Size{Cols: s.memo.Cols, Rows: s.memo.Rows}
	f.v.notices = nil
	s.mu.Unlock()
	for _, n := range notices {
		if err := f.event(wire.EventNotice, n); err != nil {
			return err
		}
	}
	if size != f.size {
		f.size = size
		if err := f.event(wire.EventResize, size); err != nil {
			return err
		}
	}
	if st.Room >= lowRoom && st.Exit == nil && t.low.CompareAndSwap(true, false) {
		now := t.inputState(st, f.told)
		f.told = now.Offset
		return f.event(wire.EventInput, now)
	}
	return nil
}

// send writes an event at once.
func (f *viewing) send(name string, data any) error {
	if err := f.event(name, data); err != nil {
		return err
	}
	return f.flush()
}
