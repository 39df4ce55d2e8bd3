package session

import (
	"slices"
	"strings"
	"testing"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// attachAs takes a session over as id, with a key of its own.
func (n *node) attachAs(s *Session, id authz.Identity, from uint64) (*viewer, token.PublicKey) {
	n.tb.Helper()
	own, confirm, err := token.NewConfirm()
	n.must(err)
	c := wire.Claims{Shell: &wire.Shell{Op: wire.OpAttach, Offset: from}, Confirm: &confirm}
	n.must(s.Attach(testContext(n.tb), id, c))
	return view(n.tb, s, Start{From: from, Tok: []byte(requestToken), Attach: true}), own.Public()
}

// TestAnotherKeyTakesOver: who is permitted has the session then, also after a
// restart; its opener takes it back; limits and lists stay the opener's.
func TestAnotherKeyTakesOver(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`echo up; exec cat`)
	v.session()
	v.until("up\n")
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 3, Data: []byte("early and never completed")})
	second, key := n.attachAs(s, bob, v.next)
	v.must(wire.EventReplaced)
	v.end()
	if info := second.session(); info.InputOffset != 0 {
		t.Errorf("first event %+v", info)
	}
	n.as(s, key, wire.Shell{Op: wire.OpInput, Data: []byte("bob's\n")})
	second.until("bob's\n")
	if a := n.as(s, bob.Key, wire.Shell{Op: wire.OpAck, Ack: second.next}); a.Offset != 6 {
		t.Errorf("what came early of the one before counts: %+v", a)
	}
	if _, err := s.Do(testContext(t), n.opener, wire.Shell{Op: wire.OpInput, Data: []byte("x")}); errs.CodeOf(err) != wire.CodeDenied {
		t.Errorf("input of the opener: %v", err)
	}
	if info := s.Info(); info.Key != "alice" || info.State != wire.SessionAttached {
		t.Errorf("info %+v", info)
	}
	if h := n.happened.of(Attached); len(h) != 1 || !h[0].By.Key.Equal(bob.Key) {
		t.Errorf("happenings %+v", h)
	}
	second.vanish()
	n.restart()
	s, _ = n.r.Find("debug", s.ID())
	if !slices.ContainsFunc(s.Keys(), key.Equal) || !slices.ContainsFunc(s.Keys(), bob.Key.Equal) || !s.OpenerKey().Equal(n.opener) {
		t.Error("the owner is lost in a restart")
	}
	n.as(s, key, wire.Shell{Op: wire.OpInput, Offset: 6, Data: []byte("again\n")})
	v = n.attach(s, wire.Shell{Offset: second.next}, nil)
	if info := v.session(); info.InputOffset != 12 {
		t.Errorf("first event %+v", info)
	}
	if _, err := s.Do(testContext(t), key, wire.Shell{Op: wire.OpAck}); errs.CodeOf(err) != wire.CodeNotFound {
		t.Errorf("the key of who had it: %v", err)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 12, EOF: true})
	if v.exit(); v.text.String() != "again\n" {
		t.Errorf("read %q", v.text.String())
	}
}

// TestNoLongerPermittedOwner: who took a session over and may not any more loses
// it, and the opener gets it.
func TestNoLongerPermittedOwner(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`echo up; exec cat`)
	v.session()
	v.until("up\n")
	second, key := n.attachAs(s, bob, v.next)
	second.session()
	n.source.Shell.Share = nil
	n.r.Recheck(n.policy())
	second.noticeText(wire.NoticePolicy)
	second.must(wire.EventReplaced)
	second.end()
	for _, k := range []token.PublicKey{key, bob.Key} {
		if _, err := s.Do(testContext(t), k, wire.Shell{Op: wire.OpInput, Data: []byte("x")}); errs.CodeOf(err) != wire.CodeNotFound {
			t.Errorf("input: %v", err)
		}
	}
	if err := s.Attach(testContext(t), bob, wire.Claims{Shell: &wire.Shell{Op: wire.OpAttach}}); errs.CodeOf(err) != wire.CodeDenied {
		t.Errorf("attach: %v", err)
	}
	v = n.attach(s, wire.Shell{Offset: 3}, nil)
	v.session()
	n.do(s, wire.Shell{Op: wire.OpInput, EOF: true})
	v.exit()
}

// TestRestoredAndForbidden: a session that the next daemon's policy forbids ends,
// and its client learns why when it comes.
func TestRestoredAndForbidden(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`echo up; exec cat`)
	v.session()
	v.until("up\n")
	v.vanish()
	n.source.Shell.AllowCommand = false
	n.restart()
	eventually(t, "the keeper to forget", func() bool { return len(n.held()) == 0 })
	again, ok := n.r.Find("debug", s.ID())
	if !ok {
		t.Fatal("the session is not remembered")
	}
	v = n.attach(again, wire.Shell{}, nil)
	v.session()
	if text := v.noticeText(wire.NoticePolicy); !strings.Contains(text, "no longer permits") {
		t.Errorf("notice %q", text)
	}
	if x := v.exit(); x.Reason != wire.ReasonPolicy || v.text.String() != "up\n" {
		t.Errorf("exit %+v after %q", x, v.text.String())
	}
}

// TestKill: whoever is attached is told who ends the session, and who comes later.
func TestKill(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`cat`)
	v.session()
	w := n.watch(s, bob, 0)
	w.session()
	v.noticeText(wire.NoticeWatched)
	n.must(s.Kill(bob))
	for _, one := range []*viewer{v, w} {
		if text := one.noticeText(wire.NoticeKilled); !strings.Contains(text, "bob") {
			t.Errorf("notice %q", text)
		}
		if x := one.exit(); x.Reason != wire.ReasonKilled {
			t.Errorf("exit %+v", x)
		}
	}
	if err := s.Kill(bob); errs.CodeOf(err) != wire.CodeEnded {
		t.Errorf("killing what has ended: %v", err)
	}
	if h := n.happened.of(Killed); len(h) != 1 || h[0].By.Subject != bob.Subject {
		t.Errorf("happenings %+v", h)
	}
	eventually(t, "the end", func() bool { return len(n.happened.of(Ended)) == 1 })
	if h := n.happened.of(Ended); h[0].Exit.Reason != wire.ReasonKilled || h[0].Info.State != wire.SessionEnded {
		t.Errorf("happenings %+v", h)
	}
}

// TestList: each key sees what the policy lets it see, newest first.
func TestList(t *testing.T) {
	n := newNode(t)
	var fired []string
	n.r.o.Event = func(name string, info wire.SessionInfo) { fired = append(fired, name+" "+info.Session) }
	sh := wire.Shell{Op: wire.OpOpen, Args: []string{"/bin/cat"}, Title: "fix the\x07 disk"}
	first, err := n.r.Open(testContext(t), n.grant(sh), wire.Claims{Shell: &sh}, []byte(requestToken))
	n.must(err)
	first.started = first.started.Add(-time.Second)
	second, v := n.runOnTerminal(`read x`)
	v.session()
	me := authz.Identity{Key: n.opener}
	list := n.r.List(n.policy(), me, n.clock.Now())
	if len(list) != 2 || list[0].Session != second.ID() || list[1].Session != first.ID() {
		t.Fatalf("list %+v", list)
	}
	if got := list[0]; got.State != wire.SessionAttached || !got.Terminal || got.Key != "alice" || got.Subject != "on call" ||
		got.Addr != "192.0.2.7" || got.User == "" || got.Source != "debug" || got.Since == 0 || got.Started == 0 {
		t.Errorf("info %+v", got)
	}
	if got := list[1]; got.State != wire.SessionDetached || got.Title != "fix the\ufffd disk" {
		t.Errorf("info %+v", got)
	}
	if !slices.Equal(fired, []string{"shell " + first.ID(), "shell " + second.ID()}) {
		t.Errorf("fired %q", fired)
	}
	other := authz.Identity{Key: newKey(t, "other")}
	n.source.Keys = append(n.source.Keys, other.Key)
	if list := n.r.List(n.policy(), other, n.clock.Now()); len(list) != 0 {
		t.Errorf("another key's list %+v", list)
	}
	if s, ok := n.r.FindByID(first.ID()); !ok || s != first {
		t.Error("not found by its ID")
	}
	if _, ok := n.r.FindByID("x"); ok {
		t.Error("found by another ID")
	}
}
