package session

import (
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// attachAs takes a session over as id, with a key of its own.
func (n *node) attachAs(s *Session, id authz.Identity, from uint64) (*viewer, token.PublicKey) {
	n.tb.Helper()
	own, confirm, err := token.NewConfirm()
	n.must(err)
	c := wire.Claims{Shell: &wire.Shell{Op: wire.OpAttach, Offset: from}, Confirm: &confirm}
	reign, err := s.Attach(testContext(n.tb), id, c)
	n.must(err)
	return view(n.tb, s, Start{From: from, Tok: []byte(requestToken), Attach: true, Reign: reign}), own.Public()
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

// TestOwnerMoves: what is told of an attach by the session's own key has the
// address that it came from, not that of before.
func TestOwnerMoves(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`echo up; exec cat`)
	v.session()
	v.until("up\n")
	first, key := n.attachAs(s, authz.Identity{Key: n.opener, Addr: netip.MustParseAddr("192.0.2.1")}, v.next)
	first.session()
	moved := authz.Identity{Key: key, Addr: netip.MustParseAddr("192.0.2.2")}
	reign, err := s.Attach(testContext(t), moved, wire.Claims{Shell: &wire.Shell{Op: wire.OpAttach, Offset: 3}})
	n.must(err)
	second := view(t, s, Start{From: 3, Tok: []byte(requestToken), Attach: true, Reign: reign})
	second.session()
	n.as(s, key, wire.Shell{Op: wire.OpInput, EOF: true})
	second.exit()
	h := n.happened.of(Attached)
	if len(h) != 2 || h[0].By.Addr.String() != "192.0.2.1" || h[1].By.Addr != moved.Addr || !h[1].By.Key.Equal(n.opener) {
		t.Errorf("happenings %+v", h)
	}
}

// TestProofHasTheInput: what is proven to somebody who attaches says how much
// input there is, so that nobody in the path can say less.
func TestProofHasTheInput(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`exec cat`)
	v.session()
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("typed\n")})
	v.until("typed\n")
	tok := []byte("another.request.token")
	reign, err := s.Attach(testContext(t), authz.Identity{Key: n.opener}, wire.Claims{Shell: &wire.Shell{Op: wire.OpAttach}})
	n.must(err)
	second := view(t, s, Start{Tok: tok, Attach: true, Reign: reign})
	info := second.session()
	c, err := token.VerifyProof([]byte(info.Proof), n.identity.ID(), tok)
	if err != nil || c.Input != 6 || info.InputOffset != 6 {
		t.Errorf("proof %+v, %v, of %d bytes of input", c, err, info.InputOffset)
	}
	n.as(s, n.opener, wire.Shell{Op: wire.OpInput, Offset: 6, EOF: true})
	second.exit()
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
	if _, err := s.Attach(testContext(t), bob, wire.Claims{Shell: &wire.Shell{Op: wire.OpAttach}}); errs.CodeOf(err) != wire.CodeDenied {
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

// TestStreamOfAnotherReign: who prepared to take the session over and was
// overtaken does not get the stream of who has it now.
func TestStreamOfAnotherReign(t *testing.T) {
	n := newNode(t)
	bob := n.guest("bob")
	s, v := n.run(`echo up; exec cat`)
	v.session()
	v.until("up\n")
	late, err := s.Attach(testContext(t), bob, wire.Claims{Shell: &wire.Shell{Op: wire.OpAttach}})
	n.must(err)
	first, key := n.attachAs(s, authz.Identity{Key: n.opener}, 0)
	first.session()
	w := sse.NewWriter(io.Discard, nil)
	if err := s.Stream(testContext(t), w, Start{Tok: []byte(requestToken), Attach: true, Reign: late}); errs.CodeOf(err) != wire.CodeNotFound {
		t.Errorf("the stream of an earlier reign: %v", err)
	}
	n.as(s, key, wire.Shell{Op: wire.OpInput, EOF: true})
	first.exit()
}
