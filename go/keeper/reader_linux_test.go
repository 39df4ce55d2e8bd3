package keeper

import (
	"bytes"
	"context"
	"fmt"
	"testing"
)

// reader follows a session's output.
type reader struct {
	tb   testing.TB
	s    *Session
	ctx  context.Context
	buf  []byte
	at   uint64
	take func([]byte, Kind)
	out  [2][]byte // by kind
	ack  bool
}

func follow(tb testing.TB, s *Session) *reader {
	r := &reader{tb: tb, s: s, ctx: testContext(tb), buf: make([]byte, 64<<10), ack: true}
	r.take = func(b []byte, k Kind) { r.out[k] = append(r.out[k], b...) }
	return r
}

// step reads once; done when the session has exited and all was read.
func (r *reader) step() (n int, done bool) {
	r.tb.Helper()
	exited := r.s.State().Exit != nil
	n, kind, err := r.s.Read(r.buf, r.at)
	if err != nil {
		r.tb.Fatalf("read at %d: %v", r.at, err)
	}
	r.take(r.buf[:n], kind)
	r.at += uint64(n)
	if r.ack && n > 0 {
		r.s.Acknowledge(r.at)
	}
	return n, exited && n == 0
}

// wait waits for a change.
func (r *reader) wait(what string) {
	r.tb.Helper()
	if err := r.s.Err(); err != nil {
		r.tb.Fatalf("waiting for %s: %v", what, err)
	}
	select {
	case <-r.s.Changed():
	case <-r.ctx.Done():
		r.tb.Fatalf("waited in vain for %s; have %s", what, short(r.out))
	}
}

// toExit reads all output.
func (r *reader) toExit() Exit {
	r.tb.Helper()
	for {
		n, done := r.step()
		if done {
			return *r.s.State().Exit
		}
		if n == 0 {
			r.wait("exit")
		}
	}
}

// until reads until stdout or the terminal has said something.
func (r *reader) until(text string) {
	r.tb.Helper()
	for !bytes.Contains(r.out[Output], []byte(text)) {
		if n, done := r.step(); done {
			r.tb.Fatalf("session ended before %q; have %s", text, short(r.out))
		} else if n == 0 {
			r.wait(text)
		}
	}
}

// short shows the last of each kind.
func short(out [2][]byte) string {
	last := func(b []byte) []byte { return b[max(0, len(b)-200):] }
	return fmt.Sprintf("%d bytes %q and %d bytes %q", len(out[0]), last(out[0]), len(out[1]), last(out[1]))
}
