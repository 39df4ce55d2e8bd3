package client_test

import (
	"io"
	"testing"

	"etcha/go/wire"
)

// The fake node verifies every token, as a real one does, in this process.

func BenchmarkEcho(b *testing.B) {
	for _, how := range []over{overHTTP, overHTTP1, overHTTP2} {
		b.Run(string(how), func(b *testing.B) {
			n := newNode(b, cat).start(how)
			echoed := make(chan struct{}, 1)
			s := open(b, newClient(b, n.options()), wire.Shell{PTY: true}, signalling{echoed}, nil)
			key := []byte("x")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Write(key); err != nil {
					b.Fatal(err)
				}
				<-echoed
			}
		})
	}
}

type signalling struct{ c chan struct{} }

func (s signalling) Write(p []byte) (int, error) {
	s.c <- struct{}{}
	return len(p), nil
}

func BenchmarkBulkOut(b *testing.B) {
	for _, how := range []over{overHTTP, overHTTP1, overHTTP2} {
		b.Run(string(how), func(b *testing.B) {
			size := int64(b.N) << 20
			n := newNode(b, func(p *program) wire.Exit {
				buf := make([]byte, 32<<10)
				for left := size; left > 0; left -= int64(len(buf)) {
					if _, err := p.Write(buf); err != nil {
						b.Error(err)
					}
				}
				return exited
			}).start(how)
			c := newClient(b, n.options())
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			b.ResetTimer()
			mustExit(b, open(b, c, wire.Shell{}, io.Discard, nil), exited)
		})
	}
}

func BenchmarkBulkIn(b *testing.B) {
	for _, how := range []over{overHTTP, overHTTP1, overHTTP2} {
		b.Run(string(how), func(b *testing.B) {
			n := newNode(b, func(p *program) wire.Exit {
				_, _ = io.Copy(io.Discard, p)
				return exited
			}).start(how)
			s := open(b, newClient(b, n.options()), wire.Shell{}, nil, nil)
			buf := make([]byte, 1<<20)
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := s.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.CloseWrite(); err != nil {
				b.Fatal(err)
			}
			mustExit(b, s, exited)
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	n := newNode(b, func(*program) wire.Exit { return exited }).start(overHTTP2)
	c := newClient(b, n.options())
	for b.Loop() {
		s := open(b, c, wire.Shell{PTY: true}, nil, nil)
		mustExit(b, s, exited)
	}
}
