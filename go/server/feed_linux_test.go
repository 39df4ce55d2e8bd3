package server

import (
	"testing"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/wire"
)

// One key cannot take the live lists of all others.
func TestFeedPlaces(t *testing.T) {
	f := newFeeds(nil)
	one, other := authz.Identity{Key: newPrivate(t, "ed25519", "").Public()}, authz.Identity{Key: newPrivate(t, "ed25519", "").Public()}
	var leave []func()
	for range maxFeedsEach {
		l, err := f.enter(one)
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	if _, err := f.enter(one); errs.CodeOf(err) != wire.CodeLimited {
		t.Errorf("one more: %v", err)
	}
	l, err := f.enter(other)
	if err != nil {
		t.Errorf("another key: %v", err)
	} else {
		l()
	}
	leave[0]()
	if _, err := f.enter(one); err != nil {
		t.Errorf("after one left: %v", err)
	}
	f.count = maxFeeds
	if _, err := f.enter(other); errs.CodeOf(err) != wire.CodeLimited {
		t.Errorf("of a full node: %v", err)
	}
}
