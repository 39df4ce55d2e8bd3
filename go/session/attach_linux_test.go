package session

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// TestAttachTakesOver: the new stream goes on exactly where its client stopped,
// and the old one is told.
func TestAttachTakesOver(t *testing.T) {
	n := newNode(t)
	s, first := n.run(`echo one; read x; echo two; read x`)
	first.session()
	first.until("one\n")
	second := n.attach(s, wire.Shell{Offset: first.next}, nil)
	first.must(wire.EventReplaced)
	first.end()
	info := second.session()
	if info.OutputStart != 4 || info.Dropped != 0 || info.InputOffset != 0 {
		t.Errorf("first event %+v", info)
	}
	claims, err := token.VerifyProof([]byte(info.Proof), n.identity.ID(), []byte(requestToken))
	if err != nil || claims.Session != s.ID() {
		t.Errorf("proof: %+v, %v", claims, err)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n\n")})
	if second.exit(); second.text.String() != "two\n" {
		t.Errorf("read %q", second.text.String())
	}
	if st := s.state(); st.Acked < 4 {
		t.Errorf("acknowledged %d: what is before the offset was consumed", st.Acked)
	}
}

// TestAttachFromAnyOffset: whatever a client has lost, it gets.
func TestAttachFromAnyOffset(t *testing.T) {
	n := newNode(t)
	const text = "0123456789abcdefghij"
	s, v := n.run(`printf %s ` + text + `; read x`)
	v.session()
	v.until(text)
	for _, from := range []uint64{uint64(len(text)), 3, 0, 19, 0} {
		v = n.attach(s, wire.Shell{Offset: from}, nil)
		if info := v.session(); info.OutputStart != from || info.Dropped != 0 {
			t.Fatalf("from %d: %+v", from, info)
		}
		if from < uint64(len(text)) {
			v.until(text[from:])
		}
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	v.exit()
}

func TestAttachAboveTheHead(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`echo one; cat`)
	v.session()
	v.until("one\n")
	own, confirm, err := token.NewConfirm()
	n.must(err)
	_, err = s.Attach(testContext(t), authz.Identity{Key: n.opener}, wire.Claims{Shell: &wire.Shell{Op: wire.OpAttach, Offset: 5}, Confirm: &confirm})
	var off *OffsetError
	if !errors.As(err, &off) || errs.CodeOf(err) != wire.CodeOffset || off.Offset != 4 {
		t.Errorf("got %v", err)
	}
	if key, ok := s.SessionKey(); ok && key.Equal(own.Public()) {
		t.Error("a refused attach took the session over")
	}
	select {
	case <-v.done:
		t.Error("a refused attach ended the stream")
	default:
	}
}

func TestAttachRefusals(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`cat`)
	v.session()
	_, confirm, err := token.NewConfirm()
	n.must(err)
	bad := confirm
	bad.JWK.X = "x"
	for name, c := range map[string]wire.Claims{
		"no operation":      {},
		"another operation": {Shell: &wire.Shell{Op: wire.OpOpen}},
		"bad key":           {Shell: &wire.Shell{Op: wire.OpAttach}, Confirm: &bad},
		"half a size":       {Shell: &wire.Shell{Op: wire.OpAttach, Cols: 80}},
		"huge":              {Shell: &wire.Shell{Op: wire.OpAttach, Cols: 80, Rows: 9999}},
	} {
		if _, err := s.Attach(testContext(t), authz.Identity{Key: n.opener}, c); errs.CodeOf(err) != wire.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAttachRebinds: at the moment of the attach the new key acts and the old
// one does not, also after a restart of the daemon.
func TestAttachRebinds(t *testing.T) {
	n := newNode(t)
	one, confirmOne, err := token.NewConfirm()
	n.must(err)
	two, confirmTwo, err := token.NewConfirm()
	n.must(err)
	s, err := n.r.Open(testContext(t), n.grant(wire.Shell{Args: []string{"/bin/cat"}}), wire.Claims{Confirm: &confirmOne}, []byte(requestToken))
	n.must(err)
	ack := func(key token.PrivateKey) wire.Code {
		_, err := s.Do(testContext(t), key.Public(), wire.Shell{Op: wire.OpAck})
		if err == nil {
			return ""
		}
		return errs.CodeOf(err)
	}
	attach := func(by token.PublicKey, confirm *wire.Confirmation) {
		t.Helper()
		_, err := s.Attach(testContext(t), authz.Identity{Key: by}, wire.Claims{Shell: &wire.Shell{Op: wire.OpAttach}, Confirm: confirm})
		n.must(err)
	}
	want := func(when string, first, second wire.Code) {
		t.Helper()
		if a, b := ack(one), ack(two); a != first || b != second {
			t.Errorf("%s: the first key gets %q, the second %q", when, a, b)
		}
	}
	want("at first", "", wire.CodeNotFound)
	attach(one.Public(), nil)
	want("after an attach by the session's own key", "", wire.CodeNotFound)
	attach(n.opener, &confirmTwo)
	want("after an attach by the opener with a key", wire.CodeNotFound, "")
	n.restart()
	s, _ = n.r.Find("debug", s.ID())
	want("after a restart", wire.CodeNotFound, "")
	attach(two.Public(), &confirmOne)
	want("after the session's own key named another", "", wire.CodeNotFound)
	attach(n.opener, nil)
	want("after an attach by the opener without a key", wire.CodeNotFound, wire.CodeNotFound)
	if _, ok := s.SessionKey(); ok {
		t.Error("a session key is left")
	}
}

func TestAttachResizes(t *testing.T) {
	n := newNode(t)
	s, v := n.runOnTerminal(`stty -echo; trap 'stty size; echo .' WINCH; echo ready; while :; do read x; done`)
	v.session()
	v.until("ready\r\n")
	v = n.attach(s, wire.Shell{Offset: v.next, Cols: 100, Rows: 30}, nil)
	if info := v.session(); info.Seq != 1 {
		t.Errorf("first event %+v", info)
	}
	v.until("30 100\r\n.\r\n")
	v = n.attach(s, wire.Shell{Offset: v.next, Cols: 101, Rows: 31, Seq: 7}, nil)
	if info := v.session(); info.Seq != 7 {
		t.Errorf("first event %+v", info)
	}
	v.until("31 101\r\n.\r\n")
	n.do(s, wire.Shell{Op: wire.OpSignal, Seq: 8, Signal: "KILL"})
	v.exit()
}

// TestAttachAfterTheEnd: a client whose connection broke at the very end learns
// how it ended, and gets the output that it had not acknowledged.
func TestAttachAfterTheEnd(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`printf 12345; printf err >&2; exit 9`)
	v.session()
	v.exit()
	whole := v.both.String()
	eventually(t, "the keeper to forget", func() bool { return len(n.held()) == 0 })
	for from := range uint64(9) {
		v = n.attach(s, wire.Shell{Offset: from}, nil)
		if info := v.session(); info.OutputStart != from || info.Dropped != 0 {
			t.Errorf("from %d: %+v", from, info)
		}
		if x := v.exit(); x.Code != 9 || v.next != 8 || v.both.String() != whole[from:] {
			t.Errorf("from %d: %+v, %q of %q", from, x, v.both.String(), whole)
		}
	}
	_, err := s.Attach(testContext(t), authz.Identity{Key: n.opener}, wire.Claims{Shell: &wire.Shell{Op: wire.OpAttach, Offset: 9}})
	var off *OffsetError
	if !errors.As(err, &off) || off.Offset != 8 {
		t.Errorf("above the head: %v", err)
	}
}

// TestAttachAfterTheEndOfAnAbsentClient: the keeper has the output until then.
func TestAttachAfterTheEndOfAnAbsentClient(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`echo up; read x; head -c 500000 /dev/zero; exit 4`)
	v.session()
	v.until("up\n")
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	v.vanish()
	eventually(t, "the program to end", func() bool { return s.state().Ended })
	v = n.attach(s, wire.Shell{Offset: v.next}, nil)
	v.session()
	if x := v.exit(); x.Code != 4 || v.next != 500_003 {
		t.Errorf("exit %+v at %d", x, v.next)
	}
}

// TestDetachedDiscard: with nobody attached the oldest output goes, and the
// attach says how much.
func TestDetachedDiscard(t *testing.T) {
	n := newNode(t)
	n.source.Shell.Discard, n.source.Shell.Window = true, 64<<10
	s, v := n.run(`echo up; read x; head -c 1000000 /dev/zero; echo end; read x`)
	v.session()
	v.until("up\n")
	v.vanish()
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	eventually(t, "all output", func() bool { return s.state().Head == 1_000_007 })
	v = n.attach(s, wire.Shell{}, nil)
	info := v.session()
	if info.Dropped == 0 || info.OutputStart != info.Dropped || info.OutputStart < 1_000_007-64<<10-16<<10 {
		t.Errorf("first event %+v", info)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 1, Data: []byte("\n")})
	if v.exit(); v.next != 1_000_007 || !strings.HasSuffix(v.text.String(), "\x00end\n") {
		t.Errorf("ends at %d", v.next)
	}
}

// TestConnectionsBreakAtRandom: whatever breaks when, the client has each byte
// once and in order, and the program too.
func TestConnectionsBreakAtRandom(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; cat`)
	v.session()
	var all strings.Builder
	typed := uint64(0)
	for breaks := 0; !strings.Contains(all.String()+v.text.String(), "line 2999\n"); breaks++ {
		if rand.IntN(3) > 0 && breaks < 200 {
			v.vanish()
			all.WriteString(v.text.String())
			v = n.attach(s, wire.Shell{Offset: v.next, Ack: v.next}, nil)
			v.session()
			continue
		}
		v.must(wire.EventOutput)
		a := n.do(s, wire.Shell{Op: wire.OpInput, Offset: typed - min(typed, uint64(rand.IntN(3))), Data: []byte("xxxx"), Ack: v.next})
		typed = a.Offset
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: typed, EOF: true})
	x := v.exit()
	all.WriteString(v.text.String())
	lines := strings.Split(all.String(), "\n")
	if x.Code != 0 || len(lines) != 3001 || lines[3000] != strings.Repeat("x", int(typed)) {
		t.Fatalf("exit %+v, %d lines, last %q after %d bytes of input", x, len(lines), lines[len(lines)-1], typed)
	}
	for i, line := range lines[:3000] {
		if line != "line "+strconv.Itoa(i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}

// TestBehindTheScrollback: a client that reads old output more slowly than new
// comes is cut off, attaches again, and is told what it missed.
func TestBehindTheScrollback(t *testing.T) {
	n := newNode(t)
	n.source.Shell.Window, n.source.Shell.Scrollback = 64<<10, 256<<10
	s, v := n.run(`head -c 400000 /dev/zero; read x; head -c 400000 /dev/zero; cat`)
	v.session()
	for v.next < 400_000 {
		v.must(wire.EventOutput)
		n.do(s, wire.Shell{Op: wire.OpAck, Ack: v.next})
	}
	slow := n.attach(s, wire.Shell{}, nil)
	if info := slow.session(); info.Dropped == 0 || info.Dropped != info.OutputStart {
		t.Errorf("first event %+v", info)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	for head := uint64(0); head < 800_000; head = s.state().Head {
		n.do(s, wire.Shell{Op: wire.OpAck, Ack: head})
	}
	for {
		e, err := slow.read()
		if err != nil {
			break
		}
		slow.keep(e)
	}
	if <-slow.done; !errors.Is(slow.err, errBehind) {
		t.Errorf("stream: %v", slow.err)
	}
	again := n.attach(s, wire.Shell{Offset: slow.next}, nil)
	if info := again.session(); info.Dropped == 0 || info.OutputStart != slow.next+info.Dropped {
		t.Errorf("first event %+v after %d", info, slow.next)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 1, EOF: true})
	if again.exit(); again.next != 800_000 {
		t.Errorf("ends at %d", again.next)
	}
}
