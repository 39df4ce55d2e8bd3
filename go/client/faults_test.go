package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"etcha/go/client"
	"etcha/go/wire"
)

func writePieces(t testing.TB, s *client.Session, pieces ...string) {
	t.Helper()
	for _, p := range pieces {
		if _, err := io.WriteString(s, p); err != nil {
			t.Fatal(err)
		}
	}
}

// Requests that arrive out of order: the first input is held until later ones
// have been answered.
func TestInputOutOfOrder(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		var later sync.WaitGroup
		later.Add(3)
		n := newNode(t, cat)
		n.fault = func(_ http.ResponseWriter, c *wire.Claims) bool {
			if c.Shell.Op == wire.OpInput && c.Shell.Offset == 0 {
				later.Wait()
			}
			return false
		}
		n.lose = func(c *wire.Claims) bool {
			if c.Shell.Op == wire.OpInput && c.Shell.Offset > 0 && c.Shell.Offset < 7 {
				later.Done()
			}
			return false
		}
		n.start(how)
		out := newBuffer()
		s := open(t, newClient(t, n.options()), wire.Shell{}, out, nil)
		writePieces(t, s, "a", "bb", "ccc", "d")
		out.waitFor(7)
		if out.String() != "abbcccd" {
			t.Errorf("output %q", out.String())
		}
	})
}

// The node forgets what it held for an earlier gap: it is sent again.
func TestHeldInputIsSentAgain(t *testing.T) {
	var held sync.WaitGroup
	held.Add(1)
	n := newNode(t, cat)
	n.fault = func(_ http.ResponseWriter, c *wire.Claims) bool {
		if c.Shell.Op == wire.OpInput && c.Shell.Offset == 0 {
			held.Wait()
			p := n.only()
			p.mu.Lock()
			clear(p.early)
			p.earlyEOF = 0
			p.mu.Unlock()
		}
		return false
	}
	once := sync.OnceFunc(held.Done)
	n.lose = func(c *wire.Claims) bool {
		if c.Shell.Op == wire.OpInput && c.Shell.EOF {
			once()
		}
		return false
	}
	n.start(overHTTP2)
	out := newBuffer()
	s := open(t, newClient(t, n.options()), wire.Shell{}, out, nil)
	writePieces(t, s, "a", "b")
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
	if out.String() != "ab" {
		t.Errorf("output %q", out.String())
	}
}

// times lets the first k requests of an operation fail.
func times(k int, op wire.Op, f func(http.ResponseWriter, *wire.Claims) bool) func(http.ResponseWriter, *wire.Claims) bool {
	var mu sync.Mutex
	return func(w http.ResponseWriter, c *wire.Claims) bool {
		mu.Lock()
		hit := c.Shell.Op == op && k > 0
		if hit {
			k--
		}
		mu.Unlock()
		return hit && f(w, c)
	}
}

func drop(http.ResponseWriter, *wire.Claims) bool { panic(http.ErrAbortHandler) }

func html(status int) func(http.ResponseWriter, *wire.Claims) bool {
	return func(w http.ResponseWriter, _ *wire.Claims) bool {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<h1>Bad \x1b[31mGateway</h1>")
		return true
	}
}

// offsetProblem refuses an input for its offset, as a node does that is full.
func offsetProblem(w http.ResponseWriter, _ *wire.Claims) bool {
	at, room := uint64(0), uint64(wire.InputWindow)
	problem(w, wire.Problem{Code: wire.CodeOffset, Title: "offset", Offset: &at, Room: &room})
	return true
}

// Every kind of failure that may pass is tried again, with each operation.
func TestPassingFailures(t *testing.T) {
	faults := map[string]func(http.ResponseWriter, *wire.Claims) bool{
		"dropped": drop, "502": html(502), "404 of a proxy": html(404), "wrong kind of 200": html(200),
		"timeout": refuse(wire.CodeTimeout), "limited": refuse(wire.CodeLimited), "draining": refuse(wire.CodeDraining),
		"unready": refuse(wire.CodeUnready), "internal": refuse(wire.CodeInternal), "expired": refuse(wire.CodeExpired),
		"clock": refuse(wire.CodeClockSkew), "replayed": refuse(wire.CodeReplayed), "offset": offsetProblem,
		"junk answer": func(w http.ResponseWriter, _ *wire.Claims) bool {
			w.Header().Set("Content-Type", wire.TypeJSON)
			_, _ = io.WriteString(w, "{")
			return true
		},
		"endless answer": func(w http.ResponseWriter, _ *wire.Claims) bool {
			w.Header().Set("Content-Type", wire.TypeJSON)
			_, _ = w.Write(make([]byte, wire.MaxNodeAnswer+1))
			return true
		},
	}
	for name, f := range faults {
		for _, op := range []wire.Op{wire.OpInput, wire.OpSignal, wire.OpResize, wire.OpAck, wire.OpClose} {
			if name == "offset" && op != wire.OpInput {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", name, op), func(t *testing.T) { passing(t, op, f) })
		}
	}
}

func passing(t *testing.T, op wire.Op, f func(http.ResponseWriter, *wire.Claims) bool) {
	n := newNode(t, func(p *program) wire.Exit {
		_, _ = p.Write(make([]byte, 3*wire.AckEvery))
		p.wait(func() bool { return p.in.String() == "input" && len(p.ops) >= 2 && p.acked >= wire.AckEvery })
		p.wait(func() bool { return false })
		return exited
	})
	n.fault = times(2, op, f)
	n.start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{PTY: true}, nil, nil)
	writePieces(t, s, "in", "put")
	if err := errors.Join(s.Resize(100, 50), s.Signal("TERM")); err != nil {
		t.Fatal(err)
	}
	p := n.only()
	p.wait(func() bool { return p.in.String() == "input" && len(p.ops) >= 2 && p.acked >= wire.AckEvery })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, wire.Exit{Code: 129, Signal: "HUP", Reason: wire.ReasonClosed})
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ops) != 3 || p.ops[0].Cols != 100 || p.ops[1].Signal != "TERM" || p.ops[2].Op != wire.OpClose {
		t.Errorf("operations %+v", p.ops)
	}
}

// An answer that is lost is no harm: the same bytes are sent again.
func TestLostAnswers(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		n := newNode(t, cat)
		var mu sync.Mutex
		lost := 0
		n.lose = func(c *wire.Claims) bool {
			mu.Lock()
			defer mu.Unlock()
			lost++
			return lost%2 == 1
		}
		n.start(how)
		out := newBuffer()
		s := open(t, newClient(t, n.options()), wire.Shell{}, out, nil)
		writePieces(t, s, "a", "b", "c", "d", "e")
		for range 4 {
			if err := s.Signal("USR1"); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		mustExit(t, s, exited)
		if out.String() != "abcde" || len(n.applied()) != 4 {
			t.Errorf("output %q, operations %+v", out.String(), n.applied())
		}
	})
}

// Input that never gets through ends the session after as long as a lost node would.
func TestInputThatNeverGetsThrough(t *testing.T) {
	faults := map[string]func(http.ResponseWriter, *wire.Claims) bool{
		"dropped": drop, "502": html(502), "offset": offsetProblem, "expired": refuse(wire.CodeExpired),
		"clock": refuse(wire.CodeClockSkew), "too large": refuse(wire.CodeTooLarge), "bad": refuse(wire.CodeBadRequest),
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, cat)
			n.fault = times(1<<30, wire.OpInput, f)
			n.start(overHTTP2)
			s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
			writePieces(t, s, "x")
			_, err := s.Wait()
			var loss *client.LossError
			if !errors.As(err, &loss) {
				t.Fatalf("wait: %v", err)
			}
			if n.asked(wire.OpInput) > 50 { // five minutes of pauses
				t.Errorf("%d tries", n.asked(wire.OpInput))
			}
			if _, err := s.Write([]byte("y")); !errors.Is(err, client.ErrEnded) {
				t.Errorf("write after the end: %v", err)
			}
		})
	}
}

// More is sent than a node takes: it refuses with the offset that it wants.
func TestNodeWithASmallerWindow(t *testing.T) {
	var got []byte
	n := newNode(t, func(p *program) wire.Exit {
		got, _ = io.ReadAll(p)
		return exited
	})
	n.room = 10_000
	n.start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
	want, _ := io.ReadAll(noise(6, 300_000))
	if _, err := s.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived, %d were sent", len(got), len(want))
	}
}

// Whatever happens to the requests, the program reads exactly what was written.
func TestInputProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		how := rapid.SampledFrom([]over{overHTTP, overHTTP2}).Draw(rt, "over")
		loss := rapid.IntRange(0, 60).Draw(rt, "loss, %")
		seed := rapid.Uint64().Draw(rt, "seed")
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 150_000)), 1, 30).Draw(rt, "writes")
		room := rapid.SampledFrom([]uint64{5_000, 70_000, wire.InputWindow}).Draw(rt, "room")
		quietRoom := rapid.Bool().Draw(rt, "no events about room") && room == wire.InputWindow

		var got []byte
		n := newNode(t, func(p *program) wire.Exit {
			got, _ = io.ReadAll(p)
			return exited
		})
		n.room, n.quiet = room, quietRoom
		chance := newChance(seed)
		n.fault = func(w http.ResponseWriter, c *wire.Claims) bool {
			if c.Shell.Op == wire.OpOpen {
				return false
			}
			chance.delay()
			return chance.hit(loss) && [](func(http.ResponseWriter, *wire.Claims) bool){drop, html(502), refuse(wire.CodeDraining)}[chance.n(3)](w, c)
		}
		n.lose = func(*wire.Claims) bool { chance.delay(); return chance.hit(loss / 2) }
		n.editInfo = patient
		n.start(how)
		defer n.server.Close()
		defer n.stopPrograms()
		c := newClient(t, n.options())
		s := open(t, c, wire.Shell{}, nil, nil)
		defer s.Close()
		var want []byte
		for i, size := range sizes {
			p, _ := io.ReadAll(noise(uint64(i), size))
			want = append(want, p...)
			if _, err := s.Write(p); err != nil {
				rt.Fatalf("write: %v", err)
			}
		}
		if err := s.CloseWrite(); err != nil {
			rt.Fatal(err)
		}
		if exit, err := s.Wait(); err != nil || exit != exited {
			rt.Fatalf("exit %+v: %v", exit, err)
		}
		if !bytes.Equal(got, want) {
			rt.Fatalf("%d bytes arrived, %d were written", len(got), len(want))
		}
	})
}

// chance is randomness that several requests share.
type chance struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newChance(seed uint64) *chance { return &chance{r: rand.New(rand.NewPCG(seed, 1))} }

func (c *chance) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

func (c *chance) hit(percent int) bool { return c.n(100) < percent }

// delay lets other requests overtake.
func (c *chance) delay() {
	for range c.n(50) {
		runtime.Gosched()
	}
}
