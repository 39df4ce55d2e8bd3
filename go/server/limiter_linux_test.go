package server

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

type fakeClock struct{ t time.Time }

func (c *fakeClock) now() time.Time { return c.t }

func TestAllowance(t *testing.T) {
	for _, c := range []struct {
		text   string
		perSec float64
		burst  int
	}{{"10/s", 10, 10}, {"300/m", 5, 300}, {"3600/h", 1, 3600}, {"off", 0, 0}, {"", 0, 0}} {
		a, err := allowanceOf(c.text)
		if err != nil || float64(a.rate) != c.perSec || a.burst != c.burst {
			t.Errorf("%q: %+v, %v", c.text, a, err)
		}
	}
	for _, bad := range []string{"10", "0/s", "-1/s", "10/d", "x/s", "/"} {
		if a, err := allowanceOf(bad); err == nil {
			t.Errorf("%q is accepted as %+v", bad, a)
		}
	}
}

func TestOnlyFailuresDrain(t *testing.T) {
	c := &fakeClock{t: time.Unix(1000, 0)}
	l := newLimiter(allowance{rate: 1, burst: 3}, c.now)
	bad, good := addr("192.0.2.1"), addr("192.0.2.2")
	for i := range 3 {
		if l.limited(bad) {
			t.Fatalf("limited after %d failures", i)
		}
		if emptied := l.failed(bad); emptied != (i == 2) {
			t.Errorf("failure %d: emptied %v", i, emptied)
		}
	}
	if !l.limited(bad) || l.limited(good) {
		t.Fatal("the wrong address is limited")
	}
	if l.failed(bad) {
		t.Error("an empty bucket was emptied")
	}
	for range 100 {
		l.limited(good)
	}
	if l.limited(good) {
		t.Error("asking drains")
	}
	c.t = c.t.Add(time.Second)
	if l.limited(bad) {
		t.Error("the bucket does not fill")
	}
	l.set(allowance{})
	for range 10 {
		l.failed(bad)
	}
	if l.limited(bad) {
		t.Error("limited although switched off")
	}
}

func TestLimiterForgets(t *testing.T) {
	l := newLimiter(allowance{rate: 1, burst: 1}, func() time.Time { return time.Unix(1000, 0) })
	first := addr("10.0.0.0")
	l.failed(first)
	a := first
	for range limiterAddresses {
		a = a.Next()
		l.failed(a)
	}
	if l.addresses() != limiterAddresses || l.limited(first) || !l.limited(a) {
		t.Errorf("%d addresses, first limited %v, last %v", l.addresses(), l.limited(first), l.limited(a))
	}
}

func TestSlowLane(t *testing.T) {
	l := newLimiter(allowance{rate: 1, burst: 1}, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	bad := addr("192.0.2.1")
	done, err := l.slow(ctx, bad)
	if err != nil {
		t.Fatal(err)
	}
	// One is in the lane; as many as may wait do.
	results := make(chan error, laneWaitingEach)
	for range laneWaitingEach {
		go func() {
			done, err := l.slow(ctx, bad)
			if err == nil {
				done()
			}
			results <- err
		}()
	}
	for waiting := 0; waiting < laneWaitingEach; {
		l.mu.Lock()
		waiting = l.waiting
		l.mu.Unlock()
	}
	if _, err := l.slow(ctx, bad); !errors.Is(err, errLane) {
		t.Fatalf("a full queue lets in: %v", err)
	}
	// Another address still may wait, and gets its turn.
	other := make(chan error, 1)
	go func() {
		done, err := l.slow(ctx, addr("192.0.2.2"))
		if err == nil {
			done()
		}
		other <- err
	}()
	done()
	for range laneWaitingEach {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	if err := <-other; err != nil {
		t.Fatal(err)
	}
	if l.waiting != 0 || len(l.lane) != 0 {
		t.Errorf("%d wait, %d in the lane", l.waiting, len(l.lane))
	}
}

func TestSlowLaneGivesUp(t *testing.T) {
	l := newLimiter(allowance{rate: 1, burst: 1}, time.Now)
	done, err := l.slow(t.Context(), addr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := fmt.Errorf("the client is gone")
	cancel(gone)
	if _, err := l.slow(ctx, addr("192.0.2.1")); !errors.Is(err, gone) {
		t.Fatalf("got %v", err)
	}
	if l.waiting != 0 {
		t.Errorf("%d still wait", l.waiting)
	}
}
