package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"etcha/go/errs"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

const (
	// maxSilence is how long a stream may bring nothing before it is lost.
	maxSilence = 2*wire.KeepaliveMax + 5*time.Second
	// maxSessionID bounds a session ID, bytes.
	maxSessionID = 128
	// maxMessage bounds a notice's text, bytes.
	maxMessage = 1000
)

// stream is a session's event stream.
type stream struct {
	body   io.Closer
	events *sse.Reader
	base64 *base64.Encoding
	buf    []byte // decoded output, reused
}

// watched is a body that is given up when it stays silent while it is read.
type watched struct {
	body  io.Reader
	limit time.Duration
	timer *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.limit)
	defer w.timer.Stop()
	return w.body.Read(p)
}

// open sends one open request and confirms the answer. On success the
// session's goroutines run.
func (s *Session) open(ctx context.Context, sh wire.Shell, cnf *wire.Confirmation) error {
	sh.Op = wire.OpOpen
	tok, err := s.c.opener(ctx, s.source, sh, cnf)
	if err != nil {
		return err
	}
	s.node, _ = s.c.trust.pinned()
	sctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	late := time.AfterFunc(s.c.o.Timeout, func() { cancel(errTimeout) })
	defer late.Stop()
	defer stop()
	st, err := s.connect(sctx, cancel, sh, tok)
	if err == nil && (!late.Stop() || !stop()) {
		_ = st.body.Close()
		err = context.Cause(sctx)
		if err == nil { // stopped by ctx this moment
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		cancel(err)
		return err
	}
	s.ctx, s.cancel = sctx, cancel
	s.begin(st)
	return nil
}

// connect posts the token, reads the first event and checks the proof in it.
func (s *Session) connect(ctx context.Context, cancel context.CancelCauseFunc, sh wire.Shell, tok string) (*stream, error) {
	u := s.c.route(wire.PathShell(s.source))
	start := s.c.o.Now()
	body, err := s.c.stream(ctx, u, tok)
	s.c.trace(ctx, u, &sh, len(tok), start, err)
	if err != nil {
		return nil, err
	}
	silent := time.AfterFunc(math.MaxInt64, func() { cancel(errSilent) })
	st := &stream{
		body: body, events: sse.NewReader(&watched{body, s.c.waits.silence, silent}),
		base64: base64.StdEncoding.Strict(),
	}
	if err := s.confirm(st, tok); err != nil {
		_ = body.Close()
		return nil, cause(ctx, err)
	}
	return st, nil
}

// confirm reads the first event and checks that the pinned node made it in
// answer to this very request.
func (s *Session) confirm(st *stream, tok string) error {
	ev, err := st.events.Next()
	if err != nil {
		return fmt.Errorf("event stream: %w", unexpected(err))
	}
	if ev.Name != wire.EventSession {
		return streamErrorf("begins with %q instead of %q", printable(ev.Name, 50), wire.EventSession)
	}
	var info wire.Session
	if err := json.Unmarshal(ev.Data, &info); err != nil {
		return streamErrorf("session event: %v", err)
	}
	proof, err := token.VerifyProof([]byte(info.Proof), s.node, []byte(tok))
	if err == nil && proof.Session != info.Session {
		err = errors.New("the proof is for another session")
	}
	if err != nil {
		e := errs.Transport(err, "the answer is not proven to come from node %s", s.node)
		e.Code = CodeProof
		return e.WithHint("someone in the path answers in the node's place; nothing was typed into it")
	}
	if info.Session == "" || len(info.Session) > maxSessionID || info.Node != s.node || info.Source != s.source {
		return streamErrorf("the session event is for another session")
	}
	info.User = printable(info.User, 100)
	s.info = info
	return nil
}

// read passes the stream's events on until the session ends. It is the only
// goroutine that writes output.
func (s *Session) read(st *stream) {
	defer close(s.streamed)
	exit, err := s.follow(st)
	_ = st.body.Close()
	s.finish(exit, err)
}

// follow returns how the session ended, or why the stream did. What it needs to
// go on with another stream is in the session: the bytes consumed, and the
// input that is not yet accepted.
func (s *Session) follow(st *stream) (wire.Exit, error) {
	for {
		ev, err := st.events.Next()
		if err != nil {
			return wire.Exit{}, &LossError{cause(s.ctx, unexpected(err))}
		}
		switch ev.Name {
		case wire.EventOutput:
			err = s.output(st, s.stdout, ev)
		case wire.EventStderr:
			err = s.output(st, s.stderr, ev)
		case wire.EventInput:
			err = s.inputState(ev.Data)
		case wire.EventNotice:
			err = s.notice(ev.Data)
		case wire.EventReplaced:
			return wire.Exit{}, &LossError{ErrReplaced}
		case wire.EventExit:
			return exitOf(ev.Data)
		}
		if err != nil {
			return wire.Exit{}, err
		}
	}
}

// output decodes one output event, writes it and counts it as consumed.
func (s *Session) output(st *stream, w io.Writer, ev sse.Event) error {
	size := st.base64.DecodedLen(len(ev.Data))
	if cap(st.buf) < size {
		st.buf = make([]byte, max(size, sse.MaxFrame))
	}
	n, err := st.base64.Decode(st.buf[:size], ev.Data)
	if err != nil {
		return &LossError{streamErrorf("output is not base64: %v", err)}
	}
	end := s.consumed.Load() + uint64(n)
	if !ev.HasID || ev.ID != end {
		return &LossError{streamErrorf("output to offset %d does not follow on %d with %d bytes", ev.ID, end-uint64(n), n)}
	}
	if err := s.pass(w, st.buf[:n]); err != nil {
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
	ctx, cancel := context.WithTimeout(s.ctx, closeTimeout)
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
		Code: printable(string(n.Code), 100), Node: s.node,
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
