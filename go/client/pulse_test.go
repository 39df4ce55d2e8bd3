package client_test

import (
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"etcha/go/wire"
)

// The path has become a black hole: a key that is typed has no answer and the
// stream brings nothing. The client does not wait for the stream's own limit.
func TestBlackHole(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		n := newNode(t, cat)
		var hole atomic.Int32
		n.fault = func(_ http.ResponseWriter, c *wire.Claims) bool {
			if c.Shell.Op == wire.OpInput && hole.Add(1) == 1 {
				n.waitAccepted(1) // by another request
			}
			return false
		}
		n.start(how)
		c := newClient(t, n.options())
		c.ShortPatience(20 * time.Millisecond)
		out := newBuffer()
		s := open(t, c, wire.Shell{}, out, nil)
		writePieces(t, s, "x")
		out.waitFor(1)
		if n.asked(wire.OpAttach) == 0 {
			t.Error("the session did not attach again")
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		mustExit(t, s, exited)
		if out.String() != "x" {
			t.Errorf("output %q", out.String())
		}
	})
}

// A silence during which this process stood still is no loss: the node is asked.
func TestSilenceOfASleeper(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	c := newClient(t, n.options())
	clock := c.NoPauses()
	const silence = 300 * time.Millisecond
	c.ShortSilence(silence)
	out := newBuffer()
	s := open(t, c, wire.Shell{}, out, nil)
	for !s.Reading() {
		runtime.Gosched()
	}
	clock.Skip(time.Hour)
	p := n.only()
	p.wait(func() bool { return p.acks > 0 })
	if n.asked(wire.OpAttach) != 0 {
		t.Error("the session attached again")
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
}
