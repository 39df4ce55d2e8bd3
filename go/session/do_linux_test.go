package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// TestInputInAnyOrder sends many overlapping pieces at once, in any order; the
// program reads the exact bytes.
func TestInputInAnyOrder(t *testing.T) {
	n := newNode(t)
	data := make([]byte, 300_000)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	s, v := n.run(`sha256sum`)
	v.session()
	var pieces []wire.Shell
	for at := 0; at < len(data); {
		end := min(at+1+rand.IntN(20_000), len(data))
		pieces = append(pieces, wire.Shell{Op: wire.OpInput, Offset: uint64(at), Data: data[at:end], EOF: end == len(data)})
		if at > 5000 && rand.IntN(2) == 0 {
			pieces = append(pieces, wire.Shell{Op: wire.OpInput, Offset: uint64(at - 5000), Data: data[at-5000 : end]})
		}
		at = end
	}
	rand.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	var wg sync.WaitGroup
	for part := range 4 {
		wg.Go(func() {
			for i := part; i < len(pieces); i += 4 {
				if _, err := s.Do(testContext(t), n.opener, pieces[i]); err != nil && errs.CodeOf(err) != wire.CodeEnded {
					t.Errorf("input at %d: %v", pieces[i].Offset, err)
				}
			}
		})
	}
	wg.Wait()
	if x := v.exit(); x.Code != 0 {
		t.Errorf("exit %+v", x)
	}
	sum := sha256.Sum256(data)
	if want := hex.EncodeToString(sum[:]) + "  -\n"; v.text.String() != want {
		t.Errorf("the program read %q, want %q", v.text.String(), want)
	}
	if got := n.scrape(`etcha_session_input_bytes_total{source="debug"}`); got != "300000" {
		t.Errorf("%s bytes of input counted", got)
	}
}

// TestInputIsAppliedOnce: a repeated input is acknowledged and dropped.
func TestInputIsAppliedOnce(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`cat`)
	v.session()
	for range 3 {
		if a := n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("abc")}); a.Offset != 3 {
			t.Errorf("answer %+v", a)
		}
	}
	if a := n.do(s, wire.Shell{Op: wire.OpInput, Offset: 1, Data: []byte("XXdef"), EOF: true}); a.Offset != 6 {
		t.Errorf("answer %+v", a)
	}
	if x := v.exit(); x.Code != 0 || v.text.String() != "abcdef" {
		t.Errorf("exit %+v, read %q", x, v.text.String())
	}
}

// TestEarlyEndOfInput: the end waits for what is before it.
func TestEarlyEndOfInput(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`cat; echo end`)
	v.session()
	if a := n.do(s, wire.Shell{Op: wire.OpInput, Offset: 3, Data: []byte("def"), EOF: true}); a.Offset != 0 {
		t.Errorf("answer %+v", a)
	}
	if a := n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("abc")}); a.Offset != 6 {
		t.Errorf("answer %+v", a)
	}
	v.exit()
	if v.text.String() != "abcdefend\n" {
		t.Errorf("read %q", v.text.String())
	}
}

// TestInputRefusals has each reason for which an input is refused; none of them
// reaches the program.
func TestInputRefusals(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`cat`)
	v.session()
	term, tv := n.runOnTerminal(`cat`)
	tv.session()
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 10, Data: []byte("early")})
	for _, c := range []struct {
		name string
		s    *Session
		sh   wire.Shell
		code wire.Code
	}{
		{"too large", s, wire.Shell{Op: wire.OpInput, Data: make([]byte, wire.MaxInput+1)}, wire.CodeTooLarge},
		{"beyond the window", s, wire.Shell{Op: wire.OpInput, Offset: wire.InputWindow, Data: []byte("x")}, wire.CodeOffset},
		{"far beyond", s, wire.Shell{Op: wire.OpInput, Offset: 1 << 62, Data: []byte("x")}, wire.CodeOffset},
		{"overflow", s, wire.Shell{Op: wire.OpInput, Offset: 1<<64 - 1, Data: []byte("xx")}, wire.CodeBadRequest},
		{"end before what is there", s, wire.Shell{Op: wire.OpInput, Offset: 5, EOF: true}, wire.CodeBadRequest},
		{"end of a terminal", term, wire.Shell{Op: wire.OpInput, EOF: true}, wire.CodeBadRequest},
		{"no operation", s, wire.Shell{}, wire.CodeBadRequest},
		{"open", s, wire.Shell{Op: wire.OpOpen}, wire.CodeBadRequest},
		{"attach", s, wire.Shell{Op: wire.OpAttach}, wire.CodeBadRequest},
		{"resize without seq", s, wire.Shell{Op: wire.OpResize, Cols: 1, Rows: 1}, wire.CodeBadRequest},
		{"resize to nothing", s, wire.Shell{Op: wire.OpResize, Seq: 1}, wire.CodeBadRequest},
		{"huge resize", s, wire.Shell{Op: wire.OpResize, Seq: 1, Cols: 5000, Rows: 1}, wire.CodeBadRequest},
		{"unknown signal", s, wire.Shell{Op: wire.OpSignal, Seq: 1, Signal: "SEGV"}, wire.CodeBadRequest},
		{"close without seq", s, wire.Shell{Op: wire.OpClose}, wire.CodeBadRequest},
	} {
		_, err := c.s.Do(testContext(t), n.opener, c.sh)
		if errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want the code %s", c.name, err, c.code)
		}
		var off *OffsetError
		if errors.As(err, &off) != (c.code == wire.CodeOffset) || off != nil && (off.Offset != 0 || off.Room != wire.InputWindow) {
			t.Errorf("%s: %+v", c.name, off)
		}
	}
	if st := s.state(); st.Accepted != 0 || st.Seq != 0 || st.Exit != nil {
		t.Errorf("something was applied: %+v", st)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("0123456789")})
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 15, EOF: true})
	if _, err := s.Do(testContext(t), n.opener, wire.Shell{Op: wire.OpInput, Offset: 15, Data: []byte("x")}); err == nil {
		t.Error("input behind its end was accepted")
	}
	if v.exit(); v.text.String() != "0123456789early" {
		t.Errorf("the program read %q", v.text.String())
	}
}

// TestInputRoomReturns: a program that does not read lets the window fill; when
// it reads, the client is told.
func TestInputRoomReturns(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`trap go=1 USR1; echo ready; while [ -z "$go" ]; do sleep 0.01; done; exec wc -c`)
	v.session()
	v.until("ready\n")
	sent := uint64(0)
	for room := uint64(wire.InputWindow); room > 0; {
		p := make([]byte, min(wire.MaxInput, room))
		a := n.do(s, wire.Shell{Op: wire.OpInput, Offset: sent, Data: p})
		sent += uint64(len(p))
		if a.Offset != sent {
			t.Fatalf("answer %+v after %d bytes", a, sent)
		}
		room = a.Room
	}
	_, err := s.Do(testContext(t), n.opener, wire.Shell{Op: wire.OpInput, Offset: sent, Data: make([]byte, wire.MaxInput)})
	var off *OffsetError
	if !errors.As(err, &off) || off.Offset != sent {
		t.Errorf("a full window: %v", err)
	}
	n.do(s, wire.Shell{Op: wire.OpSignal, Seq: 1, Signal: "USR1"})
	var st wire.InputState
	v.decode(wire.EventInput, &st)
	if st.Room < lowRoom || st.Offset == 0 || st.Offset > sent {
		t.Errorf("input event %+v after %d bytes", st, sent)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: sent, EOF: true})
	if v.exit(); v.text.String() != fmt.Sprintf("ready\n%d\n", sent) {
		t.Errorf("read %q", v.text.String())
	}
}

// TestAcknowledgementComesFirst: it lets output drain, also with an operation
// that is refused.
func TestAcknowledgementComesFirst(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`read x; head -c 400000 /dev/zero; cat`)
	v.session()
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	for v.next < wire.InitialFlight {
		v.must(wire.EventOutput)
	}
	if _, err := s.Do(testContext(t), n.opener, wire.Shell{Op: wire.OpInput, Ack: v.next, Data: make([]byte, wire.MaxInput+1)}); err == nil {
		t.Error("an input that is too large was accepted")
	}
	for v.next < 400_000 {
		v.must(wire.EventOutput)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 1, Ack: 1 << 60, EOF: true}) // beyond the head: clamped
	v.exit()
}

func TestControl(t *testing.T) {
	n := newNode(t)
	s, v := n.runOnTerminal(`stty -echo; trap 'stty size; echo .' WINCH; trap 'echo usr1' USR1; echo ready; while :; do read x; done`)
	v.session()
	v.until("ready\r\n")
	for _, c := range []struct {
		sh   wire.Shell
		seq  uint64
		want string
	}{
		{wire.Shell{Op: wire.OpResize, Seq: 1, Cols: 132, Rows: 43}, 1, "43 132\r\n.\r\n"},
		{wire.Shell{Op: wire.OpSignal, Seq: 5, Signal: "USR1"}, 5, "usr1\r\n"},
		{wire.Shell{Op: wire.OpResize, Seq: 5, Cols: 10, Rows: 10}, 5, ""}, // not above: dropped
		{wire.Shell{Op: wire.OpSignal, Seq: 2, Signal: "KILL"}, 5, ""},
		{wire.Shell{Op: wire.OpClose, Seq: 5}, 5, ""},
		{wire.Shell{Op: wire.OpResize, Seq: 6, Cols: 50, Rows: 20}, 6, "20 50\r\n.\r\n"},
	} {
		if a := n.do(s, c.sh); a.Seq != c.seq {
			t.Errorf("%s %d: answer %+v", c.sh.Op, c.sh.Seq, a)
		}
		v.until(c.want)
	}
	n.do(s, wire.Shell{Op: wire.OpSignal, Seq: 7, Signal: "KILL"})
	if x := v.exit(); x.Code != 137 || x.Signal != "KILL" || x.Reason != wire.ReasonExited {
		t.Errorf("exit %+v", x)
	}
	if got := v.text.String(); got != "ready\r\n43 132\r\n.\r\nusr1\r\n20 50\r\n.\r\n" {
		t.Errorf("read %q", got)
	}
}

func TestClose(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`trap '' HUP; sleep 1000`)
	v.session()
	if a := n.do(s, wire.Shell{Op: wire.OpClose, Seq: 1}); a.Offset != 0 {
		t.Errorf("answer %+v", a)
	}
	if x := v.exit(); x.Reason != wire.ReasonClosed || x.Code < 128 {
		t.Errorf("exit %+v", x)
	}
	eventually(t, "the end to be counted", func() bool {
		return n.scrape(`etcha_sessions_ended_total{reason="closed",source="debug"}`) == "1"
	})
}

// TestOnlyItsKeysAct: another key sees no session, the session's own does what
// the opener's does.
func TestOnlyItsKeysAct(t *testing.T) {
	n := newNode(t)
	own, confirm, err := token.NewConfirm()
	n.must(err)
	s, err := n.r.Open(testContext(t), n.grant(wire.Shell{Args: []string{"/bin/cat"}}), wire.Claims{Confirm: &confirm}, []byte(requestToken))
	n.must(err)
	v := view(t, s, Start{Tok: []byte(requestToken)})
	v.session()
	if got, ok := s.SessionKey(); !ok || !got.Equal(own.Public()) || !s.OpenerKey().Equal(n.opener) {
		t.Error("the session has other keys")
	}
	for _, key := range []token.PublicKey{newKey(t, "eve"), {}} {
		for _, op := range []wire.Op{wire.OpInput, wire.OpAck, wire.OpClose, wire.OpSignal, wire.OpResize} {
			sh := wire.Shell{Op: op, Data: []byte("evil"), Seq: 9, Signal: "KILL", Cols: 1, Rows: 1}
			if _, err := s.Do(testContext(t), key, sh); errs.CodeOf(err) != wire.CodeNotFound {
				t.Errorf("%s by another key: %v", op, err)
			}
		}
		sh := &wire.Shell{Op: wire.OpAttach}
		if _, err := s.Attach(testContext(t), authz.Identity{Key: key}, wire.Claims{Shell: sh, Confirm: &confirm}); errs.CodeOf(err) != wire.CodeNotFound {
			t.Errorf("attach by another key: %v", err)
		}
	}
	if _, err := s.Do(testContext(t), own.Public(), wire.Shell{Op: wire.OpInput, Data: []byte("own ")}); err != nil {
		t.Error(err)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 4, Data: []byte("opener's"), EOF: true})
	if v.exit(); v.text.String() != "own opener's" {
		t.Errorf("read %q", v.text.String())
	}
}

// TestEndedSession: nothing reaches a program, or starts one, in a session that
// has ended; its own keys are told so, others not.
func TestEndedSession(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`exit 3`)
	v.session()
	v.exit()
	eventually(t, "the keeper to forget", func() bool { return len(n.held()) == 0 })
	found, ok := n.r.Find("debug", s.ID())
	if !ok || found != s {
		t.Fatal("an ended session is unknown")
	}
	for _, op := range []wire.Op{wire.OpInput, wire.OpAck, wire.OpClose, wire.OpSignal, wire.OpResize} {
		sh := wire.Shell{Op: op, Data: []byte("x"), Seq: 9, Signal: "KILL", Cols: 1, Rows: 1}
		if _, err := s.Do(testContext(t), n.opener, sh); errs.CodeOf(err) != wire.CodeEnded {
			t.Errorf("%s: %v", op, err)
		}
		if _, err := s.Do(testContext(t), newKey(t, "eve"), sh); errs.CodeOf(err) != wire.CodeNotFound {
			t.Errorf("%s by another key: %v", op, err)
		}
	}
	n.atRest(1) // it will be forgotten
	n.clock.advance(rememberFor)
	if _, ok := n.r.Find("debug", s.ID()); ok {
		t.Error("an ended session is remembered for ever")
	}
	if _, ok := n.r.Find("other", s.ID()); ok {
		t.Error("found under another source")
	}
}

// TestInputAfterExit: between the program's end and the client's knowledge of it
// acknowledging is fine, typing is refused.
func TestInputAfterExit(t *testing.T) {
	n := newNode(t)
	s := n.open(wire.Shell{Args: []string{"/bin/true"}})
	eventually(t, "the program to end", func() bool { return s.state().Exit != nil })
	n.do(s, wire.Shell{Op: wire.OpAck})
	n.do(s, wire.Shell{Op: wire.OpClose, Seq: 1})
	if _, err := s.Do(testContext(t), n.opener, wire.Shell{Op: wire.OpInput, Data: []byte("x")}); errs.CodeOf(err) != wire.CodeEnded {
		t.Errorf("got %v", err)
	}
	v := view(t, s, Start{Tok: []byte(requestToken)})
	v.session()
	if x := v.exit(); x.Reason != wire.ReasonExited {
		t.Errorf("exit %+v", x)
	}
}

// TestLogsHoldNoSecret: neither arguments, environment, input nor output.
func TestLogsHoldNoSecret(t *testing.T) {
	n := newNode(t)
	n.source.Shell.Exec.Env = map[string]string{"PASSWORD": "canary-env"}
	s := n.open(wire.Shell{Args: []string{"/bin/sh", "-c", "cat; echo $PASSWORD canary-arg"}, Env: map[string]string{"LANG": "canary-lang"}})
	v := view(t, s, Start{Tok: []byte(requestToken)})
	v.session()
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("canary-input"), EOF: true})
	v.exit()
	if !bytes.Contains([]byte(v.text.String()), []byte("canary-inputcanary-env canary-arg")) {
		t.Fatalf("read %q", v.text.String())
	}
	n.restart()
	if log := n.log.String(); bytes.Contains([]byte(log), []byte("canary")) || !bytes.Contains([]byte(log), []byte(`peer=192.0.2.7 subject="on call" key=alice`)) {
		t.Errorf("the log:\n%s", log)
	}
}
