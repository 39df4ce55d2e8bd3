package session

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

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
	restored, err := n.policy().Restore(n.grant(wire.Shell{}).Record(), time.Now())
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

// TestClosedWhileOpening: a session that started too late is not left behind.
func TestClosedWhileOpening(t *testing.T) {
	n := newNode(t)
	n.r.o.Prove = func(c wire.ProofClaims) (string, error) {
		n.r.close(true)
		return n.identity.Prove(c)
	}
	_, err := n.r.Open(testContext(t), n.grant(wire.Shell{Args: []string{"/bin/cat"}}), wire.Claims{}, []byte(requestToken))
	if errs.CodeOf(err) != wire.CodeDraining || n.r.Count() != 0 {
		t.Errorf("%v, %d counted", err, n.r.Count())
	}
	for _, i := range n.held() {
		if !i.State.Ended {
			t.Errorf("left behind: %+v", i.State)
		}
	}
	if n.ended(wire.ReasonStopped) != "1" {
		t.Error("the end is not counted")
	}
}

// TestDefaults: a registry with the real clock, and nothing but what it must have.
func TestDefaults(t *testing.T) {
	n := newNode(t)
	n.must(n.r.Stop(testContext(t)))
	n.r = New(Options{Keeper: n.k, Prove: n.identity.Prove, Metrics: n.metrics})
	s, v := n.run(`cat`)
	v.session()
	if s.Source() != "debug" || len(s.ID()) != 24 {
		t.Errorf("session %q of source %q", s.ID(), s.Source())
	}
	n.do(s, wire.Shell{Op: wire.OpClose, Seq: 1})
	v.exit()
}

// TestManySessions: opened and ended in every way at once, they leave nothing.
// TestMain looks for goroutines.
func TestManySessions(t *testing.T) {
	n := newNode(t)
	n.source.Shell.ResumeFor = 0
	endings := []func(*Session, *viewer){
		func(s *Session, v *viewer) { // the program ends
			n.do(s, wire.Shell{Op: wire.OpInput, EOF: true})
			v.exit()
		},
		func(s *Session, v *viewer) { // the client closes
			n.do(s, wire.Shell{Op: wire.OpClose, Seq: 1})
			v.exit()
		},
		func(_ *Session, v *viewer) { v.vanish() },
		func(s *Session, v *viewer) { // another takes over and goes
			n.attach(s, wire.Shell{}, nil).vanish()
		},
		func(s *Session, v *viewer) { // killed
			n.do(s, wire.Shell{Op: wire.OpSignal, Seq: 1, Signal: "KILL"})
			v.exit()
		},
	}
	var wg sync.WaitGroup
	for i := range 40 {
		s, v := n.run(`(trap '' HUP; exec sleep 1000) & setsid sleep 1000 & exec cat`)
		wg.Go(func() {
			v.session()
			endings[i%len(endings)](s, v)
		})
	}
	wg.Wait()
	eventually(t, "the keeper to be empty", func() bool { return len(n.held()) == 0 })
	if n.r.Count() != 0 || len(n.r.all()) != 0 {
		t.Errorf("%d sessions are counted, %d are known", n.r.Count(), len(n.r.all()))
	}
	if got := n.scrape(`etcha_sources_shells{name="debug",public_key="alice",remote_addr="192.0.2.7"}`); got != "0" {
		t.Errorf("%s shells are open", got)
	}
}
