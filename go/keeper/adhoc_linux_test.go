package keeper

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"context"
)

func pss(pid string) string {
	b, _ := os.ReadFile("/proc/" + pid + "/smaps_rollup")
	var out []string
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, "Pss") || strings.HasPrefix(l, "Rss") {
			out = append(out, strings.Join(strings.Fields(l), " "))
		}
	}
	return strings.Join(out, "; ")
}

func TestAdhocMemory(t *testing.T) {
	k, _ := newKeeper(t)
	pid := fmt.Sprint(k.c.pid)
	fmt.Println("before keeper", pss(pid))
	fmt.Println("before daemon", pss("self"))
	const n = 500
	sessions := make([]*Session, n)
	begin := time.Now()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < n; i += 4 {
				s, err := k.Start(context.Background(), shell(t, fmt.Sprintf("m%d", i), "echo hello; exec cat"))
				if err != nil {
					t.Error(err)
					return
				}
				sessions[i] = s
				rd := follow(t, s)
				rd.buf = make([]byte, 512)
				rd.until("hello")
			}
		})
	}
	wg.Wait()
	fmt.Println("opened", n, time.Since(begin))
	runtime.GC()
	time.Sleep(time.Second)
	fmt.Println("idle keeper", pss(pid))
	fmt.Println("idle daemon", pss("self"))
	fmt.Println("fds", func() int { e, _ := os.ReadDir("/proc/" + pid + "/fd"); return len(e) }())
	for _, s := range sessions {
		defer s.Release()
	}
	cpu := func() string { b, _ := os.ReadFile("/proc/" + pid + "/stat"); f := strings.Fields(string(b)); return f[13] + "+" + f[14] }
	a := cpu()
	time.Sleep(5 * time.Second)
	fmt.Println("cpu ticks in 5s", a, cpu())
}
