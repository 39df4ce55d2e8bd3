package cli

import (
	"testing"

	"etcha/go/wire"
)

// TestOneSessionUnderTwoNames: two targets may lead to one node.
func TestOneSessionUnderTwoNames(t *testing.T) {
	info := func(id string) wire.SessionInfo {
		return wire.SessionInfo{Session: id, State: wire.SessionDetached}
	}
	direct, proxied, other := &node{id: "SHA256:a"}, &node{id: "SHA256:a"}, &node{id: "SHA256:b"}
	all := []found{
		{direct, info("abcdefghij-first")}, {proxied, info("abcdefghij-first")}, {other, info("bcdefghijk-other")},
	}
	if n := shortest(all); n != shortID {
		t.Errorf("%d characters tell them apart, want %d", n, shortID)
	}
	q := &search{nodes: nodes{direct, proxied, other}}
	if f, err := q.one(all, "abcd", false); err != nil || f.node != direct {
		t.Errorf("got %+v, %v", f, err)
	}

	elsewhere := append(all, found{other, info("abcdefghij-other")})
	if _, err := q.one(elsewhere, "abcd", false); err == nil {
		t.Error("one of two sessions is taken")
	}
	if n := shortest(elsewhere); n != len("abcdefghij-f") {
		t.Errorf("%d characters tell them apart", n)
	}
}

func TestEndedSessionTellsItsStatus(t *testing.T) {
	n := &node{where: place{name: "myhost"}}
	over := wire.SessionInfo{Session: "abcdefghij", State: wire.SessionEnded, Exit: &wire.Exit{Code: 9, Reason: wire.ReasonExited}}
	_, err := (&search{nodes: nodes{n}}).one([]found{{n, over}}, "abcd", false)
	if err == nil || err.Error() != "session abcdefghij on myhost has ended, exit status 9" {
		t.Errorf("got %v", err)
	}
	if f, err := (&search{nodes: nodes{n}}).one([]found{{n, over}}, "abcd", true); err != nil || f.info.Session != over.Session {
		t.Errorf("got %+v, %v", f, err)
	}
}
