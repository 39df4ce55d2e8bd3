package session

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"etcha/go/sse"
	"etcha/go/wire"
)

// BenchmarkEcho is one key: from the request's claims to the event, through the
// keeper and a terminal in raw mode.
func BenchmarkEcho(b *testing.B) {
	for _, obscure := range []wire.Obscure{wire.ObscureOff, wire.ObscureChaff} {
		b.Run(string(obscure), func(b *testing.B) { benchmarkEcho(b, obscure) })
	}
}

func benchmarkEcho(b *testing.B, obscure wire.Obscure) {
	n := newNode(b)
	n.source.Shell.Obscure = obscure
	n.r.o.Now = time.Now
	n.r.o.After = func(d time.Duration, f func()) func() {
		t := time.AfterFunc(d, f)
		return func() { t.Stop() }
	}
	s, v := n.runOnTerminal(`stty raw -echo; echo ready; exec cat`)
	v.session()
	v.until("ready")
	at := v.next
	for i := 0; b.Loop(); i++ {
		n.do(s, wire.Shell{Op: wire.OpInput, Offset: uint64(i), Data: []byte("x"), Ack: v.next})
		for v.next <= at {
			v.must(wire.EventOutput)
		}
		at = v.next
		v.text.Reset()
		v.both.Reset()
	}
}

// BenchmarkOutput is a flood, acknowledged as a client does, into nothing.
func BenchmarkOutput(b *testing.B) {
	n := newNode(b)
	n.r.o.Now = time.Now
	s := n.open(wire.Shell{Args: []string{"/bin/cat", "/dev/zero"}})
	ctx, cancel := context.WithCancel(testContext(b))
	var acked uint64
	flushed := make(chan struct{}, 1)
	w := sse.NewWriter(io.Discard, func() error {
		if read := s.stream.next; read >= acked+wire.AckEvery { // this is the stream's goroutine
			acked = read
			n.do(s, wire.Shell{Op: wire.OpAck, Ack: read})
		}
		poke(flushed)
		return nil
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Stream(ctx, w, Start{Tok: []byte(requestToken)}); !errors.Is(err, context.Canceled) {
			b.Error(err)
		}
		close(flushed)
	}()
	b.SetBytes(wire.AckEvery)
	target := s.state().Head
	for b.Loop() {
		for target += wire.AckEvery; s.state().Head < target; {
			<-flushed
		}
	}
	b.StopTimer()
	cancel()
	<-done
}

// BenchmarkAssembler is pieces of 4 KiB that arrive in pairs, the later one first.
func BenchmarkAssembler(b *testing.B) {
	const size = 4 << 10
	data := make([]byte, size)
	b.SetBytes(2 * size)
	b.ReportAllocs()
	var a assembler
	for next := uint64(0); b.Loop(); {
		a.add(next, piece{next + size, data})
		next += uint64(len(a.add(next, piece{next, data})))
	}
}
