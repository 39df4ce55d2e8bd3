package session

import (
	"testing"
	"time"

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
	s, v := n.run(`echo up; cat`)
	v.session()
	v.until("up\n") // the first event is written whole
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
	_, v := n.run(`echo up; cat`)
	v.session()
	v.until("up\n")
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
