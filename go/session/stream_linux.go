package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"etcha/go/authz"
	"etcha/go/keeper"
	"etcha/go/sse"
	"etcha/go/wire"
)

// burst is the output read at once, bytes, and flushBurst the output after
// which a busy stream is flushed.
const (
	burst      = 4 * wire.MaxFrame
	flushBurst = 2 * burst
)

// Start is where a stream begins.
type Start struct {
	From   uint64 // output offset to go on from
	Tok    []byte // the whole request token, which the node proves to have received
	Attach bool   // From was checked by Attach
	Reign  Reign  // what Attach gave
}

// errBehind ends the stream of a client that reads old scrollback more slowly
// than new output comes. It attaches again and is told what it missed.
var errBehind = errors.New("output was overwritten before it was sent")

// stream is the owner's view of a session.
type stream struct {
	teller
	replaced chan struct{} // closed when another took over, or is about to
	over     bool          // replaced is closed; guarded by Session.mu
	by       authz.Identity
	told     uint64 // the input offset that the client was last told
}

// Stream writes the session's events to w until the session has ended, another
// stream has taken over, the daemon leaves, or the context ends. w is flushed
// when nothing more is to be written at once; its writes must be bounded.
//
// It returns nil when the last event was written that was due; the cause of the
// context; or the error of writing, after which the session goes on without the
// client. Before the first event it may be refused with draining or, without
// Attach, with offset.
func (s *Session) Stream(ctx context.Context, w *sse.Writer, st Start) error {
	v := &stream{teller: teller{s: s, w: w}, replaced: make(chan struct{})}
	if err := s.takeOver(ctx, v, st.Reign); err != nil {
		return err
	}
	defer s.leave(v)
	err := v.run(ctx, st)
	if err != nil && !v.begun && !st.Attach {
		s.endFor(wire.ReasonLost) // nobody knows its name
	}
	return err
}

// run writes events until the last one.
func (v *stream) run(ctx context.Context, st Start) error {
	v.quiet.begin(v.s.r, func() { poke(v.s.kick) })
	defer v.quiet.end()
	if err := v.hello(st); err != nil {
		return fmt.Errorf("begin stream: %w", err)
	}
	for {
		if done, err := v.turn(ctx); done || err != nil {
			return err
		}
		if err := v.await(ctx, v.replaced, func() error { return v.s.tend(ctx, v.replaced) }); err != nil {
			return err
		}
	}
}

// takeOver makes v the session's stream, in the reign it was prepared for.
func (s *Session) takeOver(ctx context.Context, v *stream, reign Reign) error {
	if !s.r.enter() {
		return errDraining()
	}
	s.attaching.Lock()
	defer s.attaching.Unlock()
	if err := s.mayBegin(reign); err != nil {
		s.r.exit()
		return err
	}
	discard := s.enthrone(v)
	poke(s.wake)
	if s.finale.Load() != nil {
		return nil
	}
	if discard {
		if _, err := s.held.SetAttached(ctx, true); err != nil && s.finale.Load() == nil && s.held.Err() == nil {
			s.drop(v)
			s.r.exit()
			return keeperError(err)
		}
	}
	s.held.SetFlight(s.flight.reset(s.held.Info().Window, s.consumed()))
	return nil
}

// enthrone makes v the session's stream, with what its client must be told, and
// reports whether output was dropped while there was none.
func (s *Session) enthrone(v *stream) (discard bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream.displace()
	v.by = s.owner
	s.stream, s.detached, s.unseen, s.delivered = v, time.Time{}, false, false
	s.since, s.toldIdle, s.toldAge = s.r.o.Now(), time.Time{}, false
	s.notices = append(slices.Clone(s.epitaph), s.presentLocked(nil)...)
	return s.shell.Discard
}

// displace ends a stream, if there is one, in favour of another. The caller
// holds Session.mu.
func (v *stream) displace() {
	if v != nil && !v.over {
		v.over = true
		close(v.replaced)
	}
}

// leave ends v's time.
func (s *Session) leave(v *stream) {
	defer s.r.exit()
	s.attaching.Lock()
	defer s.attaching.Unlock()
	if !s.drop(v) || s.finale.Load() != nil {
		poke(s.kick) // it may have been meant for the other one
		return
	}
	poke(s.wake)
	// With nobody attached the program may fill the whole window.
	s.held.SetFlight(s.held.Info().Window)
	s.unattend()
	if s.state().Exit == nil {
		s.happen(Happening{Kind: Detached, By: v.by})
	}
}

// unattendIfAway is unattend if nobody is attached.
func (s *Session) unattendIfAway() {
	s.attaching.Lock()
	defer s.attaching.Unlock()
	s.mu.Lock()
	away := s.stream == nil
	s.mu.Unlock()
	if away && s.finale.Load() == nil {
		s.unattend()
	}
}

// unattend lets output go while nobody is attached, where the source has it so
// and no recording would miss it.
func (s *Session) unattend() {
	if !s.present().Discard || s.recording.on() {
		return
	}
	ctx, cancel := context.WithTimeout(s.r.ctx, wire.RequestRead)
	defer cancel()
	if _, err := s.held.SetAttached(ctx, false); err != nil && s.held.Err() == nil {
		s.log.Warn("output may stay full while nobody is attached", "err", err)
	}
}

// drop takes v out, if it still is the session's stream.
func (s *Session) drop(v *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != v {
		return false
	}
	now := s.r.o.Now()
	s.stream, s.notices, s.detached, s.since = nil, nil, now, now
	return true
}

// edge is how far from the oldest output a late reader begins: the keeper is about
// to write there.
const edge = 16 << 10

// beginAt is where a stream begins that wants output from an offset on: there, or
// a little above the oldest that is kept for it, never beyond what must not be
// missed.
func (s *Session) beginAt(from uint64, st keeper.State) uint64 {
	info := s.held.Info()
	if st.Head <= info.Window && st.Tail == 0 {
		return from // nothing was overwritten, nor will be for now
	}
	given := max(st.Acked, s.givenUp()) // the keeper may not have heard of it yet
	oldest := max(st.Tail, given-min(given, info.Scrollback))
	if from >= oldest+edge {
		return from
	}
	return max(from, min(oldest+edge, max(given, st.Tail)))
}

// hello sends the first event, by itself: who opened a session and did not get
// it whole cannot come back, who did must be let.
func (v *stream) hello(st Start) error {
	s := v.s
	signed, err := s.proofOf(st.Tok)
	if err != nil {
		return err
	}
	state := s.state()
	if st.From > state.Head {
		return headError(st.From, state.Head)
	}
	v.next = s.beginAt(st.From, state)
	if st.Attach || state.Room < lowRoom {
		s.typing.owner.low.Store(true) // tell it once there is room, or at once
	}
	first := s.describe(nil, v.next, v.next-st.From, signed)
	v.cloak(first.Obscure, &s.typing.owner.drawn)
	if err := v.send(wire.EventSession, first); err != nil {
		return err
	}
	if st.Attach {
		s.attached(v, first.Dropped)
	} else {
		s.happen(Happening{Kind: Changed, By: v.by})
	}
	return nil
}

// attached tells that v's client has the session.
func (s *Session) attached(v *stream, dropped uint64) {
	s.recording.mark("attached: " + who(v.by))
	if !v.by.Key.Equal(s.opener.Key) {
		s.tellViewers(wire.NoticeWatched, who(v.by)+" has taken the session over", nil)
	}
	s.happen(Happening{Kind: Attached, By: v.by, Dropped: dropped})
}

// describe is the data of the first event, for the owner or for j.
func (s *Session) describe(j *Viewer, start, dropped uint64, signed string) wire.Session {
	s.mu.Lock()
	shell, rec := s.shell, s.memo
	s.mu.Unlock()
	a := s.answer(s.state(), j)
	info := wire.Session{
		Session: s.id, Node: s.r.o.NodeID, Source: s.source, User: s.user,
		Started: s.started.UnixMilli(), Window: s.held.Info().Window,
		OutputStart: start, Dropped: dropped, InputOffset: a.Offset, Seq: a.Seq,
		ResumeFor: shell.ResumeFor.Seconds(), IdleTimeout: shell.IdleTimeout.Seconds(),
		Cols: rec.Cols, Rows: rec.Rows, Recording: s.recording.mode(), Detach: rec.Grant.Detach,
		Obscure: s.obscure(), Proof: signed,
	}
	if j != nil {
		info.Role = j.role
	}
	if shell.MaxAge > 0 {
		info.EndsAt = s.started.Add(shell.MaxAge).UnixMilli()
	}
	return info
}

// turn writes all that there is; done after the last event.
func (v *stream) turn(ctx context.Context) (done bool, err error) {
	for {
		select {
		case <-v.replaced:
			return true, errors.Join(v.say(), v.send(wire.EventReplaced, struct{}{}))
		default:
		}
		// Before the output and the notices: what was said before an end comes
		// before it.
		st, departed := v.s.state(), v.s.departed.Load()
		n, err := v.output()
		v.s.meter.Output(n)
		if err != nil {
			return true, err
		}
		if err := v.asides(st); err != nil {
			return true, err
		}
		switch {
		case n > 0:
			if err := v.flush(); err != nil || ctx.Err() != nil {
				return true, errors.Join(err, context.Cause(ctx))
			}
			v.echoed()
			if n < flushBurst && v.onBeat() {
				return false, nil // what comes now is the next beat's
			}
			continue
		case st.Exit != nil && v.next >= st.Head:
			return true, v.exit(st.Exit)
		case departed:
			return true, v.flush()
		}
		return false, v.idle()
	}
}

// asides writes the events beside the output: notices, and that there is room
// for input again.
func (v *stream) asides(st keeper.State) error {
	if err := v.say(); err != nil {
		return err
	}
	t := &v.s.typing.owner
	if st.Room >= lowRoom && st.Exit == nil && t.low.CompareAndSwap(true, false) {
		now := t.inputState(st, v.told)
		v.told = now.Offset
		return v.event(wire.EventInput, now)
	}
	return nil
}

// say writes the notices.
func (v *stream) say() error {
	for _, n := range v.s.takeNotices(v) {
		if err := v.event(wire.EventNotice, n); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) takeNotices(v *stream) []wire.Notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != v {
		return nil
	}
	all := s.notices
	s.notices = nil
	return all
}

// exit writes the last event of a session.
func (v *stream) exit(e *keeper.Exit) error {
	if err := v.teller.exit(e); err != nil {
		return err
	}
	v.s.mu.Lock()
	v.s.delivered = true
	v.s.mu.Unlock()
	poke(v.s.wake)
	return nil
}

// flush sends what was written, and begins to measure its way.
func (v *stream) flush() error {
	if v.unsent {
		v.s.flight.sent(v.next, v.s.r.o.Now())
	}
	return v.teller.flush()
}

// send writes an event at once.
func (v *stream) send(name string, data any) error {
	if err := v.event(name, data); err != nil {
		return err
	}
	return v.flush()
}

// idle flushes, and breaks a silence that has lasted.
func (v *stream) idle() error {
	if err := errors.Join(v.breakSilence(), v.decoys()); err != nil {
		return err
	}
	return v.flush()
}
