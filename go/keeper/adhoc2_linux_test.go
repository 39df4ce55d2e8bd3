package keeper

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"testing"
	"context"
)

func TestAdhocHeap(t *testing.T) {
	k, _ := inProcess(t, nil)
	var a, b runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&a)
	g := runtime.NumGoroutine()
	const n = 200
	sessions := make([]*Session, n)
	for i := range n {
		s, err := k.Start(context.Background(), shell(t, fmt.Sprintf("m%d", i), "echo hello; exec cat"))
		if err != nil {
			t.Error(err)
			return
		}
		sessions[i] = s
	}
	for range 4 { debug.FreeOSMemory() }
	runtime.ReadMemStats(&b)
	fmt.Println("goroutines", float64(runtime.NumGoroutine()-g)/n)
	fmt.Println("heapinuse", (b.HeapInuse-a.HeapInuse)/n, "heapalloc", (b.HeapAlloc-a.HeapAlloc)/n, "objects", (b.HeapObjects-a.HeapObjects)/n, "stack", (b.StackInuse-a.StackInuse)/n, "sys", (b.Sys-a.Sys)/n)
	f, _ := os.Create("/tmp/keeper-heap.prof")
	pprof.WriteHeapProfile(f)
	f.Close()
	f, _ = os.Create("/tmp/keeper-gor.txt")
	pprof.Lookup("goroutine").WriteTo(f, 1)
	f.Close()
	for _, s := range sessions {
		defer s.Release()
	}
}
