//go:build linux

package e2e

import (
	"sync/atomic"
	"testing"
	"time"

	"etcha/go/e2e/testkit"
	"etcha/go/wire"
)

// An idle session is never silent for longer than the protocol says, and neither
// the sizes nor the gaps of what is sent give a pattern.
func TestKeepalivesOnTheWire(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	t.Parallel()
	key, public := testkit.Keys(t, bin)
	far := testkit.NewNode(t, bin, "127.0.0.1", testkit.Settings{
		"run": testkit.Settings{"verifyKeys": []string{public}},
		// Where the rhythm of typing is hidden, all that is sent has the sizes of an echo.
		"sources": testkit.Settings{"debug": testkit.Settings{"shell": testkit.Settings{"command": "/bin/bash --norc", "obscure": "off"}}},
	})
	proxy := testkit.NewProxy(t, far.Addr)
	x := testkit.NewTerminal(t, client(t, key, target(t, proxy.Addr))("shell", "debug", "myhost"), 80, 24)
	x.Expect("#")
	late := lateness(t)
	start := time.Now()
	testkit.Eventually(t, "a quiet moment after the prompt", func() bool { return time.Since(start) > time.Second })

	seen := len(proxy.Packets())
	const want = 9
	deadline := time.Now().Add((want + 2) * wire.KeepaliveMax)
	var down []testkit.Packet
	for len(down) < want {
		if time.Now().After(deadline) {
			t.Fatalf("only %d keepalives in %s", len(down), (want+2)*wire.KeepaliveMax)
		}
		time.Sleep(100 * time.Millisecond)
		down = down[:0]
		for _, p := range proxy.Packets()[seen:] {
			if !p.Up {
				down = append(down, p)
			}
		}
	}
	sizes, gaps := map[int]bool{}, map[time.Duration]bool{}
	last := start
	for i, p := range down {
		gap := p.At.Sub(last)
		last = p.At
		if gap > wire.KeepaliveMax+time.Duration(late.Load()) {
			t.Errorf("silence of %s before keepalive %d (this machine was late by %s)", gap, i, time.Duration(late.Load()))
		}
		sizes[p.Size] = true
		if i > 0 {
			gaps[gap.Round(100*time.Millisecond)] = true
		}
	}
	if len(sizes) < 3 || len(gaps) < 3 {
		t.Errorf("%d keepalives with only %d sizes and %d gaps", len(down), len(sizes), len(gaps))
	}
	x.Type("exit\r")
	if status := x.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// lateness measures how late this machine's timers fire at most, in nanoseconds.
func lateness(t *testing.T) *atomic.Int64 {
	t.Helper()
	var worst atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		const step = 20 * time.Millisecond
		for {
			begin := time.Now()
			select {
			case <-stop:
				return
			case <-time.After(step):
			}
			worst.Store(max(worst.Load(), int64(time.Since(begin)-step)))
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return &worst
}
