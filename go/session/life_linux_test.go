package session

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/token"
	"etcha/go/wire"
)

// atRest waits until the session's goroutine waits for its timer again, so that
// moving the clock is seen.
func (n *node) atRest(timers int) {
	n.tb.Helper()
	eventually(n.tb, "the timers to be set", func() bool { return n.clock.pending() == timers })
}

func (n *node) ended(reason wire.ExitReason) string {
	return n.scrape(`etcha_sessions_ended_total{reason="` + string(reason) + `",source="debug"}`)
}

// TestLostClient: a session outlives its client for resumeFor, and not longer.
func TestLostClient(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`cat`)
	v.session()
	v.vanish()
	n.atRest(1)
	n.clock.advance(5*time.Minute - time.Second)
	n.atRest(1)
	v = n.attach(s, wire.Shell{}, nil)
	v.session()
	n.atRest(1) // the keepalive's
	n.clock.advance(time.Hour)
	v.must(wire.EventKeepalive) // somebody is attached: nothing ends
	v.vanish()
	n.atRest(1)
	n.clock.advance(5 * time.Minute)
	eventually(t, "the session to end", func() bool { return n.ended(wire.ReasonLost) == "1" })
	eventually(t, "the keeper to forget", func() bool { return len(n.held()) == 0 })
	v = n.attach(s, wire.Shell{}, nil)
	v.session()
	if x := v.exit(); x.Reason != wire.ReasonLost || x.Signal != "HUP" || x.Code != 129 {
		t.Errorf("exit %+v", x)
	}
}

// TestNobodyCame: an opener that never reads its stream is a lost client, also
// where sessions do not outlive theirs.
func TestNobodyCame(t *testing.T) {
	n := newNode(t)
	n.source.Shell.ResumeFor = 0
	n.open(wire.Shell{Args: []string{"/bin/cat"}})
	n.atRest(1)
	n.clock.advance(wire.RequestRead - 1)
	n.atRest(1)
	if n.r.Count() != 1 {
		t.Error("no time for the first stream")
	}
	n.clock.advance(1)
	eventually(t, "the session to end", func() bool { return n.ended(wire.ReasonLost) == "1" })
}

func TestNoResume(t *testing.T) {
	n := newNode(t)
	n.source.Shell.ResumeFor = 0
	_, v := n.run(`cat`)
	v.session()
	v.vanish()
	eventually(t, "the session to end", func() bool { return n.ended(wire.ReasonLost) == "1" })
}

// TestIdle: a warning comes a minute before the end.
func TestIdle(t *testing.T) {
	n := newNode(t)
	n.source.Shell.IdleTimeout = 30 * time.Minute
	_, v := n.run(`cat`)
	if info := v.session(); info.IdleTimeout != 1800 {
		t.Errorf("first event %+v", info)
	}
	n.atRest(2)
	n.clock.advance(29*time.Minute + 10*time.Second)
	if code := v.notice(); code != wire.NoticeIdle {
		t.Errorf("notice %q", code)
	}
	n.atRest(2)
	n.clock.advance(time.Minute)
	if x := v.exit(); x.Reason != wire.ReasonIdle {
		t.Errorf("exit %+v", x)
	}
}

func TestLongestLife(t *testing.T) {
	n := newNode(t)
	n.source.Shell.MaxAge = time.Hour
	s, v := n.run(`cat`)
	if info := v.session(); info.EndsAt != s.started.Add(time.Hour).UnixMilli() {
		t.Errorf("first event %+v", info)
	}
	n.atRest(2)
	n.clock.advance(59*time.Minute + 10*time.Second)
	if code := v.notice(); code != wire.NoticeAge {
		t.Errorf("notice %q", code)
	}
	n.atRest(2)
	n.clock.advance(time.Minute)
	if x := v.exit(); x.Reason != wire.ReasonAge {
		t.Errorf("exit %+v", x)
	}
}

// TestRecheckEnds: what is no longer permitted ends with a notice.
func TestRecheckEnds(t *testing.T) {
	n := newNode(t)
	_, v := n.run(`cat`)
	v.session()
	n.r.Recheck(n.policy())
	n.source.Shell.AllowCommand = false
	n.r.Recheck(n.policy())
	if code := v.notice(); code != wire.NoticePolicy {
		t.Errorf("notice %q", code)
	}
	if x := v.exit(); x.Reason != wire.ReasonPolicy {
		t.Errorf("exit %+v", x)
	}
}

// TestRecheckTakesTheSettings: a shorter life counts at once.
func TestRecheckTakesTheSettings(t *testing.T) {
	n := newNode(t)
	_, v := n.run(`cat`)
	v.session()
	n.atRest(1)
	n.source.Shell.MaxAge = time.Minute
	n.r.Recheck(n.policy())
	n.atRest(2)
	n.clock.advance(40 * time.Second)
	if code := v.notice(); code != wire.NoticeAge {
		t.Errorf("notice %q", code)
	}
	n.atRest(2)
	n.clock.advance(time.Minute)
	if x := v.exit(); x.Reason != wire.ReasonAge {
		t.Errorf("exit %+v", x)
	}
}

// TestPolicyChangedWhileOpening: a grant of an older policy starts nothing that
// the newer one forbids and that stays.
func TestPolicyChangedWhileOpening(t *testing.T) {
	n := newNode(t)
	g := n.grant(wire.Shell{Args: []string{"/bin/cat"}})
	n.source.Shell = nil
	n.r.Recheck(n.policy())
	s, err := n.r.Open(testContext(t), g, wire.Claims{}, []byte(requestToken))
	n.must(err)
	eventually(t, "the session to end", func() bool { return n.ended(wire.ReasonPolicy) == "1" })
	if s.state().Exit.Reason != wire.ReasonPolicy {
		t.Errorf("exit %+v", s.state().Exit)
	}
}

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
	if n.r.Count() != 1 || len(n.held()) != 1 {
		t.Errorf("%d sessions, %d held", n.r.Count(), len(n.held()))
	}
	for _, want := range []string{"session is no longer permitted", "session was not restored", "session restored"} {
		if !strings.Contains(n.log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
}

func (n *node) foreign(id, meta string) keeper.StartRequest {
	n.tb.Helper()
	r, err := n.r.request(id, n.grant(wire.Shell{Args: []string{"/bin/cat"}}), account(n.tb), record{})
	n.must(err)
	r.Meta = []byte(meta)
	return r
}

// TestRestoreOfWhatHasEnded: a program that ended while no daemon was there.
func TestRestoreOfWhatHasEnded(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`read x; exit 5`)
	v.session()
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

// TestStop: all end, with a notice, and nothing is left.
func TestStop(t *testing.T) {
	n := newNode(t)
	_, v := n.run(`trap 'echo bye; exit 3' HUP; echo ready; while :; do sleep 0.01; done`)
	v.session()
	v.until("ready\n")
	n.open(wire.Shell{Args: []string{"/bin/cat"}}) // nobody is attached
	stopped := make(chan error, 1)
	go func() { stopped <- n.r.Stop(testContext(t)) }()
	if code := v.notice(); code != wire.NoticeStopping {
		t.Errorf("notice %q", code)
	}
	if x := v.exit(); x.Reason != wire.ReasonStopped || x.Code != 3 || v.text.String() != "ready\nbye\n" {
		t.Errorf("exit %+v after %q", x, v.text.String())
	}
	n.must(<-stopped)
	if len(n.held()) != 0 || n.r.Count() != 0 || n.clock.pending() != 0 {
		t.Errorf("%d held, %d counted, %d timers", len(n.held()), n.r.Count(), n.clock.pending())
	}
	if _, err := n.r.Open(testContext(t), n.grant(wire.Shell{}), wire.Claims{}, nil); errs.CodeOf(err) != wire.CodeDraining {
		t.Errorf("a session of a stopped registry: %v", err)
	}
}

// TestStopIsBounded: a client that does not read does not hold the node up.
func TestStopIsBounded(t *testing.T) {
	n := newNode(t)
	_, v := n.run(`trap '' HUP TERM; cat /dev/zero`)
	v.session()
	ctx, cancel := context.WithCancel(testContext(t))
	stopped := make(chan error, 1)
	go func() { stopped <- n.r.Stop(ctx) }()
	eventually(t, "the end to be asked for", func() bool { return n.r.isStopping() })
	cancel()
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	v.vanish()
	eventually(t, "the keeper to end it", func() bool {
		for _, i := range n.held() {
			if !i.State.Ended {
				return false
			}
		}
		return true
	})
}

// TestKeeperDies: each session's stream ends with an exit that says so.
func TestKeeperDies(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`echo one; cat`)
	v.session()
	v.until("one\n")
	_, away := n.run(`cat`)
	away.session()
	away.vanish()
	n.killKeeper()
	<-n.k.Done()
	drained := n.drain()
	if x := v.exit(); x != (wire.Exit{Code: 255, Reason: wire.ReasonKeeper}) {
		t.Errorf("exit %+v", x)
	}
	n.must(<-drained)
	if _, err := s.Do(testContext(t), n.opener, wire.Shell{Op: wire.OpInput, Data: []byte("x")}); errs.CodeOf(err) != wire.CodeEnded {
		t.Errorf("input: %v", err)
	}
	if n.ended(wire.ReasonKeeper) != "2" || n.r.Count() != 0 {
		t.Errorf("%s ended, %d counted", n.ended(wire.ReasonKeeper), n.r.Count())
	}
	if _, err := n.r.Open(testContext(t), n.grant(wire.Shell{}), wire.Claims{}, nil); err == nil {
		t.Error("a session without a keeper")
	}
}

// TestKeeperDiesUnderABusyStream: what it had written is still sent.
func TestKeeperDiesUnderABusyStream(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`head -c 200000 /dev/zero; read x`)
	v.session()
	eventually(t, "all output", func() bool { return s.held.State().Head == 200_000 })
	n.killKeeper()
	if x := v.exit(); x.Reason != wire.ReasonKeeper || v.next != 200_000 {
		t.Errorf("exit %+v after %d bytes", x, v.next)
	}
}

func (n *node) killKeeper() {
	n.tb.Helper()
	pid, err := strconv.Atoi(n.keeperPID())
	n.must(err)
	p, err := os.FindProcess(pid)
	n.must(err)
	n.must(p.Signal(syscall.SIGKILL))
}

func TestLimits(t *testing.T) {
	n := newNode(t)
	n.must(n.r.Stop(testContext(t)))
	n.must(n.k.Close())
	n.limits = Options{MaxSessions: 3, MaxPerKey: 2}
	n.connect()
	open := func() error {
		_, err := n.r.Open(testContext(t), n.grant(wire.Shell{Args: []string{"/bin/cat"}}), wire.Claims{}, nil)
		return err
	}
	limited := func(what, text string) {
		t.Helper()
		if err := open(); errs.CodeOf(err) != wire.CodeLimited || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	n.source.Shell.MaxSessions = 1
	n.must(open())
	limited("one of a source", "shell.maxSessions")
	n.source.Shell.MaxSessions = 0
	n.must(open())
	limited("two of a key", "run.maxSessionsPerKey")
	first := n.opener
	n.opener = newKey(t, "bob")
	n.source.Keys = []token.PublicKey{first, n.opener}
	s := n.open(wire.Shell{Args: []string{"/bin/cat"}})
	limited("three of a node", "run.maxSessions)")
	if n.r.Count() != 3 {
		t.Errorf("%d sessions", n.r.Count())
	}
	n.do(s, wire.Shell{Op: wire.OpClose, Seq: 1})
	eventually(t, "the place to be free", func() bool { return n.r.Count() == 2 })
	n.must(open())
}

// TestPlacesAreGivenBack: a session that does not start takes no place.
func TestPlacesAreGivenBack(t *testing.T) {
	n := newNode(t)
	for range 5 {
		if _, err := n.r.Open(testContext(t), n.grant(wire.Shell{Command: "/no/such/program"}), wire.Claims{}, nil); err == nil {
			t.Fatal("it started")
		}
	}
	if n.r.Count() != 0 || len(n.r.perKey) != 0 || len(n.r.perName) != 0 || len(n.held()) != 0 {
		t.Errorf("%d, %v, %v, %d held", n.r.Count(), n.r.perKey, n.r.perName, len(n.held()))
	}
	if got := n.scrape(`etcha_sessions_started_total{break_glass="false",source="debug"}`); got != "0" {
		t.Errorf("%q starts are counted", got)
	}
}

func TestOnlyAGrantStarts(t *testing.T) {
	n := newNode(t)
	restored, err := n.policy().Restore(n.grant(wire.Shell{}).Record())
	n.must(err)
	for name, g := range map[string]authz.Grant{"zero": {}, "restored": restored} {
		if _, err := n.r.Open(testContext(t), g, wire.Claims{}, nil); !errors.Is(err, errNoGrant) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(n.held()) != 0 {
		t.Error("something was started")
	}
}
