package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

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
}

// errBehind ends the stream of a client that reads old scrollback more slowly
// than new output comes. It attaches again and is told what it missed.
var errBehind = errors.New("output was overwritten before it was sent")

// stream is one client's view of a session.
type stream struct {
	s        *Session
	w        *sse.Writer
	replaced chan struct{} // closed when another took over, or is about to
	over     bool          // replaced is closed; guarded by Session.mu
	next     uint64        // output offset to send next
	unsent   bool          // something was written since the last flush
	begun    bool          // something was flushed
	quiet    silence
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
	v := &stream{s: s, w: w, replaced: make(chan struct{})}
	if err := s.takeOver(ctx, v); err != nil {
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
		if err := v.wait(ctx); err != nil {
			return err
		}
	}
}

// takeOver makes v the session's stream.
func (s *Session) takeOver(ctx context.Context, v *stream) error {
	if !s.r.enter() {
		return errDraining()
	}
	s.attaching.Lock()
	defer s.attaching.Unlock()
	s.mu.Lock()
	s.stream.displace()
	s.stream, s.detached, s.unseen, s.notices, s.delivered = v, time.Time{}, false, nil, false
	discard := s.shell.Discard
	s.mu.Unlock()
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
	st := s.held.State()
	s.held.SetFlight(s.flight.reset(s.held.Info().Window, st.Acked))
	return nil
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
	if s.present().Discard {
		ctx, cancel := context.WithTimeout(s.r.ctx, wire.RequestRead)
		defer cancel()
		if _, err := s.held.SetAttached(ctx, false); err != nil && s.held.Err() == nil {
			s.log.Warn("output may stay full while nobody is attached", "err", err)
		}
	}
}

// drop takes v out, if it still is the session's stream.
func (s *Session) drop(v *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != v {
		return false
	}
	s.stream, s.notices, s.detached = nil, nil, s.r.o.Now()
	return true
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
	v.next = max(st.From, state.Tail)
	if st.Attach || state.Room < lowRoom {
		s.typing.low.Store(true) // tell it once there is room, or at once
	}
	return v.send(wire.EventSession, s.describe(state, v.next, v.next-st.From, signed))
}

// describe is the data of the first event.
func (s *Session) describe(st keeper.State, start, dropped uint64, signed string) wire.Session {
	shell := s.present()
	info := wire.Session{
		Session: s.id, Node: s.r.o.NodeID, Source: s.source, User: s.user,
		Started: s.started.UnixMilli(), Window: s.held.Info().Window,
		OutputStart: start, Dropped: dropped, InputOffset: st.Accepted, Seq: st.Seq,
		ResumeFor: shell.ResumeFor.Seconds(), IdleTimeout: shell.IdleTimeout.Seconds(),
		Proof: signed,
	}
	if shell.MaxAge > 0 {
		info.EndsAt = s.started.Add(shell.MaxAge).UnixMilli()
	}
	return info
}

// wait returns when there may be something to write.
func (v *stream) wait(ctx context.Context) error {
	s := v.s
	select {
	case <-s.held.Changed():
	case <-s.kick:
	case <-v.replaced:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// turn writes all that there is; done after the last event.
func (v *stream) turn(ctx context.Context) (done bool, err error) {
	for {
		select {
		case <-v.replaced:
			return true, v.send(wire.EventReplaced, struct{}{})
		default:
		}
		// Before the output and the notices: what was said before an end comes
		// before it.
		st, departed := v.s.state(), v.s.departed.Load()
		n, err := v.output()
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
			continue
		case st.Exit != nil && v.next >= st.Head:
			return true, v.exit(st.Exit)
		case departed:
			return true, v.flush()
		}
		return false, v.idle()
	}
}

// output writes what the program has written, as much as goes into one flush.
func (v *stream) output() (int, error) {
	buf, _ := v.s.r.buffers.Get().(*[burst]byte)
	defer v.s.r.buffers.Put(buf)
	total := 0
	defer func() { v.s.meter.Output(total) }()
	for total < flushBurst {
		n, kind, err := v.s.read(buf[:], v.next)
		switch {
		case errors.Is(err, keeper.ErrReleased):
			return total, nil // the daemon leaves
		case errors.Is(err, keeper.ErrGone):
			return total, errBehind
		case err != nil:
			return total, fmt.Errorf("read output at %d: %w", v.next, err)
		case n == 0:
			return total, nil
		}
		name := wire.EventOutput
		if kind == keeper.Stderr {
			name = wire.EventStderr
		}
		v.next += uint64(n)
		total += n
		v.unsent = true
		if err := v.w.Output(name, v.next, buf[:n]); err != nil {
			return total, err
		}
	}
	return total, nil
}

// asides writes the events beside the output: notices, and that there is room
// for input again.
func (v *stream) asides(st keeper.State) error {
	for _, n := range v.s.takeNotices(v) {
		if err := v.event(wire.EventNotice, n); err != nil {
			return err
		}
	}
	if st.Room >= lowRoom && st.Exit == nil && v.s.typing.low.CompareAndSwap(true, false) {
		return v.event(wire.EventInput, wire.InputState{Offset: st.Written, Room: st.Room})
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

// idle flushes, and breaks a silence that has lasted.
func (v *stream) idle() error {
	if text := v.quiet.due(); text != nil {
		if err := v.w.Event(wire.EventKeepalive, sse.NoID, text); err != nil {
			return err
		}
		v.unsent = true
	}
	return v.flush()
}

// exit writes the last event of a session.
func (v *stream) exit(e *keeper.Exit) error {
	if err := v.send(wire.EventExit, wire.Exit{Code: e.Code, Signal: e.Signal, Reason: e.Reason}); err != nil {
		return err
	}
	v.s.mu.Lock()
	v.s.delivered = true
	v.s.mu.Unlock()
	poke(v.s.wake)
	return nil
}

// send writes an event at once.
func (v *stream) send(name string, data any) error {
	if err := v.event(name, data); err != nil {
		return err
	}
	return v.flush()
}

// event buffers an event whose data is JSON.
func (v *stream) event(name string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode event %q: %w", name, err)
	}
	v.unsent = true
	return v.w.Event(name, sse.NoID, b)
}

// flush sends what was written.
func (v *stream) flush() error {
	if !v.unsent {
		return nil
	}
	v.unsent = false
	now := v.s.r.o.Now()
	v.quiet.last = now
	v.s.flight.sent(v.next, now)
	err := v.w.Flush()
	v.begun = v.begun || err == nil
	return err
}
