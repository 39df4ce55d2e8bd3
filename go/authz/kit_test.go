package authz_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/rule"
	"etcha/go/token"
	"etcha/go/wire"
)

const nodeID = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// noon is the node's time in tests: local, as rules have it.
func noon() time.Time { return time.Date(2026, time.January, 15, 12, 0, 0, 0, time.Local) }

func compile(t *testing.T, text string) *rule.Rule {
	t.Helper()
	r, err := rule.Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// team is a source that several may use, with what a test asks of it.
type team struct {
	t       *testing.T
	source  authz.Source
	labels  map[string]string
	keys    map[string]token.PrivateKey
	used    map[string]bool // journal of counter-signatures
	now     time.Time
	confirm wire.Confirmation
}

func newTeam(t *testing.T, names ...string) *team {
	t.Helper()
	m := &team{t: t, keys: map[string]token.PrivateKey{}, used: map[string]bool{}, now: noon(), labels: map[string]string{"stage": "prod"}}
	m.source = authz.Source{Name: "debug", Shell: &authz.Shell{
		Exec: authz.Exec{Argv: []string{"/bin/bash", "-l"}, User: "operator"}, AcceptEnv: []string{"TICKET"}, AllowCommand: true,
		Processes: map[string]authz.Exec{"top": {Argv: []string{"/usr/bin/top"}}}, ResumeFor: time.Minute,
	}}
	for _, name := range append(names, "stranger") {
		k, err := token.Generate(token.KindEd25519, name)
		if err != nil {
			t.Fatal(err)
		}
		m.keys[name] = k
	}
	for _, name := range names {
		m.source.Keys = append(m.source.Keys, m.keys[name].Public())
	}
	_, confirm, err := token.NewConfirm()
	if err != nil {
		t.Fatal(err)
	}
	m.confirm = confirm
	return m
}

func (m *team) policy() *authz.Policy { return authz.New([]authz.Source{m.source}, m.labels) }

func (m *team) identity(name string) authz.Identity {
	return authz.Identity{Key: m.keys[name].Public(), Subject: name + "'s label", Addr: netip.MustParseAddr("10.0.0.7")}
}

func (m *team) context() authz.Context {
	return authz.Context{Node: nodeID, Now: m.now, Once: func(id string, _ time.Time) error {
		if m.used[id] {
			return token.ErrReplayed
		}
		m.used[id] = true
		return nil
	}, Used: func(id string) bool { return m.used[id] }}
}

func (m *team) claims(sh wire.Shell, approvals ...string) wire.Claims {
	sh.Op = wire.OpOpen
	return wire.Claims{Source: "debug", Shell: &sh, Confirm: &m.confirm, Approvals: approvals}
}

func (m *team) open(name string, sh wire.Shell, approvals ...string) (authz.Grant, error) {
	return m.policy().Open(m.identity(name), m.claims(sh, approvals...), m.context())
}

// digest is that of the request as the opener's client would compute it.
func (m *team) digest(opener string, sh wire.Shell) string {
	return wire.NewOpenRequest(nodeID, m.keys[opener].Public().Thumbprint(), m.claims(sh)).Digest()
}

// approve is a counter-signature by name.
func (m *team) approve(name, digest string) string {
	m.t.Helper()
	c := wire.ApprovalClaims{IssuedAt: m.now.Unix(), Expires: m.now.Add(wire.ApprovalLife).Unix(), Digest: digest}
	tok, err := token.SignApproval(context.Background(), m.keys[name].Signer(), c)
	if err != nil {
		m.t.Fatal(err)
	}
	return tok
}

// sign is a counter-signature that SignApproval would not make.
func (m *team) sign(name, typ string, claims any) string {
	m.t.Helper()
	tok, err := m.keys[name].Sign(typ, claims)
	if err != nil {
		m.t.Fatal(err)
	}
	return tok
}

// refused checks a refusal: its code, a part of its public text, and that there
// is a hint where somebody can do something.
func refused(t *testing.T, err error, code wire.Code, text string) {
	t.Helper()
	if err == nil || errs.CodeOf(err) != code || !strings.Contains(err.Error(), text) {
		t.Errorf("%v (%s), want %s: %s", err, errs.CodeOf(err), code, text)
		return
	}
	if (code == wire.CodeDenied || code == wire.CodeApproval) && errs.HintOf(err) == "" {
		t.Errorf("%v has no hint", err)
	}
}
