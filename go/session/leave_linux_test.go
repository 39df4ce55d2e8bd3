package session

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"etcha/go/errs"
	"etcha/go/wire"
)

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
	_, away := n.run(`echo up; cat`)
	away.session()
	away.until("up\n")
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
	n.must(syscall.Kill(n.keeperPID(), syscall.SIGKILL))
}
