package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcha/go/config"
	"etcha/go/token"
	"etcha/go/wire"
)

func TestOpen(t *testing.T) {
	n := newNode(t)
	for name, c := range map[string]*http.Client{"HTTP/1.1": n.h1, "HTTP/2": n.h2} {
		t.Run(name, func(t *testing.T) {
			n.t = t
			claims := n.claims("debug", "", wire.Shell{Op: wire.OpOpen, Command: `/bin/sh -c 'echo "$LANG"; exit 7'`, Env: map[string]string{"LANG": "C.UTF-8"}})
			tok := n.sign(n.alice, claims)
			s := n.begin(c, n.alice, wire.PathShell("debug"), tok)
			for key, want := range map[string]string{
				"Content-Type": wire.TypeEventStream, "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "Content-Length": "",
			} {
				if got := s.header.Get(key); got != want {
					t.Errorf("%s: %q, want %q", key, got, want)
				}
			}
			if p, err := token.VerifyProof([]byte(s.info.Proof), n.info.ID, []byte(tok)); err != nil || p.Session != s.info.Session {
				t.Errorf("proof %+v, %v", p, err)
			}
			out, exit := s.output()
			if out != "C.UTF-8\n" || exit.Code != 7 || exit.Reason != wire.ReasonExited {
				t.Errorf("%q, %+v", out, exit)
			}
			if _, err := s.events.Next(); err == nil {
				t.Error("something follows the exit")
			}
		})
	}
}

func TestInputAndClose(t *testing.T) {
	n := newNode(t)
	s := n.cat(n.alice, "debug")
	r := s.input(0, "hello")
	var a wire.Answer
	if err := json.Unmarshal([]byte(r.body), &a); err != nil || r.status != http.StatusOK || a.Offset != 5 || a.Room == 0 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if !strings.Contains(r.header, "no-store") {
		t.Errorf("header %s", r.header)
	}
	if r := s.do(wire.Shell{Op: wire.OpInput, Offset: 5, EOF: true}); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
	if out, exit := s.output(); out != "hello" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
}

func TestInputBeyondTheWindow(t *testing.T) {
	n := newNode(t)
	s := n.cat(n.alice, "debug")
	defer s.finish()
	r := s.input(wire.InputWindow, "x")
	r.want(t, wire.CodeOffset)
	if r.problem.Offset == nil || *r.problem.Offset != 0 || r.problem.Room == nil || *r.problem.Room == 0 {
		t.Errorf("%s", r.body)
	}
}

// Whoever is not the opener, nor has the session's own key, sees no session.
func TestSessionOfAnotherKey(t *testing.T) {
	n := newNode(t)
	uniform := n.post(wire.PathShell("nothing"), "junk")
	confirm, own, err := token.NewConfirm()
	if err != nil {
		t.Fatal(err)
	}
	c := n.claims("other", "", wire.Shell{Op: wire.OpOpen, Command: "/bin/cat"})
	c.Confirm = &own
	s := n.begin(n.h2, n.bob, wire.PathShell("other"), n.sign(n.bob, c))
	in := func(key token.PrivateKey, op wire.Op) string {
		return n.sign(key, n.claims("other", s.info.Session, wire.Shell{Op: op, Seq: 1, Data: []byte("x")}))
	}
	foreign, err2 := newForeign()
	if err2 != nil {
		t.Fatal(err2)
	}
	for _, op := range []wire.Op{wire.OpInput, wire.OpResize, wire.OpSignal, wire.OpAck, wire.OpClose, wire.OpAttach} {
		for name, key := range map[string]token.PrivateKey{"Alice, who may open the source": n.alice, "another session's key": foreign} {
			got := n.post(s.path(), in(key, op))
			if op == wire.OpAttach && key.Public().Equal(n.alice.Public()) {
				// Her key is the source's: she is told what is missing.
				if got.status != http.StatusForbidden || !strings.Contains(got.body, "shell.share") {
					t.Errorf("attach by Alice: %+v", got)
				}
			} else if got != uniform {
				t.Errorf("%s by %s: %+v", op, name, got)
			}
		}
	}
	for name, key := range map[string]token.PrivateKey{"the session's own": confirm, "the opener's": n.bob} {
		if got := n.post(s.path(), in(key, wire.OpAck)); got.status != http.StatusOK {
			t.Errorf("by %s: %d %s", name, got.status, got.body)
		}
	}
	s.key = confirm
	s.finish()
	// It has ended: its own keys are told so, others see nothing.
	for _, key := range []token.PrivateKey{confirm, n.bob} {
		n.post(s.path(), in(key, wire.OpInput)).want(t, wire.CodeEnded)
	}
	if got := n.post(s.path(), in(n.alice, wire.OpInput)); got != uniform {
		t.Errorf("an ended session by another key: %+v", got)
	}
}

func newForeign() (token.PrivateKey, error) {
	k, _, err := token.NewConfirm()
	return k, err
}

func TestTokenMovedToAnotherSession(t *testing.T) {
	n := newNode(t)
	uniform := n.post(wire.PathShell("nothing"), "junk")
	a, b := n.cat(n.alice, "debug"), n.cat(n.alice, "debug")
	other := n.cat(n.alice, "other")
	defer a.finish()
	defer other.finish()
	tok := n.sign(n.alice, n.claims("debug", a.info.Session, wire.Shell{Op: wire.OpInput, Data: []byte("stray")}))
	for name, path := range map[string]string{
		"another session": b.path(), "another source": other.path(),
		"the same ID, another source": wire.PathSession("other", a.info.Session), "an open": wire.PathShell("debug"),
	} {
		if got := n.post(path, tok); got != uniform {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// Nothing of it arrived.
	b.do(wire.Shell{Op: wire.OpInput, EOF: true})
	if out, _ := b.output(); out != "" {
		t.Errorf("the program got %q", out)
	}
}

// An attach is used once, like an open.
func TestAttachIsNotReplayed(t *testing.T) {
	n := newNode(t)
	s := n.cat(n.alice, "debug")
	tok := n.sign(n.alice, n.claims("debug", s.info.Session, wire.Shell{Op: wire.OpAttach}))
	second := n.begin(n.h2, n.alice, s.path(), tok)
	s.await(wire.EventReplaced)
	n.post(s.path(), tok).want(t, wire.CodeReplayed)
	r := n.post(s.path(), n.sign(n.alice, n.claims("debug", s.info.Session, wire.Shell{Op: wire.OpAttach, Offset: 99})))
	r.want(t, wire.CodeOffset)
	if r.problem.Offset == nil || *r.problem.Offset != 0 {
		t.Errorf("%s", r.body)
	}
	second.finish()
}

func TestStopEndsSessions(t *testing.T) {
	n := newNode(t)
	s := n.cat(n.alice, "debug")
	stopped := make(chan error, 1)
	go func() { stopped <- StopNode(context.Background(), n.config.Run.StateDir) }()
	s.notice(wire.NoticeStopping)
	if x := s.exit(); x.Reason != wire.ReasonStopped {
		t.Errorf("%+v", x)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := n.wait(); err != nil {
		t.Error(err)
	}
	n.nothingLeft()
}

// What a new configuration no longer permits ends, and only that.
func TestPolicyIsCheckedAgain(t *testing.T) {
	n := newNode(t)
	byBob, byAlice := n.cat(n.bob, "other"), n.cat(n.alice, "other")
	next := copyConfig(n.config)
	setSource(next, "other", func(s *config.Source) { s.VerifyKeys = nil })
	n.hangup(next, "configuration reloaded")
	byBob.notice(wire.NoticePolicy)
	if x := byBob.exit(); x.Reason != wire.ReasonPolicy {
		t.Errorf("%+v", x)
	}
	if r := byAlice.input(0, "x"); r.status != http.StatusOK {
		t.Errorf("another's session: %d %s", r.status, r.body)
	}
	byAlice.finish()
}

// When the keeper dies the clients are told, and another takes its place.
func TestKeeperDies(t *testing.T) {
	n := newNode(t)
	s := n.cat(n.alice, "debug")
	n.killKeeper()
	if x := s.exit(); x.Reason != wire.ReasonKeeper || x.Code != 255 {
		t.Errorf("%+v", x)
	}
	eventually(t, "another keeper is found", func() bool { return strings.Contains(n.log.String(), "another keeper was found") })
	if out, exit := n.open(n.h2, n.alice, "debug", "/bin/echo again").output(); out != "again\n" || exit.Code != 0 {
		t.Errorf("%q %+v", out, exit)
	}
}

// While no keeper can be started the node answers, and tries again.
func TestNoKeeperForAWhile(t *testing.T) {
	n := failing(t, nil)
	n.keeper = filepath.Join(t.TempDir(), "etcha")
	link := func() {
		if err := os.Symlink("/proc/self/exe", n.keeper); err != nil {
			t.Fatal(err)
		}
	}
	link()
	n.connect()
	n.start()
	t.Cleanup(n.cleanup)
	if err := os.Remove(n.keeper); err != nil {
		t.Fatal(err)
	}
	n.killKeeper()
	eventually(t, "there is no keeper", func() bool { return strings.Contains(n.log.String(), "there is no keeper") })
	n.post(wire.PathShell("debug"), n.sign(n.alice, n.claims("debug", "", wire.Shell{Op: wire.OpOpen}))).want(t, wire.CodeUnready)
	if s, err := NodeStatus(t.Context(), n.config.Run.StateDir); err != nil || s.Sessions != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	link()
	eventually(t, "another keeper is found", func() bool { return strings.Contains(n.log.String(), "another keeper was found") })
	if out, _ := n.open(n.h2, n.alice, "debug", "/bin/echo again").output(); out != "again\n" {
		t.Errorf("%q", out)
	}
}

// killKeeper kills the keeper of the node, which is this binary started again.
func (n *testNode) killKeeper() {
	n.t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		n.t.Fatal(err)
	}
	want := strings.Join([]string{asKeeper, n.config.Run.StateDir, ""}, "\x00")
	for _, p := range procs {
		if b, err := os.ReadFile(p); err == nil && strings.HasSuffix(string(b), want) {
			var pid int
			if _, err := fmt.Sscanf(p, "/proc/%d/", &pid); err != nil {
				n.t.Fatal(err)
			}
			proc, err := os.FindProcess(pid)
			if err == nil {
				err = proc.Kill()
			}
			if err != nil {
				n.t.Fatal(err)
			}
			return
		}
	}
	n.t.Fatal("there is no keeper")
}

// A program that cannot be started is a refusal with its reason.
func TestOpenFailures(t *testing.T) {
	n := newNode(t, func(c *config.Config) {
		setSource(c, "debug", func(s *config.Source) { s.Shell.Command = "/nonexistent/shell" })
		setSource(c, "other", func(s *config.Source) { s.Shell.WorkDir = "/nonexistent/folder" })
		setSource(c, "fixed", func(s *config.Source) { s.Shell.MaxSessions = 1 })
	})
	for _, c := range []struct {
		source, command string
		code            wire.Code
		detail          string
	}{
		{"debug", "", wire.CodeInternal, "/nonexistent/shell"},
		{"debug", "/nonexistent/command", wire.CodeBadRequest, "/nonexistent/command"},
		{"other", "", wire.CodeInternal, "/nonexistent/folder"},
	} {
		r := n.post(wire.PathShell(c.source), n.sign(n.alice, n.claims(c.source, "", wire.Shell{Op: wire.OpOpen, Command: c.command})))
		r.want(t, c.code)
		if !strings.Contains(r.problem.Detail, c.detail) {
			t.Errorf("source %s, command %q: %s", c.source, c.command, r.body)
		}
	}
	s := n.open(n.h2, n.alice, "fixed", "")
	r := n.post(wire.PathShell("fixed"), n.sign(n.alice, n.claims("fixed", "", wire.Shell{Op: wire.OpOpen})))
	r.want(t, wire.CodeLimited)
	if !strings.Contains(r.header, "Retry-After") {
		t.Errorf("header %s", r.header)
	}
	s.finish()
}

// Nothing secret is in the log, at any level.
func TestCanary(t *testing.T) {
	const canary = "c4nary"
	n := newNode(t, func(c *config.Config) { c.Run.SystemMetricsKey = canary + "-key" })
	claims := n.claims("debug", "", wire.Shell{
		Op: wire.OpOpen, Command: "/bin/sh -c 'cat; echo " + canary + "-output' " + canary + "-arg", Env: map[string]string{"LANG": canary + "-env"},
	})
	tok := n.sign(n.alice, claims)
	s := n.begin(n.h2, n.alice, wire.PathShell("debug"), tok)
	s.input(0, canary+"-typed")
	s.do(wire.Shell{Op: wire.OpInput, Offset: uint64(len(canary + "-typed")), EOF: true})
	if out, _ := s.output(); !strings.Contains(out, canary+"-typed") || !strings.Contains(out, canary+"-output") {
		t.Fatalf("the canary did not fly: %q", out)
	}
	n.send(n.h2, http.MethodGet, wire.PathMetrics+"?key="+canary+"-key", "", "")
	n.send(n.h2, http.MethodGet, wire.PathMetrics+"?key="+canary+"-wrong", "", "")
	n.post(wire.PathShell("debug"), tok)
	for _, secret := range []string{canary, tok, tok[strings.LastIndex(tok, ".")+1:]} {
		if strings.Contains(n.log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	for _, name := range []string{"keeper.log", journalName} {
		if b, err := os.ReadFile(filepath.Join(n.config.Run.StateDir, name)); err == nil && strings.Contains(string(b), canary) {
			t.Errorf("the canary is in %s", name)
		}
	}
}
