package session

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/rule"
	"etcha/go/token"
	"etcha/go/wire"
)

// guest lets another key into the source, and share its sessions.
func (n *node) guest(id string) authz.Identity {
	n.tb.Helper()
	yes, err := rule.Compile("true")
	n.must(err)
	key := newKey(n.tb, id)
	n.source.Keys, n.source.Shell.Share = append(slices.Clone(n.source.Keys), key), yes
	n.r.Recheck(n.policy())
	return authz.Identity{Key: key, Subject: id + "\x1b[31m", Addr: netip.MustParseAddr("192.0.2.99")}
}

// watch reads a session as id.
func (n *node) watch(s *Session, id authz.Identity, from uint64) *viewer {
	n.tb.Helper()
	w, err := s.Admit(testContext(n.tb), id, wire.Claims{Shell: &wire.Shell{Op: wire.OpWatch, Offset: from}})
	n.must(err)
	return viewStream(n.tb, Start{From: from, Tok: []byte(requestToken)}, w.Stream)
}

// join reads a session as id, and gives the key to type with.
func (n *node) join(s *Session, id authz.Identity) (*viewer, token.PublicKey) {
	n.tb.Helper()
	own, confirm, err := token.NewConfirm()
	n.must(err)
	w, err := s.Admit(testContext(n.tb), id, wire.Claims{Shell: &wire.Shell{Op: wire.OpJoin}, Confirm: &confirm})
	n.must(err)
	return viewStream(n.tb, Start{Tok: []byte(requestToken)}, w.Stream), own.Public()
}

// notices reads the next notice and gives its text.
func (v *viewer) noticeText(code wire.NoticeCode) string {
	v.tb.Helper()
	var n wire.Notice
	v.decode(wire.EventNotice, &n)
	if n.Code != code {
		v.tb.Fatalf("notice %+v instead of %q", n, code)
	}
	return n.Message
}

// TestWatch: a viewer starts in the scrollback, sees what comes and how it ends;
// everybody is told who came and who left.
func TestWatch(t *testing.T) {
	n := newNode(t)
	n.source.Shell.Scrollback = 64 << 10
	bob, carol := n.guest("bob"), n.guest("carol")
	s, v := n.run(`echo one; read x; echo two; read x`)
	v.session()
	v.until("one\n")
	n.do(s, wire.Shell{Op: wire.OpAck, Ack: v.next})
	w := n.watch(s, bob, 0)
	info := w.session()
	if info.Role != wire.RoleViewer || info.OutputStart != 0 || info.Dropped != 0 || info.Session != s.ID() {
		t.Errorf("first event %+v", info)
	}
	if _, err := token.VerifyProof([]byte(info.Proof), n.identity.ID(), []byte(requestToken)); err != nil {
		t.Errorf("proof: %v", err)
	}
	w.until("one\n")
	if text := v.noticeText(wire.NoticeWatched); !strings.Contains(text, "bob") || !strings.Contains(text, "192.0.2.99") ||
		!strings.Contains(text, "watches") || strings.Contains(text, "\x1b") {
		t.Errorf("the owner is told %q", text)
	}
	second := n.watch(s, carol, 4)
	if text := second.noticeText2(); !strings.Contains(text, "bob") {
		t.Errorf("who comes is told %q", text)
	}
	if text := w.noticeText(wire.NoticeWatched); !strings.Contains(text, "carol") {
		t.Errorf("a viewer is told %q", text)
	}
	if got := s.Info().Members; len(got) != 2 || got[0].Key != "bob" || got[1].Role != wire.RoleViewer {
		t.Errorf("members %+v", got)
	}
	second.vanish()
	if text := w.noticeText(wire.NoticeWatched); !strings.Contains(text, "carol") || !strings.Contains(text, "left") {
		t.Errorf("a viewer is told %q", text)
	}
	v.noticeText(wire.NoticeWatched)
	v.noticeText(wire.NoticeWatched)
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n\n")})
	v.exit()
	if x := w.exit(); x.Code != 1 && x.Code != 0 || w.text.String() != "one\ntwo\n" || second.text.String() != "" {
		t.Errorf("exit %+v after %q", x, w.text.String())
	}
	eventually(t, "the keeper to forget", func() bool { return len(n.held()) == 0 })
	eventually(t, "the happenings", func() bool { return len(n.happened.of(Left)) == 2 })
	if _, err := s.Admit(testContext(t), bob, wire.Claims{Shell: &wire.Shell{Op: wire.OpWatch}}); errs.CodeOf(err) != wire.CodeEnded {
		t.Errorf("watching what has ended: %v", err)
	}
}

// noticeText2 reads the first event and a notice that comes with it.
func (v *viewer) noticeText2() string {
	v.tb.Helper()
	v.session()
	return v.noticeText(wire.NoticeWatched)
}

// TestWatchWithoutAnOwner: with nobody attached a viewer still sees what comes,
// and keeps nothing from ending.
func TestWatchWithoutAnOwner(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`echo one; read x; echo two; read x; echo three`)
	v.session()
	v.until("one\n")
	v.vanish()
	w := n.watch(s, bob, 0)
	w.session()
	for _, step := range []string{"two\n", "three\n"} {
		n.do(s, wire.Shell{Op: wire.OpInput, Offset: s.state().Accepted, Data: []byte("\n")})
		w.until(step)
	}
	if x := w.exit(); x.Code != 0 {
		t.Errorf("exit %+v", x)
	}
	if s.state().Acked != 0 {
		t.Error("a viewer has acknowledged")
	}
}

// TestSlowViewer: it neither holds the program up nor the owner, and is told what
// it missed.
func TestSlowViewer(t *testing.T) {
	n := newNode(t)
	n.source.Shell.Window = 64 << 10
	bob := n.guest("bob")
	s, v := n.run(`read x; head -c 1000000 /dev/zero; echo end`)
	v.session()
	w := n.watch(s, bob, 0)
	w.session()
	v.noticeText(wire.NoticeWatched)
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	for v.next < 1_000_004 {
		v.must(wire.EventOutput)
		n.do(s, wire.Shell{Op: wire.OpAck, Ack: v.next})
	}
	gaps := uint64(0)
	for !strings.HasSuffix(w.text.String(), "end\n") {
		e, err := w.read()
		n.must(err)
		if e.name != wire.EventGap {
			w.keep(e)
			continue
		}
		var g wire.Gap
		n.must(json.Unmarshal(e.data, &g))
		if g.From != w.next || g.To <= g.From {
			t.Fatalf("gap %+v after %d", g, w.next)
		}
		gaps, w.next = gaps+g.To-g.From, g.To
	}
	if gaps == 0 || gaps+uint64(w.text.Len()) != 1_000_004 {
		t.Errorf("%d bytes are missing, %d were read", gaps, w.text.Len())
	}
	v.exit()
	w.exit()
}

// TestViewersAreBounded, and refused without permission or sense.
func TestViewersAreBounded(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`cat`)
	v.session()
	_, confirm, err := token.NewConfirm()
	n.must(err)
	admit := func(id authz.Identity, c wire.Claims) wire.Code {
		_, err := s.Admit(testContext(t), id, c)
		return errs.CodeOf(err)
	}
	eve := authz.Identity{Key: newKey(t, "eve")}
	for name, c := range map[string]struct {
		id     authz.Identity
		claims wire.Claims
		code   wire.Code
	}{
		"another key":      {eve, wire.Claims{Shell: &wire.Shell{Op: wire.OpWatch}}, wire.CodeNotFound},
		"no key":           {authz.Identity{}, wire.Claims{Shell: &wire.Shell{Op: wire.OpWatch}}, wire.CodeNotFound},
		"no operation":     {bob, wire.Claims{}, wire.CodeBadRequest},
		"attach":           {bob, wire.Claims{Shell: &wire.Shell{Op: wire.OpAttach}, Confirm: &confirm}, wire.CodeBadRequest},
		"join without key": {bob, wire.Claims{Shell: &wire.Shell{Op: wire.OpJoin}}, wire.CodeBadRequest},
	} {
		if code := admit(c.id, c.claims); code != c.code {
			t.Errorf("%s: %s", name, code)
		}
	}
	for range wire.MaxViewers {
		w := n.watch(s, bob, 0)
		w.session()
	}
	if code := admit(bob, wire.Claims{Shell: &wire.Shell{Op: wire.OpWatch}}); code != wire.CodeLimited {
		t.Errorf("one too many: %s", code)
	}
	if len(s.Info().Members) != wire.MaxViewers {
		t.Errorf("%d members", len(s.Info().Members))
	}
}

// TestRecheckCutsViewers: who may not view any more is told so and cut off, and
// the session goes on.
func TestRecheckCutsViewers(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`cat`)
	v.session()
	w, key := n.join(s, bob)
	w.session()
	v.noticeText(wire.NoticeWatched)
	n.source.Shell.Share = nil
	n.r.Recheck(n.policy())
	w.noticeText(wire.NoticePolicy)
	w.end()
	if _, err := s.Do(testContext(t), key, wire.Shell{Op: wire.OpInput, Data: []byte("x")}); errs.CodeOf(err) != wire.CodeNotFound {
		t.Errorf("input of who was cut off: %v", err)
	}
	v.noticeText(wire.NoticeWatched)
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("fine"), EOF: true})
	if v.exit(); v.text.String() != "fine" {
		t.Errorf("read %q", v.text.String())
	}
}

// TestViewersSeeSizes: the first event has the size, and each change follows.
func TestViewersSeeSizes(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.runOnTerminal(`stty -echo; echo ready; cat`)
	if info := v.session(); info.Cols != 80 || info.Rows != 24 {
		t.Errorf("first event %+v", info)
	}
	v.until("ready")
	w := n.watch(s, bob, 0)
	if info := w.session(); info.Cols != 80 || info.Rows != 24 {
		t.Errorf("first event %+v", info)
	}
	n.do(s, wire.Shell{Op: wire.OpResize, Seq: 1, Cols: 100, Rows: 50})
	var size wire.Size
	w.decode(wire.EventResize, &size)
	if size != (wire.Size{Cols: 100, Rows: 50}) {
		t.Errorf("size %+v", size)
	}
	v.vanish()
	w.vanish()
	n.restart()
	again, _ := n.r.Find("debug", s.ID())
	if info := n.attach(again, wire.Shell{}, nil).session(); info.Cols != 100 || info.Rows != 50 || info.Seq != 1 {
		t.Errorf("first event after a restart %+v", info)
	}
}

// TestViewerBesideASlowOwner: an owner whose connection takes nothing holds no
// viewer up.
func TestViewerBesideASlowOwner(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`for i in 1 2 3 4 5; do read x; echo "<$i>"; done`)
	v.session()
	w := n.watch(s, bob, 0) // the owner is told, and reads nothing any more
	w.session()
	for i, text := range []string{"<1>\n", "<2>\n", "<3>\n", "<4>\n", "<5>\n"} {
		n.do(s, wire.Shell{Op: wire.OpInput, Offset: uint64(i), Data: []byte("\n")})
		w.until(text)
	}
	w.exit()
	v.noticeText(wire.NoticeWatched)
	v.until("<5>\n")
}

// TestHappenings come in order.
func TestHappenings(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`echo up; read x`)
	v.session()
	v.until("up\n")
	v.vanish()
	v = n.attach(s, wire.Shell{Offset: 3}, nil)
	v.session()
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	v.exit()
	eventually(t, "the end", func() bool { return len(n.happened.of(Ended)) == 1 })
	want := []Kind{Opened, Changed, Detached, Attached, Ended}
	if got := n.happened.kinds(s.ID()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if h := n.happened.of(Attached)[0]; h.Info.State != wire.SessionAttached || !h.By.Key.Equal(n.opener) {
		t.Errorf("attached: %+v", h)
	}
	if h := n.happened.of(Detached)[0]; h.Info.State != wire.SessionDetached {
		t.Errorf("detached: %+v", h)
	}
}
