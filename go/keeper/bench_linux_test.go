package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"etcha/go/pty"
	"etcha/go/wire"
)

// benchOut is the output of a bulk benchmark, bytes.
const benchOut = 50 << 20

// bulkSpec writes benchOut bytes to its terminal.
func bulkSpec(b *testing.B) pty.Spec {
	s := shell(b, "bulk", fmt.Sprintf("stty raw -echo; exec head -c %d /dev/zero", benchOut)).Spec
	s.Session = "bulk"
	return s
}

// BenchmarkBulkRaw is the floor: a terminal read directly.
func BenchmarkBulkRaw(b *testing.B) {
	buf := make([]byte, 64<<10)
	b.SetBytes(benchOut)
	before := cpuTime(b, os.Getpid())
	defer func() {
		b.ReportMetric((cpuTime(b, os.Getpid())-before).Seconds()*1e3/float64(b.N), "daemon-ms/op")
	}()
	for b.Loop() {
		p, err := pty.Start(bulkSpec(b))
		if err != nil {
			b.Fatal(err)
		}
		total := 0
		for err == nil {
			var n int
			n, err = p.Output().Read(buf)
			total += n
		}
		if !pty.IsEnd(err) || total != benchOut {
			b.Fatalf("%d bytes, %v", total, err)
		}
		<-p.Done()
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// cpuTime is what a process has used so far.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	var clock int32 = int32(^pid<<3 | 2) // CPUCLOCK_SCHED of a process, clock_getres(2)
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkBulk is the same through a keeper process.
func BenchmarkBulk(b *testing.B) {
	k, _ := newKeeper(b)
	b.SetBytes(benchOut)
	keeper, daemon := cpuTime(b, k.c.peer.PID), cpuTime(b, os.Getpid())
	defer func() {
		b.ReportMetric((cpuTime(b, k.c.peer.PID)-keeper).Seconds()*1e3/float64(b.N), "keeper-ms/op")
		b.ReportMetric((cpuTime(b, os.Getpid())-daemon).Seconds()*1e3/float64(b.N), "daemon-ms/op")
	}()
	for b.Loop() {
		s, err := k.Start(context.Background(), StartRequest{ID: "bulk", Spec: bulkSpec(b), Scrollback: wire.DefaultScrollback})
		if err != nil {
			b.Fatal(err)
		}
		rd := follow(b, s)
		rd.take = func([]byte, Kind) {}
		if rd.toExit(); rd.at != benchOut {
			b.Fatalf("%d bytes", rd.at)
		}
		<-s.Ended()
		if err := s.Forget(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// Idle between keys lets everything go to sleep, as typing does.
const keyGap = 2 * time.Millisecond

// BenchmarkEchoRaw is the floor of one key there and back.
func BenchmarkEchoRaw(b *testing.B) {
	spec := shell(b, "echo-raw", "stty raw -echo; echo; exec cat").Spec
	spec.Session = "echo-raw"
	p, err := pty.Start(spec)
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	buf := make([]byte, 16)
	if _, err := p.Output().Read(buf); err != nil {
		b.Fatal(err)
	}
	measureEcho(b, func() {
		if _, err := p.Write([]byte("x")); err != nil {
			b.Fatal(err)
		}
		if _, err := p.Output().Read(buf); err != nil && !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	})
}

// BenchmarkEcho is one key there and back through a keeper process.
func BenchmarkEcho(b *testing.B) {
	k, _ := newKeeper(b)
	s, err := k.Start(context.Background(), shell(b, "echo", "stty raw -echo; echo; exec cat"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Release()
	rd := follow(b, s)
	rd.ctx = context.Background()
	rd.until("\n")
	rd.take = func([]byte, Kind) {}
	at := uint64(0)
	key := []byte("x")
	measureEcho(b, func() {
		if _, err := s.Input(context.Background(), at, key, false); err != nil {
			b.Fatal(err)
		}
		at++
		for {
			if n, _ := rd.step(); n > 0 {
				return
			}
			rd.wait("echo")
		}
	})
}

// measureEcho reports the time of one exchange with idle gaps between.
func measureEcho(b *testing.B, exchange func()) {
	var all []time.Duration
	for b.Loop() {
		time.Sleep(keyGap)
		begin := time.Now()
		exchange()
		all = append(all, time.Since(begin))
	}
	reportQuantiles(b, all)
}

func reportQuantiles(b *testing.B, all []time.Duration) {
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1e3, "µs-p50")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1e3, "µs-p99")
}

// BenchmarkStart starts a session and ends it.
func BenchmarkStart(b *testing.B) {
	k, _ := newKeeper(b)
	for b.Loop() {
		s, err := k.Start(context.Background(), shell(b, "start", "exit 0"))
		if err != nil {
			b.Fatal(err)
		}
		<-s.Ended()
		if err := s.Forget(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInput sends 10 MB to a program that reads it.
func BenchmarkInput(b *testing.B) {
	k, _ := newKeeper(b)
	data := make([]byte, 10<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		s, err := k.Start(context.Background(), piped(b, "input", fmt.Sprintf("exec head -c %d >/dev/null", len(data))))
		if err != nil {
			b.Fatal(err)
		}
		send(b, s, data)
		<-s.Ended()
		if err := s.Forget(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
