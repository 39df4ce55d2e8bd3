package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"etcha/go/sse"
	"etcha/go/wire"
)

const (
	// maxSilence is how long a stream may bring nothing before it is lost.
	maxSilence = wire.KeepaliveMax + 5*time.Second
	// maxUnanswered is how long a small request may have no answer, while the
	// stream brings nothing either, before both are lost.
	maxUnanswered = 4 * time.Second
	// maxSessionID bounds a session ID, bytes.
	maxSessionID = 128
	// maxMessage bounds a notice's text, bytes.
	maxMessage = 1000
)

// follow returns how the session ended, or why the stream did. What it needs to
// go on with another stream is in the session: the bytes consumed, and the
// input that is not yet accepted.
func (s *Session) follow(l *link) (wire.Exit, error) {
	for {
		ev, err := l.events.Next()
		if err != nil {
			return wire.Exit{}, &LossError{cause(l.ctx, unexpected(err))}
		}
		switch ev.Name {
		case wire.EventReplaced:
			return wire.Exit{}, &LossError{ErrReplaced}
		case wire.EventExit:
			return exitOf(ev.Data)
		}
		if err := s.event(l, ev); err != nil {
			return wire.Exit{}, err
		}
		l.lively = true
	}
}

// event books an event after which others may follow. Unknown ones are passed over.
func (s *Session) event(l *link, ev sse.Event) error {
	switch ev.Name {
	case wire.EventOutput:
		return s.output(l, s.stdout, ev)
	case wire.EventStderr:
		return s.output(l, s.stderr, ev)
	case wire.EventInput:
		return s.inputState(ev.Data)
	case wire.EventNotice:
		return s.notice(ev.Data)
	case wire.EventGap:
		return s.gap(ev.Data)
	case wire.EventResize:
		return s.resized(ev.Data)
	}
	return nil
}

// output decodes one output event, writes it and counts it as consumed.
func (s *Session) output(l *link, w io.Writer, ev sse.Event) error {
	size := l.base64.DecodedLen(len(ev.Data))
	if cap(l.buf) < size {
		l.buf = make([]byte, max(size, sse.MaxFrame))
	}
	n, err := l.base64.Decode(l.buf[:size], ev.Data)
	if err != nil {
		return &LossError{streamErrorf("output is not base64: %v", err)}
	}
	end := s.consumed.Load() + uint64(n)
	if !ev.HasID || ev.ID != end {
		return &LossError{streamErrorf("output to offset %d does not follow on %d with %d bytes", ev.ID, end-uint64(n), n)}
	}
	if err := s.pass(w, l.buf[:n]); err != nil {
		return err
	}
	s.consumed.Store(end)
	s.acknowledge(end)
	return nil
}

// pass writes output. When nobody takes it any more the session is closed.
func (s *Session) pass(w io.Writer, p []byte) error {
	if s.closing.Load() {
		return nil
	}
	_, err := w.Write(p)
	if err == nil || !s.closing.CompareAndSwap(false, true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.c.waits.close)
	defer cancel()
	_ = s.tellClose(ctx) // the writer's error says more
	return fmt.Errorf("write output: %w", err)
}

func (s *Session) inputState(data []byte) error {
	var st wire.InputState
	if err := json.Unmarshal(data, &st); err != nil {
		return &LossError{streamErrorf("input event: %v", err)}
	}
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.in.drained(st)
	s.launch()
	return nil
}

func (s *Session) notice(data []byte) error {
	var n wire.Notice
	if err := json.Unmarshal(data, &n); err != nil {
		return &LossError{streamErrorf("notice event: %v", err)}
	}
	s.c.notify(Event{
		Kind: EventNotice, Text: printable(n.Message, maxMessage),
		Code: printable(string(n.Code), 100), Node: s.node, Session: s.id,
	})
	return nil
}

// gap books output that was skipped for a viewer who was too slow. The owner's
// has no gaps.
func (s *Session) gap(data []byte) error {
	var g wire.Gap
	if err := json.Unmarshal(data, &g); err != nil {
		return &LossError{streamErrorf("gap event: %v", err)}
	}
	if at := s.consumed.Load(); s.role == wire.RoleOwner || g.From != at || g.To < at {
		return &LossError{streamErrorf("a gap from %d to %d does not follow on %d", g.From, g.To, at)}
	}
	s.skip(g.To)
	return nil
}

// resized tells a viewer of the terminal's size.
func (s *Session) resized(data []byte) error {
	var size wire.Size
	if err := json.Unmarshal(data, &size); err != nil {
		return &LossError{streamErrorf("resize event: %v", err)}
	}
	s.c.notify(Event{
		Kind: EventResize, Cols: size.Cols, Rows: size.Rows, Node: s.node, Session: s.id,
		Text: fmt.Sprintf("the terminal is %d columns by %d rows", size.Cols, size.Rows),
	})
	return nil
}

func exitOf(data []byte) (wire.Exit, error) {
	var exit wire.Exit
	if err := json.Unmarshal(data, &exit); err != nil {
		return wire.Exit{}, &LossError{streamErrorf("exit event: %v", err)}
	}
	if exit.Code < 0 || exit.Code > 255 { // the system would take 256 for 0
		return wire.Exit{}, &LossError{streamErrorf("exit status %d is none", exit.Code)}
	}
	exit.Signal = printable(exit.Signal, 20)
	exit.Reason = wire.ExitReason(printable(string(exit.Reason), 50))
	return exit, nil
}

// unexpected is the error of a stream that ended without an exit.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the stream ended without an exit")
	}
	return err
}
