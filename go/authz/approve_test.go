package authz_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

func asError(err error, e **errs.Error) bool { return errors.As(err, e) }

// needs checks the refusal of an open that lacks counter-signatures.
func needs(t *testing.T, err error, need, have int, digest string, texts ...string) {
	t.Helper()
	refused(t, err, wire.CodeApproval, "shell.require")
	var e *authz.ApprovalError
	if !errors.As(err, &e) {
		t.Fatalf("%v is no ApprovalError", err)
	}
	if e.Needed != (wire.ApprovalNeeded{Digest: digest, Need: need, Have: have}) {
		t.Errorf("%+v, want %d of %d for %s", e.Needed, have, need, digest)
	}
	var public *errs.Error
	if !asError(err, &public) {
		t.Fatalf("%v has no public side", err)
	}
	for _, text := range texts {
		if !strings.Contains(public.Text, text) {
			t.Errorf("%q does not say %q", public.Text, text)
		}
	}
	if strings.Count(public.Text, "does not count") != len(texts) {
		t.Errorf("%q, want %d reasons", public.Text, len(texts))
	}
}

func TestRequire(t *testing.T) {
	m := newTeam(t, "alice", "bob", "carol", "dave")
	m.source.Shell.Require = 2
	sh := wire.Shell{Command: "make all", PTY: true, Env: map[string]string{"TICKET": "1"}, Title: "x", Cols: 80}
	digest := m.digest("alice", sh)

	_, err := m.open("alice", sh)
	needs(t, err, 2, 0, digest)
	bob, carol, dave := m.approve("bob", digest), m.approve("carol", digest), m.approve("dave", digest)
	_, err = m.open("alice", sh, bob)
	needs(t, err, 2, 1, digest)
	if len(m.used) != 0 {
		t.Errorf("a refused open has used up %v", m.used)
	}
	// What the digest does not cover may change: a smaller window, another title.
	resized := sh
	resized.Cols, resized.Title = 132, "y"
	g, err := m.open("alice", resized, bob, carol, dave)
	if err != nil || !g.Starts() {
		t.Fatal(err)
	}
	if len(m.used) != 2 {
		t.Errorf("%d were used up, 2 are needed", len(m.used))
	}
	_, err = m.open("alice", sh, bob, carol, dave)
	needs(t, err, 2, 1, digest, "counter-signature 1 does not count: it was used before", "counter-signature 2 does not count: it was used before")
	if len(m.used) != 2 {
		t.Error("a refused open has used one up")
	}
}

// TestApprovalsThatDoNotCount has each reason, and that it is told.
func TestApprovalsThatDoNotCount(t *testing.T) {
	sh := wire.Shell{Command: "id"}
	claims := func(m *team, change func(*wire.ApprovalClaims)) wire.ApprovalClaims {
		c := wire.ApprovalClaims{IssuedAt: m.now.Unix(), Expires: m.now.Unix() + 60, ID: token.NewID(), Digest: m.digest("alice", sh)}
		if change != nil {
			change(&c)
		}
		return c
	}
	by := func(name string, change func(*wire.ApprovalClaims)) func(*team) string {
		return func(m *team) string { return m.sign(name, wire.TypeApproval, claims(m, change)) }
	}
	for name, c := range map[string]struct {
		tok  func(*team) string
		text string
	}{
		"expired":          {by("bob", func(c *wire.ApprovalClaims) { c.IssuedAt -= 100; c.Expires -= 100 }), "it has expired"},
		"from the future":  {by("bob", func(c *wire.ApprovalClaims) { c.IssuedAt += 30 }), "it is from the future"},
		"too long":         {by("bob", func(c *wire.ApprovalClaims) { c.Expires = c.IssuedAt + 601 }), "it lives 601 s, at most 600 s are accepted"},
		"no iat":           {by("bob", func(c *wire.ApprovalClaims) { c.IssuedAt = 0 }), "iat, exp and digest are required"},
		"short jti":        {by("bob", func(c *wire.ApprovalClaims) { c.ID = "x" }), "jti must have"},
		"long jti":         {by("bob", func(c *wire.ApprovalClaims) { c.ID = strings.Repeat("x", 65) }), "jti must have"},
		"another request":  {by("bob", func(c *wire.ApprovalClaims) { c.Digest = "SHA256:x" }), "it is for another request"},
		"no digest":        {by("bob", func(c *wire.ApprovalClaims) { c.Digest = "" }), "it is for another request"},
		"the opener's own": {by("alice", nil), "it is by the key that opens the session"},
		"unknown key":      {by("stranger", nil), "it is not signed by a key that the source accepts"},
		"garbage":          {func(*team) string { return "x.y.z" }, "it is not signed by a key that the source accepts"},
		"empty":            {func(*team) string { return "" }, "it is not signed by a key that the source accepts"},
		"a request":        {func(m *team) string { return m.sign("bob", wire.TypeRequest, claims(m, nil)) }, "it is not signed by a key that the source accepts"},
		"claims of another type": {func(m *team) string {
			return m.sign("bob", wire.TypeApproval, map[string]any{"iat": "x"})
		}, `the token's claims: member "iat" is of a wrong type`},
	} {
		t.Run(name, func(t *testing.T) {
			m := newTeam(t, "alice", "bob")
			m.source.Shell.Require = 1
			_, err := m.open("alice", sh, c.tok(m))
			needs(t, err, 1, 0, m.digest("alice", sh), "counter-signature 1 does not count: "+c.text)
			if len(m.used) > 0 {
				t.Error("it was used up")
			}
			// Beside a good one it does no harm.
			if _, err := m.open("alice", sh, c.tok(m), m.approve("bob", m.digest("alice", sh))); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSameKeyTwice(t *testing.T) {
	m := newTeam(t, "alice", "bob")
	m.source.Shell.Require = 2
	digest := m.digest("alice", wire.Shell{})
	_, err := m.open("alice", wire.Shell{}, m.approve("bob", digest), m.approve("bob", digest))
	needs(t, err, 2, 1, digest, "counter-signature 2 does not count: it is by the same key as one before")
}

// TestApprovalIsForOneRequest: whatever the digest covers, a counter-signature
// for one value is none for another.
func TestApprovalIsForOneRequest(t *testing.T) {
	m := newTeam(t, "alice", "bob", "carol")
	m.source.Shell.Require, m.source.Shell.DetachFor = 1, time.Hour
	base := wire.Shell{Args: []string{"id", "-u"}, Env: map[string]string{"TICKET": "1"}}
	for name, sh := range map[string]wire.Shell{
		"command":          {Command: "id -u", Env: base.Env},
		"arguments":        {Args: []string{"id", "-g"}, Env: base.Env},
		"joined arguments": {Args: []string{"id -u"}, Env: base.Env},
		"terminal":         {Args: base.Args, Env: base.Env, PTY: true},
		"to be left":       {Args: base.Args, Env: base.Env, Detach: true},
		"process":          {Args: base.Args, Env: base.Env, Process: "top"},
		"variable":         {Args: base.Args, Env: map[string]string{"TICKET": "2"}},
		"ignored variable": {Args: base.Args, Env: map[string]string{"TICKET": "1", "X": "2"}},
	} {
		_, err := m.open("alice", sh, m.approve("bob", m.digest("alice", base)))
		if errs.CodeOf(err) != wire.CodeApproval || !strings.Contains(err.Error(), "for another request") {
			t.Errorf("%s: %v", name, err)
		}
	}
	tok := m.approve("bob", m.digest("alice", base))
	if _, err := m.open("carol", base, tok); errs.CodeOf(err) != wire.CodeApproval {
		t.Errorf("another opener: %v", err)
	}
	x := m.context()
	x.Node = "SHA256:other"
	if _, err := m.policy().Open(m.identity("alice"), m.claims(base, tok), x); errs.CodeOf(err) != wire.CodeApproval {
		t.Errorf("another node: %v", err)
	}
	c := m.claims(base, tok)
	_, other, err := token.NewConfirm()
	if err != nil {
		t.Fatal(err)
	}
	c.Confirm = &other
	if _, err := m.policy().Open(m.identity("alice"), c, m.context()); errs.CodeOf(err) != wire.CodeApproval {
		t.Errorf("another session key: %v", err)
	}
	if _, err := m.open("alice", base, tok); err != nil {
		t.Errorf("the request itself: %v", err)
	}
}

// TestApprovalsComeLast: nothing is used up for what is refused anyway, and a
// request that is malformed says so.
func TestApprovalsComeLast(t *testing.T) {
	m := newTeam(t, "alice", "bob")
	m.source.Shell.Require = 1
	sh := wire.Shell{}
	tok := m.approve("bob", m.digest("alice", sh))
	m.source.Shell.Rule = compile(t, "false")
	_, err := m.open("alice", sh, tok)
	refused(t, err, wire.CodeDenied, "(shell.rule)")
	m.source.Shell.Rule = nil

	c := m.claims(sh, tok)
	c.Confirm = nil
	_, err = m.policy().Open(m.identity("alice"), c, m.context())
	refused(t, err, wire.CodeBadRequest, "no cnf")
	bad := m.confirm
	bad.JWK.Curve = "X25519"
	c.Confirm = &bad
	_, err = m.policy().Open(m.identity("alice"), c, m.context())
	refused(t, err, wire.CodeBadRequest, "cnf")
	_, err = m.open("alice", sh, slices.Repeat([]string{tok}, wire.MaxApprovals+1)...)
	refused(t, err, wire.CodeBadRequest, "9 counter-signatures are given; the limit is 8")
	if len(m.used) != 0 {
		t.Errorf("used up: %v", slices.Collect(maps.Keys(m.used)))
	}
	if _, err := m.open("alice", sh, tok); err != nil {
		t.Error(err)
	}
}

// TestUseFails: the node's own trouble is no fault of the counter-signature, and
// one that somebody else uses at this moment does not count.
func TestUseFails(t *testing.T) {
	m := newTeam(t, "alice", "bob", "carol")
	m.source.Shell.Require = 1
	sh := wire.Shell{}
	digest := m.digest("alice", sh)
	claims := m.claims(sh, m.approve("bob", digest), m.approve("carol", digest))
	x := m.context()
	x.Once, x.Used = func(string, time.Time) error { return fmt.Errorf("%w: disk", token.ErrUnready) }, nil
	if _, err := m.policy().Open(m.identity("alice"), claims, x); errs.CodeOf(err) != wire.CodeUnready {
		t.Errorf("%v", err)
	}
	x.Once = nil
	if _, err := m.policy().Open(m.identity("alice"), claims, x); errs.CodeOf(err) != wire.CodeUnready {
		t.Errorf("without a journal: %v", err)
	}
	calls := 0
	x.Once = func(string, time.Time) error {
		if calls++; calls == 1 {
			return token.ErrReplayed
		}
		return nil
	}
	if g, err := m.policy().Open(m.identity("alice"), claims, x); err != nil || !g.Starts() || calls != 2 {
		t.Errorf("after %d uses: %v", calls, err)
	}
	x.Once = func(string, time.Time) error { return token.ErrReplayed }
	_, err := m.policy().Open(m.identity("alice"), claims, x)
	needs(t, err, 1, 0, digest, "counter-signature 1 does not count: it was used before", "counter-signature 2 does not count: it was used before")
}
