package client_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etcha/go/wire"
)

// hiding is a node that has the rhythm hidden and counts the decoys. Its program
// reads so many bytes.
func hiding(t *testing.T, mode wire.Obscure, how over, bytes uint64) (n *node, decoys *atomic.Int64) {
	t.Helper()
	decoys = new(atomic.Int64)
	n = newNode(t, func(p *program) wire.Exit {
		p.wait(func() bool { return p.accepted >= bytes })
		p.wait(func() bool { return p.exit != nil })
		return exited
	})
	n.editInfo = func(info *wire.Session) { info.Obscure = mode }
	n.fault = func(_ http.ResponseWriter, c *wire.Claims) bool {
		if sh := c.Shell; sh.Decoy {
			decoys.Add(1)
			if len(sh.Data) > 0 || sh.Op != wire.OpInput {
				t.Errorf("a decoy %+v", sh)
			}
		}
		return false
	}
	return n.start(how), decoys
}

// eventually waits for something of another goroutine.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Keys arrive, decoys leave among them with the same size, and stop afterwards.
func TestHiding(t *testing.T) {
	const keys = 15
	for _, mode := range []wire.Obscure{wire.ObscureChaff, wire.ObscureInterval} {
		for _, how := range []over{overHTTP1, overHTTP2} {
			t.Run(string(mode)+" over "+string(how), func(t *testing.T) {
				n, decoys := hiding(t, mode, how, keys)
				c := newClient(t, n.options())
				clock := c.NoPauses()
				s := open(t, c, wire.Shell{PTY: true}, nil, nil)
				start := time.Now()
				for range keys {
					before := decoys.Load()
					if _, err := s.Write([]byte("k")); err != nil {
						t.Fatal(err)
					}
					eventually(t, "a decoy", func() bool { return decoys.Load() > before })
				}
				n.waitAccepted(keys)
				clock.Skip(wire.DecoyMax)
				eventually(t, "the end of the decoys", func() bool { return !s.Ticking() })
				beats := int(time.Since(start)/wire.Beat) + 1
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				n.mu.Lock()
				defer n.mu.Unlock()
				if got := n.requests[wire.OpInput]; mode == wire.ObscureInterval && got > beats {
					t.Errorf("%d requests on %d beats", got, beats)
				}
				sizes := map[int]bool{}
				for _, size := range n.tokens[wire.OpInput] {
					sizes[size] = true
				}
				if len(sizes) != 1 {
					t.Errorf("sizes %v", sizes)
				}
			})
		}
	}
}

// On pipes, and where nothing is hidden, there are no decoys; nor while nobody
// types.
func TestNothingToHide(t *testing.T) {
	for _, c := range []struct {
		mode wire.Obscure
		pty  bool
		text string
	}{{wire.ObscureChaff, false, "k"}, {wire.ObscureInterval, false, "k"}, {wire.ObscureOff, true, "k"}, {"", true, "k"}, {wire.ObscureChaff, true, ""}} {
		n, decoys := hiding(t, c.mode, overHTTP2, uint64(len(c.text)))
		s := open(t, newClient(t, n.options()), wire.Shell{PTY: c.pty}, nil, nil)
		if _, err := s.Write([]byte(c.text)); err != nil {
			t.Fatal(err)
		}
		n.waitAccepted(uint64(len(c.text)))
		if s.Ticking() || decoys.Load() != 0 {
			t.Errorf("%+v: %d decoys", c, decoys.Load())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A paste on the beat arrives whole, also over a connection that is lost meanwhile.
func TestPasteOnTheBeat(t *testing.T) {
	const size = 3 << 20
	text := []byte(strings.Repeat("0123456789abcdef", size/16))
	n := newNode(t, func(p *program) wire.Exit {
		got, err := io.ReadAll(io.LimitReader(p, size))
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes arrived of %d: %v", len(got), size, err)
		}
		return exited
	})
	n.editInfo = func(info *wire.Session) { info.Obscure = wire.ObscureInterval }
	n.start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{PTY: true}, nil, nil)
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		n.waitAccepted(size / 3)
		n.server.CloseClientConnections()
	}()
	if _, err := s.Write(text); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
	<-cut
}
