package session

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// as carries out an operation with another key than the opener's.
func (n *node) as(s *Session, key token.PublicKey, sh wire.Shell) wire.Answer {
	n.tb.Helper()
	a, err := s.Do(testContext(n.tb), key, sh)
	n.must(err)
	return a
}

// die ends this daemon, with these streams, as kill -9 does, and begins the next
// one's life.
func (n *node) die(streams ...*viewer) {
	n.tb.Helper()
	k, r := n.k, n.r
	n.connect() // the next one takes everything over
	n.must(n.r.Restore(testContext(n.tb), n.policy()))
	for _, v := range streams {
		v.vanish()
	}
	n.must(k.Close())
	n.must(r.Drain(testContext(n.tb)))
}

// TestJoin: who joined types with a numbering of its own, and the owner's is not
// disturbed by it.
func TestJoin(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`trap 'echo usr1' USR1; trap 'echo usr2' USR2; echo ready; while [ "$x" != end ]; do read x && echo "<$x>"; done`)
	v.session()
	v.until("ready\n")
	w, key := n.join(s, bob)
	if info := w.session(); info.Role != wire.RoleJoined || info.InputOffset != 0 || info.Seq != 0 {
		t.Errorf("first event %+v", info)
	}
	v.noticeText(wire.NoticeWatched)
	if len(s.Keys()) != 2 || !s.Keys()[1].Equal(key) {
		t.Errorf("%d keys", len(s.Keys()))
	}
	steps := []struct {
		key  token.PublicKey
		sh   wire.Shell
		want wire.Answer // without room
		text string
	}{
		{n.opener, wire.Shell{Op: wire.OpInput, Data: []byte("o1\n")}, wire.Answer{Offset: 3}, "<o1>\n"},
		{key, wire.Shell{Op: wire.OpInput, Data: []byte("joined\n")}, wire.Answer{Offset: 7}, "<joined>\n"},
		{key, wire.Shell{Op: wire.OpInput, Data: []byte("joined\n")}, wire.Answer{Offset: 7}, ""},
		{key, wire.Shell{Op: wire.OpInput, Offset: 9, Data: []byte("2\n")}, wire.Answer{Offset: 7}, ""},
		{n.opener, wire.Shell{Op: wire.OpInput, Offset: 3, Data: []byte("o2\n")}, wire.Answer{Offset: 6}, "<o2>\n"},
		{key, wire.Shell{Op: wire.OpInput, Offset: 7, Data: []byte("j-")}, wire.Answer{Offset: 11}, "<j-2>\n"},
		{key, wire.Shell{Op: wire.OpSignal, Seq: 4, Signal: "USR1"}, wire.Answer{Offset: 11, Seq: 4}, "usr1\n"},
		{key, wire.Shell{Op: wire.OpSignal, Seq: 4, Signal: "KILL"}, wire.Answer{Offset: 11, Seq: 4}, ""},
		{n.opener, wire.Shell{Op: wire.OpSignal, Seq: 1, Signal: "USR2"}, wire.Answer{Offset: 6, Seq: 1}, "usr2\n"},
		{n.opener, wire.Shell{Op: wire.OpSignal, Seq: 1, Signal: "KILL"}, wire.Answer{Offset: 6, Seq: 1}, ""},
		{key, wire.Shell{Op: wire.OpResize, Seq: 5, Cols: 1, Rows: 1}, wire.Answer{Offset: 11, Seq: 4}, ""},
		{key, wire.Shell{Op: wire.OpAck, Ack: 3}, wire.Answer{Offset: 11, Seq: 4}, ""},
	}
	for i, c := range steps {
		a := n.as(s, c.key, c.sh)
		if a.Room = 0; a != c.want {
			t.Errorf("step %d: answer %+v, want %+v", i, a, c.want)
		}
		v.until(c.text)
		w.until(c.text)
	}
	if s.state().Acked != 0 {
		t.Error("who joined has acknowledged")
	}
	again := n.attach(s, wire.Shell{Offset: v.next}, nil)
	if info := again.session(); info.InputOffset != 6 || info.Seq != 1 {
		t.Errorf("first event of the owner %+v", info)
	}
	again.noticeText(wire.NoticeWatched) // who is there
	n.as(s, key, wire.Shell{Op: wire.OpClose, Seq: 6})
	w.end()
	if _, err := s.Do(testContext(t), key, wire.Shell{Op: wire.OpInput, Offset: 11, Data: []byte("x")}); errs.CodeOf(err) != wire.CodeNotFound {
		t.Errorf("input of who has left: %v", err)
	}
	if text := again.noticeText(wire.NoticeWatched); !strings.Contains(text, "left") {
		t.Errorf("notice %q", text)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 6, Data: []byte("end\n")})
	again.exit()
	if kinds := n.happened.kinds(s.ID()); !slices.Contains(kinds, Joined) || kinds[0] != Opened {
		t.Errorf("happenings %q", kinds)
	}
}

// TestJoinRefusals: only the owner ends the input, and a key in use joins nothing.
func TestJoinRefusals(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`cat`)
	v.session()
	_, confirm, err := token.NewConfirm()
	n.must(err)
	for range 2 {
		var w *Viewer
		w, err = s.Admit(testContext(t), bob, wire.Claims{Shell: &wire.Shell{Op: wire.OpJoin}, Confirm: &confirm})
		if err != nil {
			break
		}
		viewStream(t, Start{Tok: []byte(requestToken)}, w.Stream).session()
		_, err = s.Do(testContext(t), w.key, wire.Shell{Op: wire.OpInput, EOF: true})
		if errs.CodeOf(err) != wire.CodeBadRequest {
			t.Errorf("end of the input by who joined: %v", err)
		}
	}
	if errs.CodeOf(err) != wire.CodeBadRequest {
		t.Errorf("a join with a key in use: %v", err)
	}
}

// TestNumbersSurviveDeath: wherever a daemon dies while somebody who joined
// types and sends signals, the owner's next byte and operation count once.
func TestNumbersSurviveDeath(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`trap : USR1; echo up; exec cat`)
	v.session()
	v.until("up\n")
	v.vanish()
	var typed strings.Builder
	owner, seq := uint64(0), uint64(0)
	for round := range 24 {
		w, key := n.join(s, bob)
		w.session()
		n.as(s, key, wire.Shell{Op: wire.OpInput, Data: []byte("jjj")})
		n.as(s, key, wire.Shell{Op: wire.OpSignal, Seq: 1, Signal: "CONT"})
		typed.WriteString("jjj")
		switch round % 4 {
		case 1: // between the note and the deed
			n.claim(s, key, 5)
		case 2: // in the midst of the deed
			at := n.claim(s, key, 5)
			_, err := s.held.Input(testContext(t), at, []byte("JJ"), false)
			n.must(err)
			typed.WriteString("JJ")
		case 3:
			n.do(s, wire.Shell{Op: wire.OpInput, Offset: owner, Data: []byte("oo")})
			n.do(s, wire.Shell{Op: wire.OpSignal, Seq: seq + 2, Signal: "CONT"})
			typed.WriteString("oo")
			owner, seq = owner+2, seq+2
		}
		n.die(w)
		s, _ = n.r.Find("debug", s.ID())
		o := n.attach(s, wire.Shell{}, nil)
		if info := o.session(); info.InputOffset != owner || info.Seq != seq {
			t.Fatalf("round %d: the owner is at %d and %d, the node says %d and %d", round, owner, seq, info.InputOffset, info.Seq)
		}
		if round%2 == 0 { // else the next death comes before any input of the owner
			a := n.do(s, wire.Shell{Op: wire.OpInput, Offset: owner, Data: []byte("O")})
			b := n.do(s, wire.Shell{Op: wire.OpSignal, Seq: seq + 1, Signal: "CONT"})
			owner, seq = owner+1, seq+1
			typed.WriteString("O")
			if a.Offset != owner || b.Seq != seq {
				t.Fatalf("round %d: answers %+v, %+v", round, a, b)
			}
		}
		o.vanish()
	}
	o := n.attach(s, wire.Shell{}, nil)
	o.session()
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: owner, EOF: true})
	if o.exit(); o.text.String() != "up\n"+typed.String() {
		t.Errorf("the program read\n%q, typed was\n%q", o.text.String(), typed.String())
	}
}

// claim writes down that who joined is about to type and to send a signal.
func (n *node) claim(s *Session, key token.PublicKey, bytes int) uint64 {
	n.tb.Helper()
	j, err := s.actor(key)
	n.must(err)
	s.typing.mu.Lock()
	defer s.typing.mu.Unlock()
	n.must(s.claimInput(testContext(n.tb), j, bytes))
	s.controls.mu.Lock()
	defer s.controls.mu.Unlock()
	_, err = s.claimControl(testContext(n.tb), j, 9)
	n.must(err)
	return s.held.State().Accepted
}

func TestShare(t *testing.T) {
	h := share{Base: 10, From: 100, Len: 5}
	for n, want := range map[uint64]uint64{0: 10, 99: 10, 100: 10, 101: 11, 105: 15, 106: 15, 1 << 60: 15} {
		if got := h.of(n); got != want {
			t.Errorf("of %d: %d, want %d", n, got, want)
		}
		if h.settled(n) != (n >= 105) {
			t.Errorf("settled at %d: %v", n, h.settled(n))
		}
	}
}

// TestEarlyInputGivesWay: what came early and fits no more, as others have typed,
// is not accepted, and comes again.
func TestEarlyInputGivesWay(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`trap go=1 USR1; echo ready; while [ -z "$go" ]; do sleep 0.01; done; exec wc -c`)
	v.session()
	v.until("ready\n")
	w, key := n.join(s, bob)
	w.session()
	v.noticeText(wire.NoticeWatched)
	const piece, pieces = wire.MaxInput, wire.InputWindow / wire.MaxInput
	for i := 1; i < pieces; i++ { // all but the first
		n.do(s, wire.Shell{Op: wire.OpInput, Offset: uint64(i * piece), Data: make([]byte, piece)})
	}
	for i := range pieces / 2 {
		n.as(s, key, wire.Shell{Op: wire.OpInput, Offset: uint64(i * piece), Data: make([]byte, piece)})
	}
	a := n.do(s, wire.Shell{Op: wire.OpInput, Data: make([]byte, piece)})
	if a.Offset < wire.InputWindow/2 || a.Offset == wire.InputWindow || a.Room != 0 {
		t.Errorf("answer %+v", a)
	}
	n.do(s, wire.Shell{Op: wire.OpSignal, Seq: 1, Signal: "USR1"})
	v.must(wire.EventInput)
	for at := a.Offset; at < wire.InputWindow; {
		n.retry(func() error {
			a, err := s.Do(testContext(t), n.opener, wire.Shell{Op: wire.OpInput, Offset: at, Data: make([]byte, piece)})
			at = max(at, a.Offset)
			return err
		})
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: wire.InputWindow, EOF: true})
	if v.exit(); v.text.String() != "ready\n1572864\n" {
		t.Errorf("the program read %q", v.text.String())
	}
}

// retry is done until it is not refused for its offset.
func (n *node) retry(f func() error) {
	n.tb.Helper()
	eventually(n.tb, "room for input", func() bool {
		err := f()
		if err != nil && errs.CodeOf(err) != wire.CodeOffset {
			n.tb.Fatal(err)
		}
		return err == nil
	})
}

// TestTypedExactly: the owner and somebody who joined type at the same time, and
// whatever happens to their requests on the way, each sent again, doubled, out
// of order, late, the program reads exactly what each typed, in its order.
func TestTypedExactly(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	for round := range 3 {
		s, v := n.run(`exec cat`)
		v.session()
		w, key := n.join(s, bob)
		w.session()
		v.noticeText(wire.NoticeWatched)
		// Whose byte it is shows its lowest bit.
		owner, joined := randomBytes(150_000, 0), randomBytes(100_000, 1)
		var wg sync.WaitGroup
		wg.Go(func() { n.scramble(s, n.opener, owner) })
		wg.Go(func() { n.scramble(s, key, joined) })
		sent := make(chan struct{})
		go func() { wg.Wait(); close(sent) }()
		for v.next < uint64(len(owner)+len(joined)) {
			v.must(wire.EventOutput)
			n.do(s, wire.Shell{Op: wire.OpAck, Ack: v.next})
		}
		<-sent
		n.do(s, wire.Shell{Op: wire.OpInput, Offset: uint64(len(owner)), EOF: true})
		v.exit()
		var got [2][]byte
		for _, b := range []byte(v.text.String()) {
			got[b&1] = append(got[b&1], b)
		}
		if !bytes.Equal(got[0], owner) || !bytes.Equal(got[1], joined) {
			t.Fatalf("round %d: the program read %d and %d bytes, typed were %d and %d, or others", round, len(got[0]), len(got[1]), len(owner), len(joined))
		}
		w.vanish()
	}
}

func randomBytes(n int, low byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rand.Uint32())&^1 | low
	}
	return p
}

// scramble types data by requests that are cut, doubled and shuffled within a
// window, four at a time.
func (n *node) scramble(s *Session, key token.PublicKey, data []byte) {
	var all []wire.Shell
	for at := 0; at < len(data); {
		end := min(at+1+rand.IntN(3000), len(data))
		for range 1 + rand.IntN(3) {
			from := at - rand.IntN(min(at, 2000)+1)
			all = append(all, wire.Shell{Op: wire.OpInput, Offset: uint64(from), Data: data[from:end]})
		}
		at = end
	}
	for at := 0; at < len(all); at += 40 {
		part := all[at:min(at+80, len(all))]
		rand.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	var wg sync.WaitGroup
	for part := range 4 {
		wg.Go(func() {
			for i := part; i < len(all); i += 4 {
				n.retry(func() error {
					_, err := s.Do(testContext(n.tb), key, all[i])
					return err
				})
			}
		})
	}
	wg.Wait()
}

// TestOldRecord: the record that an earlier version left, without
// any of the newer fields, still counts.
func TestOldRecord(t *testing.T) {
	n := newNode(t)
	m, err := decodeMemo([]byte(`{"version":1,"grant":{"source":"debug","key":"` + n.opener.String() + `","addr":"","digest":"","user":"","group":""},"user":"root"}`))
	n.must(err)
	if m.Bytes != (share{}) || m.Owner != nil || m.Recording != nil {
		t.Errorf("memo %+v", m)
	}
}
