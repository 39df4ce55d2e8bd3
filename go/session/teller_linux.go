package session

import (
	"encoding/json"
	"errors"
	"fmt"

	"etcha/go/keeper"
	"etcha/go/sse"
	"etcha/go/wire"
)

// teller writes a session's events to one client. It belongs to the goroutine of
// that client's stream.
type teller struct {
	s      *Session
	w      *sse.Writer
	next   uint64 // output offset to send next
	unsent bool   // something was written since the last flush
	begun  bool   // something was flushed
	quiet  silence
	cover  cover
}

// output writes what the program has written, as much as goes into one flush,
// and gives how much; [errBehind] where it was overwritten.
func (t *teller) output() (int, error) {
	buf, _ := t.s.r.buffers.Get().(*[burst]byte)
	defer t.s.r.buffers.Put(buf)
	total := 0
	for total < flushBurst {
		n, kind, err := t.s.read(buf[:], t.next)
		switch {
		case errors.Is(err, keeper.ErrReleased):
			return total, nil // the daemon leaves
		case errors.Is(err, keeper.ErrGone):
			return total, errBehind
		case err != nil:
			return total, fmt.Errorf("read output at %d: %w", t.next, err)
		case n == 0:
			return total, nil
		}
		name := wire.EventOutput
		if kind == keeper.Stderr {
			name = wire.EventStderr
		}
		t.next += uint64(n)
		total += n
		t.unsent = true
		if err := t.w.Output(name, t.next, buf[:n]); err != nil {
			return total, err
		}
	}
	return total, nil
}

// breakSilence writes a keepalive when it is due.
func (t *teller) breakSilence() error {
	text := t.quiet.due()
	if text == nil {
		return nil
	}
	t.unsent = true
	return t.w.Event(wire.EventKeepalive, sse.NoID, text)
}

// exit writes the last event of a session.
func (t *teller) exit(e *keeper.Exit) error {
	if err := t.event(wire.EventExit, publicExit(e)); err != nil {
		return err
	}
	return t.flush()
}

// publicExit is an exit as clients are told it.
func publicExit(e *keeper.Exit) wire.Exit {
	return wire.Exit{Code: e.Code, Signal: e.Signal, Reason: e.Reason}
}

// event buffers an event whose data is JSON.
func (t *teller) event(name string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode event %q: %w", name, err)
	}
	t.unsent = true
	return t.w.Event(name, sse.NoID, b)
}

// flush sends what was written.
func (t *teller) flush() error {
	if !t.unsent {
		return nil
	}
	t.unsent = false
	t.quiet.last = t.s.r.o.Now()
	if t.cover.mode != "" {
		t.w.Pad(wire.PadStep)
	}
	err := t.w.Flush()
	t.begun = t.begun || err == nil
	return err
}
