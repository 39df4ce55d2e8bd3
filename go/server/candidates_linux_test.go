package server

import (
	"errors"
	"maps"
	"testing"

	"etcha/go/authz"
	"etcha/go/token"
	"etcha/go/wire"
)

// A refusal must cost as many signature checks for one source as for another,
// and for one that does not exist, whatever algorithm the token names.
func TestEveryListCostsTheSame(t *testing.T) {
	ed1, ed2 := newPrivate(t, "ed25519", "1").Public(), newPrivate(t, "ed25519", "2").Public()
	ec, rsa := newPrivate(t, "ecp256", "3").Public(), newPrivate(t, "rsa2048", "4").Public()
	shell := &authz.Shell{}
	c, err := newCandidates([]authz.Source{
		{Name: "a", Shell: shell, Keys: []token.PublicKey{ed1, ed2}},
		{Name: "b", Shell: shell, Keys: []token.PublicKey{ed1, ec}},
		{Name: "c", Shell: shell, Keys: []token.PublicKey{rsa}},
		{Name: "d", Shell: shell},
		{Name: "none", Keys: []token.PublicKey{ed1, ed2, ec, rsa}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"ed25519": 2, "ecp256": 1, "rsa2048": 1}
	for _, source := range []string{"a", "b", "c", "d", "none", "nothing"} {
		if got := count(c.open(source)); !maps.Equal(got, want) {
			t.Errorf("source %s: %v, want %v", source, got, want)
		}
	}
	// Inside a session: the source's keys, an opener's that it accepts no more, the session's own.
	want = map[string]int{"ed25519": 4, "ecp256": 2, "rsa2048": 2}
	for _, keys := range [][]token.PublicKey{nil, {ed1}, {ec, ed1}, {rsa, ed2}, {ed1, ed2}} {
		if got := count(c.session(keys...)); !maps.Equal(got, want) {
			t.Errorf("session of %d keys: %v, want %v", len(keys), got, want)
		}
	}
}

func TestDecoysVerifyNothing(t *testing.T) {
	alice := newPrivate(t, "ed25519", "alice")
	c, err := newCandidates([]authz.Source{{Name: "a", Shell: &authz.Shell{}, Keys: []token.PublicKey{
		alice.Public(), newPrivate(t, "ecp256", "x").Public(), newPrivate(t, "rsa2048", "y").Public(),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ed25519", "ecp256", "rsa2048"} {
		key := newPrivate(t, kind, "")
		if kind == "ed25519" {
			key = alice
		}
		tok, err := key.Sign(wire.TypeRequest, wire.Claims{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := token.Verify([]byte(tok), wire.TypeRequest, c.nobody); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %v", kind, err)
		}
		_, by, err := token.Verify([]byte(tok), wire.TypeRequest, c.open("a"))
		if ok := err == nil && by.Equal(alice.Public()); ok != (kind == "ed25519") {
			t.Errorf("%s by the source's list: %v", kind, err)
		}
	}
}
