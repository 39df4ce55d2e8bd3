package sse_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"etcha/go/sse"
)

func BenchmarkWriterOutput(b *testing.B) {
	for _, size := range []int{1, 4 << 10, sse.MaxFrame, 64 << 10} {
		b.Run(byteName(size), func(b *testing.B) {
			w := sse.NewWriter(io.Discard, func() error { return nil })
			raw := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := range b.N {
				if err := errors.Join(w.Output("output", uint64(i), raw), w.Flush()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{1, 4 << 10, sse.MaxFrame} {
		b.Run(byteName(size), func(b *testing.B) {
			var one bytes.Buffer
			w := sse.NewWriter(&one, nil)
			must(b, w.Output("output", 1<<40, make([]byte, size)))
			must(b, w.Flush())
			r := sse.NewReader(&endless{one: one.Bytes()})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func byteName(n int) string {
	if n < 1<<10 {
		return string(rune('0'+n)) + "B"
	}
	return string(rune('0'+n>>10/10)) + string(rune('0'+n>>10%10)) + "KiB"
}

// endless repeats one event in reads as large as a TLS record.
type endless struct {
	one []byte
	at  int
}

func (e *endless) Read(p []byte) (int, error) {
	p = p[:min(len(p), 16<<10)]
	n := 0
	for n < len(p) {
		c := copy(p[n:], e.one[e.at:])
		n += c
		e.at = (e.at + c) % len(e.one)
	}
	return n, nil
}
