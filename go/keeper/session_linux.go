package keeper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"etcha/go/wire"
)

// Session is a daemon's handle of a session. Its methods may be called at the
// same time. What concerns output and state is read from shared memory, also
// after the keeper is lost, until the handle is released.
type Session struct {
	k    *Keeper
	c    *caller
	info Info // as of the start or the adoption, or of the release

	changed  chan struct{}
	over     chan struct{} // closed when State.Ended is set
	received chan struct{} // closed when receive has returned

	metaMu sync.Mutex   // guards info.Meta
	mu     sync.RWMutex // held for reading while the memory is in use
	view   *view        // nil when released

	in       sync.Mutex // one input at a time
	accepted atomic.Uint64
	eof      bool
	poked    atomic.Uint64 // ringHeader.blocked of the last opSpace

	echoMu sync.Mutex // guards what follows
	echoAt uint64     // what became of input before it was taken
}

// ID is the session's name.
func (s *Session) ID() string { return s.info.ID }

// Info describes the session.
func (s *Session) Info() Info {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	i := s.info
	i.State = s.stateLocked()
	return i
}

// State is where the session stands. It costs no message.
func (s *Session) State() State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stateLocked()
}

// stateLocked is the state; of a released handle the one that it began with.
func (s *Session) stateLocked() State {
	if s.view == nil {
		return s.info.State
	}
	st := s.view.state(time.Now())
	st.Accepted = max(st.Accepted, s.accepted.Load())
	st.Room = wire.InputWindow - min(wire.InputWindow, st.Accepted-min(st.Accepted, st.Written))
	return st
}

// Changed receives when something moved: output beyond what Read last found
// nothing after, input room after an input found less than half of it or
// [ErrFull], input that [Session.Echo] has not told of, exit, end, or the loss of the keeper. One consumer.
func (s *Session) Changed() <-chan struct{} { return s.changed }

// Ended is closed when everything of the session is gone: State.Ended. It is
// not when the keeper is lost before; where both happen it is closed first.
func (s *Session) Ended() <-chan struct{} { return s.over }

// Lost is closed when the connection to the session is lost; then Err tells why.
func (s *Session) Lost() <-chan struct{} { return s.c.done }

// Err is nil while the keeper can be reached through this handle, else
// [ErrLost], [ErrReplaced] or [ErrReleased].
func (s *Session) Err() error { return s.c.lost() }

func (s *Session) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// receive passes on what the keeper says, until the connection ends.
func (s *Session) receive() {
	defer close(s.received)
	s.checkOver() // it may have been before the handle was made
	s.c.run(func(o op) {
		switch o {
		case opPoke:
			s.checkOver()
			s.notify()
		case opReplaced:
			s.c.lose(ErrReplaced)
			s.c.close()
		}
	}, s.checkOver) // a keeper that dies may have said it only in memory
	s.notify()
}

// checkOver closes over when the memory says so. Only receive calls it.
func (s *Session) checkOver() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.view == nil || s.view.h.end.Load() < ended {
		return
	}
	select {
	case <-s.over:
	default:
		close(s.over)
	}
}

// Read copies retained output from an offset on, all of one kind. n is 0 when
// there is none yet; Changed tells of more. [ErrGone] means that it was
// overwritten, [ErrAhead] that the offset is beyond the head.
func (s *Session) Read(buf []byte, from uint64) (n int, kind Kind, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.view == nil {
		return 0, 0, ErrReleased
	}
	return s.view.readOrArm(buf, from)
}

// Acknowledge says how many output bytes were consumed in all. It never moves
// back, nor beyond the head.
func (s *Session) Acknowledge(consumed uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.view == nil {
		return
	}
	consumed = min(consumed, s.view.h.head.Load())
	for {
		now := s.view.ctl.acked.Load()
		if consumed <= now {
			return
		}
		if s.view.ctl.acked.CompareAndSwap(now, consumed) {
			break
		}
	}
	s.offerSpace()
}

// SetFlight limits how far beyond the acknowledged bytes output is read, at most
// the window, which is what it begins with.
func (s *Session) SetFlight(limit uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.view == nil {
		return
	}
	s.view.ctl.flight.Store(limit)
	s.offerSpace()
}

// offerSpace wakes the keeper if it waits for room; once for each time it does.
// The caller holds mu for reading.
func (s *Session) offerSpace() {
	b := s.view.h.blocked.Load()
	if b&1 == 1 && s.poked.Swap(b) != b {
		_ = s.c.send(opSpace, 0, 0, nil, nil) // receive sees the break
	}
}

// Input gives bytes to the program. offset is that of the first in the session's
// input: what was accepted before is dropped, a start beyond it is [ErrGap], more
// than fits the window is [ErrFull] and nothing of it is taken; Changed tells
// when there is room. eof ends the input after data ([ErrTerminal] with a
// terminal); what follows is [ErrInputClosed].
//
// It returns when the bytes are with the keeper, which keeps them if the daemon
// dies, and never waits for the program: Written follows later.
func (s *Session) Input(ctx context.Context, offset uint64, data []byte, eof bool) (State, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.in.Lock()
	defer s.in.Unlock()
	if err := s.usable(ctx); err != nil {
		return s.stateLocked(), err
	}
	fresh, err := s.fresh(offset, data, eof)
	if err == nil && (len(fresh) > 0 || eof && !s.eof) {
		err = s.sendInput(fresh, eof)
	}
	st := s.stateLocked()
	if len(fresh) > 0 {
		s.wantRoom(st, len(fresh), err)
		st = s.stateLocked()
	}
	return st, err
}

// usable reports whether the handle can be used. The caller holds mu.
func (s *Session) usable(ctx context.Context) error {
	if s.view == nil {
		return ErrReleased
	}
	if err := s.c.lost(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// fresh gives the part of an input that was not accepted before. The caller
// holds in.
func (s *Session) fresh(offset uint64, data []byte, eof bool) ([]byte, error) {
	accepted := s.accepted.Load()
	if offset > accepted {
		return nil, ErrGap
	}
	known := min(accepted-offset, uint64(len(data)))
	data = data[known:]
	switch {
	case eof && s.info.Terminal:
		return nil, ErrTerminal
	case s.eof && len(data) > 0, eof && !s.eof && offset+known < accepted:
		return nil, ErrInputClosed
	case uint64(len(data)) > wire.InputWindow-(accepted-s.view.h.written.Load()):
		return data, ErrFull
	}
	return data, nil
}

// sendInput passes fresh bytes on. What the socket has taken the keeper will
// get, even if this process dies now. The caller holds in.
func (s *Session) sendInput(data []byte, eof bool) error {
	for {
		piece := data[:min(len(data), wire.MaxInput)]
		data = data[len(piece):]
		var offset [inputHeader]byte
		binary.LittleEndian.PutUint64(offset[:], s.accepted.Load())
		flags := uint8(0)
		if eof && len(data) == 0 {
			flags = flagEOF
		}
		if err := s.c.send(opInput, flags, 0, offset[:], piece); err != nil {
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
		s.accepted.Add(uint64(len(piece)))
		s.eof = s.eof || flags == flagEOF
		if len(data) == 0 {
			return nil
		}
	}
}

// wantRoom asks to be told of room, when little is left or too little was. The
// caller holds mu for reading, and in.
func (s *Session) wantRoom(st State, n int, err error) {
	if st.Room >= wire.InputWindow/2 && !errors.Is(err, ErrFull) {
		return
	}
	want := st.Accepted - min(st.Accepted, wire.InputWindow/2)
	if errors.Is(err, ErrFull) && n <= wire.InputWindow {
		want = max(want, st.Accepted+uint64(n)-wire.InputWindow)
	}
	s.view.ctl.want.Store(want)
	if s.view.h.written.Load() >= want { // just before the keeper could see it
		s.notify()
	}
}

// Resize sets the terminal's size, if seq is above that of every earlier control
// operation.
func (s *Session) Resize(ctx context.Context, seq uint64, cols, rows uint16) (State, error) {
	return s.control(ctx, "resize", opResize, appendResize(nil, seq, cols, rows))
}

// Signal sends a signal, one of [wire.Signals], to the foreground process group,
// if seq is above that of every earlier control operation.
func (s *Session) Signal(ctx context.Context, seq uint64, name string) (State, error) {
	return s.control(ctx, "signal", opSignal, appendSignal(nil, seq, name))
}

// control sends a request about the session.
func (s *Session) control(ctx context.Context, what string, o op, body []byte) (State, error) {
	if _, err := s.c.call(ctx, o, 0, body); err != nil {
		return s.State(), fmt.Errorf("%s session %q: %w", what, s.info.ID, err)
	}
	return s.State(), nil
}

// SetAttached says whether anybody reads; at first somebody does. While nobody
// does, a Discard session drops its oldest output. After the return of
// SetAttached(true) nothing more is dropped.
func (s *Session) SetAttached(ctx context.Context, attached bool) (State, error) {
	flags := uint8(0)
	if attached {
		flags = flagOn
	}
	if _, err := s.c.call(ctx, opAttached, flags, nil); err != nil {
		return s.State(), fmt.Errorf("attach session %q: %w", s.info.ID, err)
	}
	return s.State(), nil
}

// SetMeta replaces the daemon's record of the session, at most [MaxMeta] bytes.
func (s *Session) SetMeta(ctx context.Context, meta []byte) error {
	if len(meta) > MaxMeta {
		return fmt.Errorf("record of session %q: %w: %d bytes, limit %d", s.info.ID, ErrInvalid, len(meta), MaxMeta)
	}
	if _, err := s.c.call(ctx, opMeta, 0, meta); err != nil {
		return fmt.Errorf("record of session %q: %w", s.info.ID, err)
	}
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	s.info.Meta = append([]byte(nil), meta...)
	return nil
}

// End ends the session whole, like a terminal that hung up, and returns when
// everything of it is gone. Output that fits no more is thrown away. The reason
// counts if the program has not ended by itself. When the context ends first
// the ending goes on.
func (s *Session) End(ctx context.Context, reason wire.ExitReason) error {
	_, err := s.c.call(ctx, opEnd, 0, []byte(reason))
	if err == nil {
		select {
		case <-s.over:
			return nil
		case <-s.c.done:
			err = s.c.lost()
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	select {
	case <-s.over: // whatever happened to the connection after
		return nil
	default:
		return fmt.Errorf("end session %q: %w", s.info.ID, err)
	}
}

// Forget gives up a session whose exit was delivered, else [ErrRunning], and
// releases the handle. What is still being cleared is cleared.
func (s *Session) Forget(ctx context.Context) error {
	if _, err := s.c.call(ctx, opForget, 0, nil); err != nil {
		return fmt.Errorf("forget session %q: %w", s.info.ID, err)
	}
	s.Release()
	return nil
}

// Release drops the handle; the session stays for as long as it was started to.
func (s *Session) Release() {
	s.c.lose(ErrReleased)
	s.c.close()
	<-s.received
	s.mu.Lock()
	v := s.view
	if v != nil {
		s.info.State = s.stateLocked()
	}
	s.view = nil
	s.mu.Unlock()
	if v == nil {
		return
	}
	if err := v.close(); err != nil {
		s.k.log.Error("memory of a session is left", "session", s.info.ID, "err", err)
	}
	s.k.drop(s)
}
