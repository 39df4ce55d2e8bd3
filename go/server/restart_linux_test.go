package server

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etcha/go/wire"
)

func TestReplay(t *testing.T) {
	n := newNode(t)
	began := time.Now()
	n.clock.set(began)
	trace := filepath.Join(t.TempDir(), "trace")
	tok := n.sign(n.alice, n.claims("debug", "", wire.Shell{Op: wire.OpOpen, Command: "/bin/sh -c 'echo x >>" + trace + "'"}))
	refused := func(codes ...wire.Code) {
		t.Helper()
		if r := n.post(wire.PathShell("debug"), tok); !slices.Contains(codes, r.problem.Code) {
			t.Errorf("%d %s, want %v", r.status, r.body, codes)
		}
		if b, err := os.ReadFile(trace); err != nil || strings.Count(string(b), "x") != 1 {
			t.Errorf("started %q (%v)", b, err)
		}
	}
	if _, exit := n.begin(n.h2, n.alice, wire.PathShell("debug"), tok).output(); exit.Code != 0 {
		t.Fatalf("%+v", exit)
	}
	refused(wire.CodeReplayed)
	n.restart()
	refused(wire.CodeReplayed)
	// However far the clock is set back, nothing that was used is good again.
	for _, back := range []time.Duration{2 * time.Second, time.Minute, 24 * time.Hour} {
		n.clock.set(began.Add(-back))
		n.restart()
		refused(wire.CodeReplayed, wire.CodeExpired, wire.CodeClockSkew)
	}
	n.clock.set(began.Add(time.Minute))
	refused(wire.CodeExpired)
	if _, exit := n.open(n.h2, n.alice, "debug", "/bin/true").output(); exit.Code != 0 {
		t.Errorf("an honest request after all that: %+v", exit)
	}
}

// restart leaves the sessions to the keeper and starts a new daemon.
func (n *testNode) restart() {
	n.t.Helper()
	n.leave()
	if err := n.wait(); err != nil {
		n.t.Fatal(err)
	}
	n.h1.CloseIdleConnections()
	n.h2.CloseIdleConnections()
	n.start()
}

// A daemon that leaves tells its clients; the next one knows the sessions.
func TestRestartKeepsSessions(t *testing.T) {
	n := newNode(t)
	s := n.cat(n.alice, "debug")
	if r := s.input(0, "before "); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	left := make(chan error, 1)
	go func() { n.leave(); left <- nil }()
	s.notice(wire.NoticeRestarting)
	for {
		e, err := s.events.Next()
		if err != nil {
			break
		}
		if e.Name == wire.EventExit {
			t.Fatal("the session has ended")
		}
	}
	<-left
	n.restart()
	if r := s.input(7, "after"); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := s.do(wire.Shell{Op: wire.OpInput, Offset: 12, EOF: true}); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	again := n.begin(n.h1, n.alice, s.path(), n.sign(n.alice, n.claims("debug", s.info.Session, wire.Shell{Op: wire.OpAttach})))
	if out, exit := again.output(); out != "before after" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
}
