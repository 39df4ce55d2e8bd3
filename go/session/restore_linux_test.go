package session

import (
	"strings"
	"testing"

	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/token"
	"etcha/go/wire"
)

// TestRestart: a daemon that leaves and another that comes lose nothing.
func TestRestart(t *testing.T) {
	n := newNode(t)
	_, confirm, err := token.NewConfirm()
	n.must(err)
	s, err := n.r.Open(testContext(t), n.grant(wire.Shell{Args: []string{"/bin/sh", "-c", "echo one; read x; echo two; cat"}}), wire.Claims{Confirm: &confirm}, []byte(requestToken))
	n.must(err)
	v := view(t, s, Start{Tok: []byte(requestToken)})
	v.session()
	v.until("one\n")
	n.do(s, wire.Shell{Op: wire.OpSignal, Seq: 3, Signal: "CONT"})
	drained := n.drain()
	if code := v.notice(); code != wire.NoticeRestarting {
		t.Errorf("notice %q", code)
	}
	v.end()
	n.must(<-drained)
	if _, err := s.Do(testContext(t), n.opener, wire.Shell{Op: wire.OpAck}); err != nil && errs.CodeOf(err) != wire.CodeDraining {
		t.Errorf("an operation in a daemon that has left: %v", err)
	}
	if _, err := s.Do(testContext(t), n.opener, wire.Shell{Op: wire.OpInput, Data: []byte("x")}); errs.CodeOf(err) != wire.CodeDraining {
		t.Errorf("input in a daemon that has left: %v", err)
	}
	n.must(n.k.Close())
	n.connect()
	n.must(n.r.Restore(testContext(t), n.policy()))
	again, ok := n.r.Find("debug", s.ID())
	if !ok || !again.OpenerKey().Equal(n.opener) || n.r.Count() != 1 {
		t.Fatal("the session is not found again")
	}
	if got := n.scrape(`etcha_sources_shells{name="debug",public_key="alice",remote_addr="192.0.2.7"}`); got != "1" {
		t.Errorf("%q shells are counted", got)
	}
	if got := n.scrape(`etcha_sessions_started_total{break_glass="false",source="debug"}`); got != "1" {
		t.Errorf("%q starts are counted", got)
	}
	v2 := n.attach(again, wire.Shell{Offset: v.next}, nil)
	if info := v2.session(); info.Seq != 3 || info.OutputStart != v.next || info.User != s.user || info.Started != s.started.UnixMilli() {
		t.Errorf("first event %+v", info)
	}
	n.do(again, wire.Shell{Op: wire.OpInput, Data: []byte("\nthree"), EOF: true})
	if v2.exit(); v2.text.String() != "two\nthree" {
		t.Errorf("read %q", v2.text.String())
	}
}

// drain leaves the sessions, while clients read what they are told.
func (n *node) drain() <-chan error {
	done := make(chan error, 1)
	ctx := testContext(n.tb)
	go func() { done <- n.r.Drain(ctx) }()
	return done
}

// TestRestoreDecidesAgain: what the new configuration forbids is ended, and so
// is what nobody can decide about.
func TestRestoreDecidesAgain(t *testing.T) {
	n := newNode(t)
	n.open(wire.Shell{Args: []string{"/bin/cat"}})
	n.open(wire.Shell{})
	foreign, err := n.k.Start(testContext(t), n.foreign("foreign", "no record"))
	n.must(err)
	n.must(n.r.Drain(testContext(t)))
	foreign.Release()
	n.must(n.k.Close())
	n.connect()
	n.source.Shell.AllowCommand = false
	n.must(n.r.Restore(testContext(t), n.policy()))
	eventually(t, "the others to end", func() bool { return n.r.Count() == 1 && len(n.held()) == 1 })
	eventually(t, "their ends to be counted", func() bool { return n.ended(wire.ReasonPolicy) == "1" })
	for _, want := range []string{`session is no longer permitted" source=debug`, "unusable record", "session restored"} {
		if !strings.Contains(n.log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
}

func (n *node) foreign(id, meta string) keeper.StartRequest {
	n.tb.Helper()
	r, err := n.r.request(id, n.grant(wire.Shell{Args: []string{"/bin/cat"}}), account(n.tb), memo{})
	n.must(err)
	r.Meta = []byte(meta)
	return r
}

// TestRestoreOfWhatHasEnded: a program that ended while no daemon was there.
func TestRestoreOfWhatHasEnded(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`echo up; read x; exit 5`)
	v.session()
	v.until("up\n") // the first event is written whole: a session that nobody heard of ends
	v.vanish()
	n.must(n.r.Drain(testContext(t)))
	held, err := n.k.Adopt(testContext(t), s.ID())
	n.must(err)
	_, err = held.Input(testContext(t), 0, []byte("\n"), false)
	n.must(err)
	<-held.Ended()
	held.Release()
	n.must(n.k.Close())
	n.connect()
	n.must(n.r.Restore(testContext(t), n.policy()))
	again, ok := n.r.Find("debug", s.ID())
	if !ok {
		t.Fatal("the session is not found again")
	}
	v = n.attach(again, wire.Shell{}, nil)
	v.session()
	if x := v.exit(); x.Code != 5 {
		t.Errorf("exit %+v", x)
	}
}

// TestAnotherDaemon: one that adopts the session has it.
func TestAnotherDaemon(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`cat`)
	v.session()
	k, err := keeper.Connect(testContext(t), keeper.ConnectOptions{StateDir: n.dir})
	n.must(err)
	defer k.Close()
	_, err = k.Adopt(testContext(t), s.ID())
	n.must(err)
	v.end()
	eventually(t, "the session to be gone", func() bool { _, ok := n.r.Find("debug", s.ID()); return !ok })
	if n.r.Count() != 0 || n.ended(wire.ReasonKeeper) != "0" {
		t.Errorf("%d sessions", n.r.Count())
	}
}

// TestEndIsToldOnce: an end that nobody came for is not told again by each daemon.
func TestEndIsToldOnce(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`echo up; read x; exit 3`)
	v.session()
	v.until("up\n")
	v.vanish()
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	eventually(t, "the end to be told", func() bool { return len(n.happened.of(Ended)) == 1 && s.remembered().Told })
	n.restart()
	s, _ = n.r.Find("debug", s.ID())
	again := n.attach(s, wire.Shell{}, nil)
	again.session()
	if x := again.exit(); x.Code != 3 {
		t.Errorf("exit %+v", x)
	}
	if h := n.happened.of(Ended); len(h) != 1 {
		t.Errorf("the end is told %d times", len(h))
	}
}
