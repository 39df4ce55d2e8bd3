package keeper

import (
	"fmt"

	"etcha/go/wire"
)

// serve handles the frames of the session's daemon until its connection ends.
// Nothing here waits for the program.
func (h *held) serve(l *link) error {
	f, err := l.in.next()
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.taken = true
	h.mu.Unlock()
	for err == nil {
		if err = h.handle(l, f); err == nil {
			f, err = l.in.next()
		}
	}
	return err
}

// handle applies one frame. An error breaks the connection: the daemon did what
// its own checks must have prevented. An answer that cannot be sent is none: what
// the daemon sent before it went still counts, and the end follows it.
func (h *held) handle(l *link, f frame) error {
	switch f.op {
	case opInput:
		return h.takeInput(f)
	case opSpace:
		h.mu.Lock()
		h.moved.Broadcast()
		h.mu.Unlock()
		return nil
	}
	if err := h.control(f); err != nil {
		if f.id == 0 {
			return nil
		}
		_ = l.send(opAnswer, flagFailed, f.id, fail(fmt.Errorf("session %q: %w", h.id, err)), nil)
		return nil
	}
	_ = l.send(opAnswer, 0, f.id, nil, nil)
	return nil
}

// takeInput applies an input frame.
func (h *held) takeInput(f frame) error {
	offset, data, err := parseInput(f.body)
	if err != nil {
		return err
	}
	fresh, err := h.in.take(offset, data, f.flags&flagEOF != 0)
	if err != nil {
		return fmt.Errorf("session %q: input at %d: %w", h.id, offset, err)
	}
	if fresh {
		h.ring.h.activity.Store(h.s.now().UnixNano())
	}
	return nil
}

// control applies a request.
func (h *held) control(f frame) error {
	switch f.op {
	case opResize:
		seq, cols, rows, err := parseResize(f.body)
		if err != nil {
			return err
		}
		h.resize(seq, cols, rows)
	case opSignal:
		seq, name, err := parseSignal(f.body)
		if err != nil {
			return err
		}
		return h.signal(seq, name)
	case opEnd:
		h.end(wire.ExitReason(f.body))
	case opForget:
		return h.forgetExited()
	case opMeta:
		h.setMeta(f.body)
	case opAttached:
		h.setAttached(f.flags&flagOn != 0)
	default:
		return fmt.Errorf("%w: op %d", ErrInvalid, f.op)
	}
	return nil
}

// next reports whether a control operation is new, and counts it.
func (h *held) next(seq uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seq <= h.seq {
		return false
	}
	h.seq = seq
	h.ring.h.seq.Store(seq)
	return !h.exited
}

// resize sets the terminal's size. Without a terminal there is nothing to do.
func (h *held) resize(seq uint64, cols, rows uint16) {
	if !h.next(seq) || !h.terminal {
		return
	}
	if err := h.proc.Resize(cols, rows); err != nil {
		h.s.log.Debug("terminal was not resized", "session", h.id, "err", err)
	}
}

// signal sends a signal to the foreground. A program that has ended meanwhile
// is no error.
func (h *held) signal(seq uint64, name string) error {
	if !wire.KnownSignal(name) {
		return fmt.Errorf("%w: signal %q", ErrInvalid, name)
	}
	if !h.next(seq) {
		return nil
	}
	if err := h.proc.Signal(name); err != nil {
		h.s.log.Debug("signal was not sent", "session", h.id, "err", err)
	}
	return nil
}

// setAttached says whether somebody reads.
func (h *held) setAttached(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attached = on
	h.moved.Broadcast()
}

// forgetExited forgets a session whose exit was delivered. Once it has ended its
// ID is free; the memory goes with the connection.
func (h *held) forgetExited() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.exited {
		return ErrRunning
	}
	h.forgotten = true
	if h.ended {
		h.s.remove(h)
	}
	return nil
}
