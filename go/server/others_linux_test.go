package server

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etcha/go/audit"
	"etcha/go/config"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// shared lets Alice see and touch what Bob opened through "other", but not kill it.
func shared(c *config.Config) {
	s := c.Sources["other"]
	s.Shell.Share = `key.id == "alice" && op in ["list", "watch", "join", "attach"]`
}

// ask sends an operation that is not one of a session's own client.
func (n *testNode) ask(key token.PrivateKey, path, session string, op wire.Op) answer {
	n.t.Helper()
	return n.post(path, n.sign(key, n.claims("", session, wire.Shell{Op: op})))
}

func (n *testNode) list(key token.PrivateKey) []wire.SessionInfo {
	n.t.Helper()
	a := n.ask(key, wire.PathSessions, "", wire.OpList)
	var list wire.SessionList
	if a.status != http.StatusOK || json.Unmarshal([]byte(a.body), &list) != nil || list.Node != n.info.ID {
		n.t.Fatalf("list: %+v", a)
	}
	return list.Sessions
}

// look opens a session's stream for somebody beside its owner.
func (n *testNode) look(key token.PrivateKey, session string, op wire.Op) *stream {
	n.t.Helper()
	_, confirm, err := token.NewConfirm()
	if err != nil {
		n.t.Fatal(err)
	}
	c := n.claims("", session, wire.Shell{Op: op})
	c.Confirm = &confirm
	return n.begin(n.h2, key, wire.PathSessionByID(session), n.sign(key, c))
}

// entries are the events of the audit log about a session, in order.
func (n *testNode) entries(session string) (events []audit.Event, all []audit.Entry) {
	n.t.Helper()
	dir := filepath.Join(n.config.Run.StateDir, auditName)
	err := audit.Read(dir, 0, func(_ []byte, e audit.Entry) error {
		if e.Session == session {
			events, all = append(events, e.Event), append(all, e)
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return events, all
}

func TestSessionsOfOthers(t *testing.T) {
	n := newNode(t, shared)
	s := n.open(n.h2, n.bob, "other", "/bin/cat")
	id := s.info.Session
	if own, alices := n.list(n.bob), n.list(n.alice); len(own) != 1 || len(alices) != 1 || own[0].Session != id || own[0].Key != "bob" || own[0].State != wire.SessionAttached {
		t.Errorf("Bob sees %+v, Alice %+v", own, alices)
	}

	viewer := n.look(n.alice, id, wire.OpWatch)
	if viewer.info.Role != wire.RoleViewer || viewer.info.Session != id || viewer.info.Proof == "" {
		t.Errorf("the viewer's first event: %+v", viewer.info)
	}
	s.notice(wire.NoticeWatched)
	s.input(0, "hello\n")
	for _, one := range []*stream{s, viewer} {
		if data := one.await(wire.EventOutput); data != "aGVsbG8K" {
			t.Errorf("output %q", data)
		}
	}
	joined := n.look(n.alice, id, wire.OpJoin)
	if joined.info.Role != wire.RoleJoined || joined.info.InputOffset != 0 {
		t.Errorf("the first event of who joined: %+v", joined.info)
	}
	for what, a := range map[string]answer{
		"kill, which share does not permit": n.ask(n.alice, wire.PathSessionByID(id), id, wire.OpKill),
	} {
		if a.status != http.StatusForbidden || !strings.Contains(a.body, "shell.share") {
			t.Errorf("%s: %+v", what, a)
		}
	}
	if members := n.list(n.bob)[0].Members; len(members) != 2 || members[0].Key != "alice" {
		t.Errorf("members %+v", members)
	}
	viewer.body.Close()
	eventually(t, "the viewer to be gone", func() bool { return len(n.list(n.bob)[0].Members) == 1 })
	if a := n.ask(n.bob, wire.PathSessionByID(id), id, wire.OpKill); a.status != http.StatusOK {
		t.Errorf("kill by the opener: %+v", a)
	}
	var x wire.Exit
	if err := json.Unmarshal([]byte(s.await(wire.EventExit)), &x); err != nil || x.Reason != wire.ReasonKilled {
		t.Errorf("exit %+v, %v", x, err)
	}
	want := []audit.Event{audit.Opened, audit.Watched, audit.Joined, audit.Refused, audit.Left, audit.Killed}
	eventually(t, "the audit log to have the end", func() bool {
		events, _ := n.entries(id)
		return slices.Contains(events, audit.Ended)
	})
	if events, _ := n.entries(id); len(events) < len(want) || !slices.Equal(events[:len(want)], want) {
		t.Errorf("the audit log has %v, want %v and the end", events, want)
	}
}

func TestRequestsAboutNoSession(t *testing.T) {
	n := newNode(t)
	uniform := n.post(wire.PathSessions, "junk")
	foreign := newPrivate(t, "ed25519", "eve")
	for what, a := range map[string]answer{
		"a key of nobody":        n.ask(foreign, wire.PathSessions, "", wire.OpList),
		"sources, by nobody":     n.ask(foreign, wire.PathSources, "", wire.OpSources),
		"no such session":        n.ask(n.alice, wire.PathSessionByID("x"), "x", wire.OpKill),
		"another session's name": n.ask(n.alice, wire.PathSessionByID("x"), "y", wire.OpKill),
		"a source in the token":  n.post(wire.PathSessions, n.sign(n.alice, n.claims("debug", "", wire.Shell{Op: wire.OpList}))),
	} {
		if a != uniform {
			t.Errorf("%s: %+v", what, a)
		}
	}
	for what, a := range map[string]answer{
		"open":  n.ask(n.alice, wire.PathSessions, "", wire.OpOpen),
		"watch": n.ask(n.alice, wire.PathSources, "", wire.OpWatch),
		"list":  n.ask(n.alice, wire.PathSessionByID("x"), "x", wire.OpList),
	} {
		if a.status != http.StatusBadRequest {
			t.Errorf("%s in the wrong place: %+v", what, a)
		}
	}
	tok := n.sign(n.alice, n.claims("", "", wire.Shell{Op: wire.OpList}))
	if first, again := n.post(wire.PathSessions, tok), n.post(wire.PathSessions, tok); first.status != http.StatusOK || again.status != http.StatusConflict {
		t.Errorf("a list and its replay: %+v, %+v", first, again)
	}
}

func TestSources(t *testing.T) {
	n := newNode(t, func(c *config.Config) { c.Sources["fixed"].Shell.Rule = "sub == \"nobody\"" })
	var list wire.SourceList
	a := n.ask(n.alice, wire.PathSources, "", wire.OpSources)
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.status != http.StatusOK {
		t.Fatalf("%+v, %v", a, err)
	}
	seen := map[string]wire.SourceInfo{}
	for _, s := range list.Sources {
		seen[s.Source] = s
	}
	if !seen["debug"].Shell || !seen["debug"].Command || seen["fixed"].Command || seen["fixed"].Denied == "" || seen["debug"].Denied != "" {
		t.Errorf("Alice may use %+v", list.Sources)
	}
}

// A feed begins with the list, and shows each what they may see.
func TestFeed(t *testing.T) {
	n := newNode(t, shared)
	follow := func(key token.PrivateKey) (*sse.Reader, func()) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		t.Cleanup(cancel)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.info.URL+wire.PathSessions,
			strings.NewReader(n.sign(key, n.claims("", "", wire.Shell{Op: wire.OpList}))))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", wire.TypeJWT)
		req.Header.Set("Accept", wire.TypeEventStream)
		resp, err := n.h2.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != wire.TypeEventStream {
			t.Fatalf("%+v, %v", resp, err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		r := sse.NewReader(resp.Body)
		if e, err := r.Next(); err != nil || e.Name != wire.EventSessions {
			t.Fatalf("first event %+v, %v", e, err)
		}
		return r, cancel
	}
	await := func(r *sse.Reader, name, session string) {
		t.Helper()
		for {
			e, err := r.Next()
			if err != nil {
				t.Fatalf("no %s of %s: %v", name, session, err)
			}
			if e.Name == name && strings.Contains(string(e.Data), session) {
				return
			}
			if e.Name != wire.EventKeepalive && !strings.Contains(string(e.Data), session) {
				t.Fatalf("another one's session: %s", e.Data)
			}
		}
	}
	alice, _ := follow(n.alice)
	bob, _ := follow(n.bob)
	hers := n.cat(n.alice, "debug")
	await(alice, wire.EventChanged, hers.info.Session)
	hers.finish()
	await(alice, wire.EventEnded, hers.info.Session)
	his := n.cat(n.bob, "other")
	await(bob, wire.EventChanged, his.info.Session) // and nothing of hers before
	his.finish()
	await(bob, wire.EventEnded, his.info.Session)
	// A new policy: every feed begins anew.
	n.hangup(n.config, "configuration reloaded")
	for {
		if _, err := bob.Next(); err != nil {
			break
		}
	}
}

// A rule that changes ends what it no longer permits, with a notice.
func TestRuleChanges(t *testing.T) {
	n := newNode(t)
	s := n.cat(n.alice, "debug")
	c := copyConfig(n.config)
	c.Sources["debug"].Shell.Rule = `key.id != "alice"`
	n.hangup(c, "configuration reloaded")
	s.notice(wire.NoticePolicy)
	var x wire.Exit
	if err := json.Unmarshal([]byte(s.await(wire.EventExit)), &x); err != nil || x.Reason != wire.ReasonPolicy {
		t.Errorf("exit %+v, %v", x, err)
	}
	a := n.post(wire.PathShell("debug"), n.sign(n.alice, n.claims("debug", "", wire.Shell{Op: wire.OpOpen})))
	if a.status != http.StatusForbidden || !strings.Contains(a.body, "shell.rule") {
		t.Errorf("open: %+v", a)
	}
}

// A counter-signature counts once, for its request, from another key.
func TestCounterSignature(t *testing.T) {
	carol := newPrivate(t, "ed25519", "carol")
	n := newNode(t, func(c *config.Config) {
		s := c.Sources["other"]
		s.Shell.Require = 1
		s.VerifyKeys = append(s.VerifyKeys, carol.Public().String())
		c.Sources["other"] = s
	})
	_, confirm, err := token.NewConfirm()
	if err != nil {
		t.Fatal(err)
	}
	open := func(approvals ...string) answer {
		c := n.claims("other", "", wire.Shell{Op: wire.OpOpen, Command: "/bin/true"})
		c.Confirm, c.Approvals = &confirm, approvals
		return n.post(wire.PathShell("other"), n.sign(n.bob, c))
	}
	needed := open().problem
	if needed.Code != wire.CodeApproval || needed.Approval == nil || needed.Approval.Need != 1 {
		t.Fatalf("%+v", needed)
	}
	sign := func(key token.PrivateKey, digest string) string {
		t.Helper()
		now := n.clock.now()
		tok, err := key.Sign(wire.TypeApproval, wire.ApprovalClaims{
			IssuedAt: now.Unix(), Expires: now.Add(time.Minute).Unix(), ID: token.NewID(), Digest: digest,
		})
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	good := sign(carol, needed.Approval.Digest)
	for what, tok := range map[string]string{
		"the opener's own":    sign(n.bob, needed.Approval.Digest),
		"for another request": sign(carol, strings.Replace(needed.Approval.Digest, "SHA256:", "SHA256:A", 1)[:len(needed.Approval.Digest)]),
		"by nobody":           sign(newPrivate(t, "ed25519", "eve"), needed.Approval.Digest),
	} {
		if a := open(tok); a.problem.Code != wire.CodeApproval {
			t.Errorf("%s: %+v", what, a)
		}
	}
	if a := open(good); a.status != http.StatusOK {
		t.Errorf("a good one: %+v", a)
	}
	log, err := os.ReadFile(filepath.Join(n.config.Run.StateDir, auditName, "audit-0000000001.jsonl"))
	if err != nil || !strings.Contains(string(log), "\"approvedBy\":[\"carol "+carol.Public().Thumbprint()) {
		t.Errorf("the audit log does not say who agreed: %v\n%s", err, log)
	}
	if a := open(good); a.problem.Code != wire.CodeApproval {
		t.Errorf("the same again: %+v", a)
	}
	n.restart()
	if a := open(good); a.problem.Code != wire.CodeApproval {
		t.Errorf("after a restart: %+v", a)
	}
}
