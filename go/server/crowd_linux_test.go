package server

import (
	"net/netip"
	"slices"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestCrowdPutsOutTheOldestOfTheLargest(t *testing.T) {
	c := newCrowd(5, 3)
	var out []string
	enter := func(name, from string) *place {
		return c.enter(addr(from), func() { out = append(out, name) })
	}
	enter("a1", "192.0.2.1")
	a2 := enter("a2", "192.0.2.1")
	enter("a3", "192.0.2.1")
	enter("a4", "192.0.2.1") // one address is full
	enter("b1", "192.0.2.2")
	enter("b2", "192.0.2.2")
	enter("c1", "192.0.2.3") // all is full: a has most
	if want := []string{"a1", "a2"}; !slices.Equal(out, want) {
		t.Fatalf("put out %v, want %v", out, want)
	}
	a2.leave() // was put out before
	if c.size() != 5 {
		t.Fatalf("%d inside, want 5", c.size())
	}
}

func TestCrowdLeave(t *testing.T) {
	c := newCrowd(2, 2)
	evicted := 0
	p := c.enter(addr("2001:db8::1"), func() { evicted++ })
	q := c.enter(addr("2001:db8::2"), func() { evicted++ })
	p.leave()
	p.leave()
	(*place)(nil).leave()
	if c.size() != 1 {
		t.Fatalf("%d inside, want 1", c.size())
	}
	c.enter(addr("2001:db8::3"), func() { evicted++ })
	if evicted != 0 {
		t.Fatal("put out although there was room")
	}
	q.leave()
	c.enter(addr("2001:db8::4"), nil).leave()
	c.enter(addr("2001:db8::3"), nil).leave()
	if evicted != 0 || c.size() != 1 {
		t.Fatalf("%d put out, %d inside", evicted, c.size())
	}
	if len(c.addrs) != 1 {
		t.Fatalf("%d addresses remembered", len(c.addrs))
	}
}
