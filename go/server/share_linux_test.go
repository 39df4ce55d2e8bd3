package server

import (
	"testing"

	"etcha/go/errs"
	"etcha/go/wire"
)

// A key in a hurry is stopped, and another one is not.
func TestShares(t *testing.T) {
	s := newShares()
	fast, slow := newPrivate(t, "ed25519", "fast").Public(), newPrivate(t, "ed25519", "slow").Public()
	refused := 0
	for range 3 * usesBurst {
		if err := s.take(fast); err != nil {
			if errs.CodeOf(err) != wire.CodeLimited {
				t.Fatal(err)
			}
			refused++
		}
	}
	if refused == 0 {
		t.Error("it is never stopped")
	}
	if err := s.take(slow); err != nil {
		t.Errorf("the other one: %v", err)
	}
	for range usersKept {
		if err := s.take(newPrivate(t, "ed25519", "x").Public()); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.keys) > usersKept+1 {
		t.Errorf("%d keys are kept", len(s.keys))
	}
}
