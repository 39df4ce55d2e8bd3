package client_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"etcha/go/wire"
)

const bulk = 20 << 20

// sizeFor keeps the test with the race detector within minutes.
func sizeFor(how over) int {
	if how == overHTTP2 {
		return bulk
	}
	return bulk / 5
}

// noise is n bytes that are the same for a seed.
func noise(seed uint64, n int) io.Reader {
	var key [32]byte
	key[0] = byte(seed)
	return io.LimitReader(rand.NewChaCha8(key), int64(n))
}

func hashOf(t testing.TB, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return string(h.Sum(nil))
}

func TestBulkOut(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		n := newNode(t, func(p *program) wire.Exit {
			if _, err := io.Copy(p, noise(1, sizeFor(how))); err != nil {
				t.Error(err)
			}
			return exited
		}).start(how)
		h := sha256.New()
		s := open(t, newClient(t, n.options()), wire.Shell{}, h, nil)
		mustExit(t, s, exited)
		if string(h.Sum(nil)) != hashOf(t, noise(1, sizeFor(how))) {
			t.Error("the output differs")
		}
		p := n.only()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.acks > sizeFor(how)/wire.AckEvery+1 {
			t.Errorf("%d acknowledgements for %d bytes", p.acks, sizeFor(how))
		}
		if p.maxAhead > n.window {
			t.Errorf("%d bytes unacknowledged", p.maxAhead)
		}
	})
}

func TestBulkIn(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		var got string
		n := newNode(t, func(p *program) wire.Exit {
			got = hashOf(t, p)
			return exited
		}).start(how)
		s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
		if _, err := io.Copy(s, noise(2, sizeFor(how))); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		mustExit(t, s, exited)
		if got != hashOf(t, noise(2, sizeFor(how))) {
			t.Error("the input differs")
		}
		if posts := n.asked(wire.OpInput); posts > 3*sizeFor(how)/wire.MaxInput {
			t.Errorf("%d requests for %d bytes of input", posts, sizeFor(how))
		}
	})
}

// Both ways at once, through a program that answers what it reads.
func TestBulkBothWays(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	h := sha256.New()
	s := open(t, newClient(t, n.options()), wire.Shell{}, h, nil)
	if _, err := io.Copy(s, noise(3, bulk/4)); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
	if string(h.Sum(nil)) != hashOf(t, noise(3, bulk/4)) {
		t.Error("the output differs")
	}
}

// Many small writes are gathered while requests are under way.
func TestSmallWritesAreGathered(t *testing.T) {
	var got bytes.Buffer
	release := make(chan struct{})
	n := newNode(t, func(p *program) wire.Exit {
		_, _ = io.Copy(&got, p)
		return exited
	})
	n.fault = func(_ http.ResponseWriter, c *wire.Claims) bool {
		if c.Shell.Op == wire.OpInput {
			<-release
		}
		return false
	}
	n.start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
	const writes = 5000
	for i := range writes {
		if _, err := s.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
	if posts := n.asked(wire.OpInput); posts > 12 {
		t.Errorf("%d requests for %d small writes", posts, writes)
	}
	if got.Len() != writes {
		t.Fatalf("%d bytes arrived", got.Len())
	}
	for i, b := range got.Bytes() {
		if b != byte(i) {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
}

// A program that does not read stops the writer, and only that.
func TestWriteBlocksWithoutRoom(t *testing.T) {
	read := make(chan struct{})
	total := 0
	n := newNode(t, func(p *program) wire.Exit {
		<-read
		k, _ := io.Copy(io.Discard, p)
		total = int(k)
		return exited
	})
	n.room = 256 << 10
	n.start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
	const size = 2 << 20
	var writer sync.WaitGroup
	writer.Go(func() {
		if k, err := s.Write(make([]byte, size)); k != size || err != nil {
			t.Errorf("wrote %d: %v", k, err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	n.waitAccepted(n.room)
	if err := s.Signal("WINCH"); err != nil { // goes past the input
		t.Fatal(err)
	}
	close(read)
	writer.Wait()
	mustExit(t, s, exited)
	if total != size {
		t.Errorf("%d bytes arrived", total)
	}
}

// Without events about room the client asks.
func TestRoomIsAskedFor(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit {
		k, _ := io.Copy(io.Discard, p)
		return wire.Exit{Code: int(k >> 10), Reason: wire.ReasonExited}
	})
	n.room, n.quiet = 64<<10, true
	n.start(overHTTP2)
	c := newClient(t, n.options())
	c.ShortWaits(time.Millisecond)
	s := open(t, c, wire.Shell{}, nil, nil)
	if _, err := s.Write(make([]byte, 200<<10)); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, wire.Exit{Code: 200, Reason: wire.ReasonExited})
}

// A writer that blocks slows the program: at most a window is under way, and
// nothing is dropped.
func TestSlowWriter(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		n := newNode(t, func(p *program) wire.Exit {
			_, _ = io.Copy(p, noise(4, 3<<20))
			return exited
		})
		n.window = 256 << 10
		n.start(how)
		w := &gate{open: make(chan struct{})}
		s := open(t, newClient(t, n.options()), wire.Shell{}, w, nil)
		p := n.only()
		p.wait(func() bool { return p.head >= n.window })
		if err := s.Signal("INT"); err != nil { // still gets through
			t.Fatal(err)
		}
		if acked := n.locked(func() uint64 { return p.acked }); acked != 0 {
			t.Errorf("%d bytes acknowledged that nobody took", acked)
		}
		close(w.open)
		mustExit(t, s, exited)
		if hashOf(t, &w.b) != hashOf(t, noise(4, 3<<20)) {
			t.Error("the output differs")
		}
		if ahead := n.locked(func() uint64 { return p.maxAhead }); ahead > n.window {
			t.Errorf("%d bytes unacknowledged, the window is %d", ahead, n.window)
		}
	})
}

// gate is a writer that blocks until it is opened.
type gate struct {
	open chan struct{}
	b    bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	return g.b.Write(p)
}

// On a long path acknowledgements do not wait for one another.
func TestAcknowledgementsOverlap(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit {
		_, _ = io.Copy(p, noise(7, int(wire.DefaultWindow)))
		p.wait(func() bool { return p.acked > wire.DefaultWindow/2 })
		return exited
	})
	n.fault = times(1, wire.OpAck, func(http.ResponseWriter, *wire.Claims) bool {
		p := n.only()
		p.wait(func() bool { return p.acked > wire.DefaultWindow/2 })
		return false
	})
	n.start(overHTTP2)
	mustExit(t, open(t, newClient(t, n.options()), wire.Shell{}, nil, nil), exited)
}

// A window below the usual step of acknowledgements does not stop the stream.
func TestSmallWindow(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit {
		_, _ = io.Copy(p, noise(5, 200<<10))
		return exited
	})
	n.window = 1000
	n.start(overHTTP2)
	h := sha256.New()
	mustExit(t, open(t, newClient(t, n.options()), wire.Shell{}, h, nil), exited)
	if string(h.Sum(nil)) != hashOf(t, noise(5, 200<<10)) {
		t.Error("the output differs")
	}
}
