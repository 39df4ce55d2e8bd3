package session

import (
	"errors"
	"io"
	"strings"
	"testing"

	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

func TestSessionOnPipes(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`printf out; printf err >&2; exit 7`)
	info := v.session()
	if info.Session != s.ID() || info.Node != n.identity.ID() || info.Source != "debug" || info.User == "" ||
		info.Started != s.started.UnixMilli() || info.Window != wire.DefaultWindow || info.OutputStart != 0 ||
		info.InputOffset != 0 || info.Seq != 0 || info.ResumeFor != 300 || info.IdleTimeout != 0 || info.EndsAt != 0 || info.Dropped != 0 {
		t.Errorf("first event: %+v", info)
	}
	claims, err := token.VerifyProof([]byte(info.Proof), n.identity.ID(), []byte(requestToken))
	if err != nil || claims.Session != s.ID() {
		t.Errorf("proof: %+v, %v", claims, err)
	}
	if x := v.exit(); x != (wire.Exit{Code: 7, Reason: wire.ReasonExited}) {
		t.Errorf("exit %+v", x)
	}
	if v.text.String() != "out" || v.errs.String() != "err" {
		t.Errorf("stdout %q, stderr %q", v.text.String(), v.errs.String())
	}
	eventually(t, "the keeper to forget", func() bool { return len(n.held()) == 0 })
	eventually(t, "the place to be free", func() bool { return n.r.Count() == 0 })
}

func TestSessionOnTerminal(t *testing.T) {
	n := newNode(t)
	s, v := n.runOnTerminal(`stty -echo; tty -s && echo ready; while read line; do echo "<$line>"; done`)
	v.session()
	v.until("ready\r\n")
	for i, text := range []string{"one\n", "two\n", "three\n"} {
		st := s.state().Accepted
		if a := n.do(s, wire.Shell{Op: wire.OpInput, Offset: st, Data: []byte(text)}); a.Offset != st+uint64(len(text)) || a.Room == 0 {
			t.Errorf("answer %d: %+v", i, a)
		}
		v.until("<" + strings.TrimSpace(text) + ">\r\n")
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: s.state().Accepted, Data: []byte{4}})
	if x := v.exit(); x.Code != 0 || x.Reason != wire.ReasonExited {
		t.Errorf("exit %+v", x)
	}
}

// TestExitComesAfterAllOutput: the tail of what was written is never lost.
func TestExitComesAfterAllOutput(t *testing.T) {
	n := newNode(t)
	for range 20 {
		s, v := n.run(`head -c 200000 /dev/zero | tr '\0' x; echo end`)
		v.session()
		if x := v.exit(); x.Code != 0 || v.text.Len() != 200004 || !strings.HasSuffix(v.text.String(), "xend\n") {
			t.Fatalf("exit %+v after %d bytes", x, v.text.Len())
		}
		if st := s.state(); st.Head != 200004 {
			t.Errorf("the head is %d", st.Head)
		}
	}
}

// TestOutputWaitsForItsReader: nothing is dropped, and no more than the flight is
// kept on its way.
func TestOutputWaitsForItsReader(t *testing.T) {
	n := newNode(t)
	const total = 3 << 20
	s, v := n.run(`read x; head -c 3145728 /dev/zero`)
	v.session()
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	for v.next < wire.InitialFlight {
		v.must(wire.EventOutput)
	}
	if head := s.state().Head; head != wire.InitialFlight {
		t.Errorf("%d bytes are under way, the limit is %d", head, wire.InitialFlight)
	}
	for v.next < total {
		n.do(s, wire.Shell{Op: wire.OpAck, Ack: v.next})
		v.must(wire.EventOutput)
	}
	if x := v.exit(); x.Code != 0 || v.text.Len() != total {
		t.Errorf("exit %+v after %d bytes", x, v.text.Len())
	}
}

// TestKeepalives: a silent stream says something before 10 s have passed.
func TestKeepalives(t *testing.T) {
	n := newNode(t)
	_, v := n.run(`cat`)
	v.session()
	sizes := map[int]bool{}
	for range 20 {
		n.clock.advance(silenceMax)
		e := v.must(wire.EventKeepalive)
		sizes[len(e.data)] = true
	}
	if len(sizes) < 5 {
		t.Errorf("%d sizes in 20 keepalives", len(sizes))
	}
}

// TestFirstStreamThatFails: nobody knows the name of a session whose first event
// could not be written, so it ends.
func TestFirstStreamThatFails(t *testing.T) {
	n := newNode(t)
	n.r.o.Prove = func(wire.ProofClaims) (string, error) { return "", errGone }
	s := n.open2(t)
	v := view(t, s, Start{Tok: []byte("another")})
	<-v.done
	if v.err == nil {
		t.Error("a stream without a proof")
	}
	eventually(t, "the session to end", func() bool { return len(n.held()) == 0 })
	if _, err := s.Do(testContext(t), n.opener, wire.Shell{Op: wire.OpAck}); errs.CodeOf(err) != wire.CodeEnded {
		t.Errorf("got %v", err)
	}
}

// open2 opens while proofs still work.
func (n *node) open2(t *testing.T) *Session {
	t.Helper()
	broken := n.r.o.Prove
	n.r.o.Prove = n.identity.Prove
	s := n.open(wire.Shell{Args: []string{"/bin/cat"}})
	n.r.o.Prove = broken
	return s
}

// TestOpenerIsGone: a client that is not there to read the first event knows no
// name to come back with.
func TestOpenerIsGone(t *testing.T) {
	n := newNode(t)
	s := n.open(wire.Shell{Args: []string{"/bin/cat"}})
	w := sse.NewWriter(io.Discard, func() error { return errGone })
	if err := s.Stream(testContext(t), w, Start{Tok: []byte(requestToken)}); !errors.Is(err, errGone) {
		t.Errorf("stream: %v", err)
	}
	eventually(t, "the session to end", func() bool { return n.ended(wire.ReasonLost) == "1" })
}

func TestStderrIsKeptApart(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`for i in 1 2 3; do echo o$i; echo e$i >&2; done`)
	v.session()
	v.exit()
	if v.text.String() != "o1\no2\no3\n" || v.errs.String() != "e1\ne2\ne3\n" {
		t.Errorf("stdout %q, stderr %q", v.text.String(), v.errs.String())
	}
	if f := s.finale.Load(); f != nil {
		for _, c := range f.chunks {
			if c.kind != keeper.Output && c.kind != keeper.Stderr {
				t.Errorf("kind %d", c.kind)
			}
		}
	}
}
