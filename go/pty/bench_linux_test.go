package pty

import (
	"fmt"
	"io"
	"testing"
)

// From Start to the first byte of a program that prints one, and its teardown.
func BenchmarkStart(b *testing.B) {
	for _, c := range []struct {
		name     string
		terminal bool
		cgroup   string
	}{{"pipes", false, ""}, {"terminal", true, ""}, {"terminal-cgroup", true, FindCgroup()}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				s := newSpec("/bin/echo", "x")
				s.Terminal, s.Cgroup = c.terminal, c.cgroup
				p, err := Start(s)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := p.Output().Read(make([]byte, 1)); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				<-p.Done()
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func BenchmarkClose(b *testing.B) {
	for _, cgroup := range []string{"", FindCgroup()} {
		b.Run(fmt.Sprintf("cgroup=%v", cgroup != ""), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := newSpec("/bin/cat")
				s.Cgroup = cgroup
				p, err := Start(s)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, terminal := range []bool{false, true} {
		b.Run(fmt.Sprintf("terminal=%v", terminal), func(b *testing.B) {
			const size = 64 << 20
			b.SetBytes(size)
			for b.Loop() {
				s := shell(fmt.Sprintf("stty raw 2>/dev/null; exec head -c %d /dev/zero", size))
				s.Terminal = terminal
				p := start(b, s)
				n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{p.Output()}, make([]byte, 64<<10))
				if n != size || err != nil && !IsEnd(err) {
					b.Fatal(n, err)
				}
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, terminal := range []bool{false, true} {
		b.Run(fmt.Sprintf("terminal=%v", terminal), func(b *testing.B) {
			const size = 64 << 20
			b.SetBytes(size)
			data := make([]byte, 64<<10)
			for b.Loop() {
				s := shell(fmt.Sprintf("stty raw -echo 2>/dev/null; echo ready; exec head -c %d >/dev/null", size))
				s.Terminal = terminal
				p := start(b, s)
				linesOf(b, p.Output()).next()
				for range size / len(data) {
					if _, err := p.Write(data); err != nil {
						b.Fatal(err)
					}
				}
				<-p.Done()
				if err := p.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
