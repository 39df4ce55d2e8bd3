//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"etcha"
	"etcha/go/e2e/testkit"
)

// soaking wants make soak: these tests take long, and what they print counts.
func soaking(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(os.Getenv("ETCHA_SOAK"))
	if err != nil {
		t.Skip("make soak runs this")
	}
	return d
}

// usage is what a process has taken.
type usage struct {
	pss int           // KiB
	cpu time.Duration // since its start
}

func usageOf(t *testing.T, pid int) usage {
	t.Helper()
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	must(t, err)
	var u usage
	for line := range strings.Lines(string(rollup)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
			u.pss, err = strconv.Atoi(f[1])
			must(t, err)
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	const ticks = 100 // a second: USER_HZ
	for _, field := range f[11:13] {
		n, err := strconv.Atoi(field)
		must(t, err)
		u.cpu += time.Duration(n) * time.Second / ticks
	}
	return u
}

// A thousand idle sessions: what each costs, and that it does not grow.
func TestSoakIdleSessions(t *testing.T) {
	long := soaking(t)
	const total = 1000
	key, public := testkit.Keys(t, bin)
	n := testkit.NewNode(t, bin, "127.0.0.1", testkit.Settings{
		"cli": testkit.Settings{"logLevel": "warn"},
		"run": testkit.Settings{"verifyKeys": []string{public}, "maxSessions": total + 10, "maxSessionsPerKey": total + 10},
		"sources": testkit.Settings{"debug": testkit.Settings{
			"shell": testkit.Settings{"command": "/bin/sleep 100000", "idleTimeout": "0s"},
		}},
	})
	signer, err := etcha.ParseKey(key, nil)
	must(t, err)
	c, err := etcha.NewClient(etcha.Options{URL: "https://" + n.Addr, Signer: signer, NodeID: n.ID})
	must(t, err)
	defer c.Close()
	open := func() *etcha.Session {
		s, err := c.Open(t.Context(), etcha.Request{Source: "debug", PTY: true, Cols: 80, Rows: 24})
		must(t, err)
		return s
	}
	all := []*etcha.Session{open()}
	bare := map[string]usage{"daemon": usageOf(t, n.Pid()), "keeper": usageOf(t, n.Keeper())}
	for len(all) < total {
		all = append(all, open())
	}
	time.Sleep(30 * time.Second) // what opening took is given back
	first := map[string]usage{"daemon": usageOf(t, n.Pid()), "keeper": usageOf(t, n.Keeper())}
	for name, u := range first {
		t.Logf("%s: %d KiB without sessions, %d KiB with %d: %.1f KiB for each",
			name, bare[name].pss, u.pss, total, float64(u.pss-bare[name].pss)/total)
	}
	began := time.Now()
	for time.Since(began) < long {
		time.Sleep(min(time.Minute, long))
		t.Logf("after %s: daemon %d KiB, keeper %d KiB", time.Since(began).Round(time.Second), usageOf(t, n.Pid()).pss, usageOf(t, n.Keeper()).pss)
	}
	for name, pid := range map[string]int{"daemon": n.Pid(), "keeper": n.Keeper()} {
		u := usageOf(t, pid)
		cpu := u.cpu - first[name].cpu
		t.Logf("%s: %d KiB at the end; CPU %.3f %% of one core, %.2f µs a second for each session",
			name, u.pss, 100*cpu.Seconds()/time.Since(began).Seconds(), float64(cpu.Microseconds())/time.Since(began).Seconds()/total)
		if grown := u.pss - first[name].pss; grown > first[name].pss/10 {
			t.Errorf("%s has grown by %d KiB", name, grown)
		}
	}
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { _ = s.Close() })
	}
	wg.Wait()
}
