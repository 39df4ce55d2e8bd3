package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"etcha/go/client"
	"etcha/go/errs"
	"etcha/go/wire"
)

// patient is a node that keeps a session for as long as a test may take: its
// clock counts the pauses of all goroutines together.
func patient(i *wire.Session) { i.ResumeFor = 1e8 }

// count is a program that writes lines with their number.
func count(lines int) func(*program) wire.Exit {
	return func(p *program) wire.Exit {
		for i := range lines {
			_, _ = fmt.Fprintf(p, "line %d\n", i)
		}
		return exited
	}
}

func counted(lines int) string {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

// The stream is cut a hundred times: each line comes once, in order.
func TestOutputAcrossCuts(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		n := newNode(t, count(3000))
		var cuts atomic.Int32
		chance := newChance(1)
		n.cut = func() bool { return chance.hit(20) && cuts.Add(1) <= 100 }
		n.window = 4 << 10
		n.start(how)
		out := newBuffer()
		s := open(t, newClient(t, n.options()), wire.Shell{}, out, nil)
		mustExit(t, s, exited)
		if out.String() != counted(3000) {
			t.Errorf("the output differs: %d bytes", len(out.String()))
		}
		if cuts.Load() < 100 || n.asked(wire.OpAttach) < 100 || n.asked(wire.OpOpen) != 1 {
			t.Errorf("%d cuts, %d attaches", cuts.Load(), n.asked(wire.OpAttach))
		}
	})
}

// Streams, requests and answers are lost at random: each byte passes once and in
// order in both directions, each signal is applied once, in its place.
func TestResumeProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		how := rapid.SampledFrom([]over{overHTTP, overHTTP1, overHTTP2}).Draw(rt, "over")
		cuts := rapid.IntRange(5, 50).Draw(rt, "cuts, %")
		loss := rapid.IntRange(0, 40).Draw(rt, "loss, %")
		chance := newChance(rapid.Uint64().Draw(rt, "seed"))
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 40_000)), 1, 20).Draw(rt, "writes")

		n := newNode(t, cat)
		n.room = rapid.SampledFrom([]uint64{20_000, wire.InputWindow}).Draw(rt, "room")
		n.window = rapid.SampledFrom([]uint64{3_000, wire.DefaultWindow}).Draw(rt, "window")
		n.editInfo = patient
		n.cut = func() bool { return chance.hit(cuts) }
		n.attach = func(w http.ResponseWriter, c *wire.Claims) bool { return chance.hit(loss) && html(502)(w, c) }
		n.fault = func(w http.ResponseWriter, c *wire.Claims) bool {
			if c.Shell.Op == wire.OpOpen {
				return false
			}
			chance.delay()
			return chance.hit(loss) && [](func(http.ResponseWriter, *wire.Claims) bool){drop, html(502), refuse(wire.CodeDraining)}[chance.n(3)](w, c)
		}
		n.lose = func(*wire.Claims) bool { chance.delay(); return chance.hit(loss / 2) }
		n.start(how)
		defer n.server.Close()
		defer n.stopPrograms()
		c := newClient(t, n.options())
		c.ManyTries()
		out := newBuffer()
		s := open(t, c, wire.Shell{}, out, nil)
		defer s.Close()
		var want []byte
		for i, size := range sizes {
			p, _ := io.ReadAll(noise(uint64(i), size))
			want = append(want, p...)
			if _, err := s.Write(p); err != nil {
				rt.Fatalf("write: %v", err)
			}
			if i%4 == 0 {
				if err := s.Signal(wire.Signals()[i/4%10]); err != nil {
					rt.Fatalf("signal: %v", err)
				}
			}
		}
		if err := s.CloseWrite(); err != nil {
			rt.Fatal(err)
		}
		if exit, err := s.Wait(); err != nil || exit != exited {
			rt.Fatalf("exit %+v: %v", exit, err)
		}
		if out.String() != string(want) {
			rt.Fatalf("%d bytes came back, %d were written", len(out.String()), len(want))
		}
		for i, op := range n.applied() {
			if op.Signal != wire.Signals()[i%10] || len(n.applied()) != (len(sizes)+3)/4 {
				rt.Fatalf("operations %+v", n.applied())
			}
		}
	})
}

// cutOnce is a node whose first stream breaks off after its first output; attach
// says what comes then.
func cutOnce(t testing.TB, run func(*program) wire.Exit, attach func(http.ResponseWriter, *wire.Claims) bool) *node {
	n := newNode(t, run)
	var cut atomic.Bool
	n.cut = func() bool { return cut.CompareAndSwap(false, true) }
	n.attach = attach
	return n
}

func hello(p *program) wire.Exit {
	_, _ = io.WriteString(p, "hello")
	_, _ = io.Copy(p, p)
	return exited
}

func TestRefusalEndsTheRetries(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeNotFound, wire.CodeDenied, wire.CodeEnded, wire.CodeOffset, wire.CodeBadRequest, "of_the_future"} {
		t.Run(string(code), func(t *testing.T) {
			n := cutOnce(t, hello, refuse(code)).start(overHTTP2)
			s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
			_, err := s.Wait()
			var loss *client.LossError
			var refused *client.RefusedError
			if !errors.As(err, &loss) || !errors.As(err, &refused) || refused.Problem.Code != code {
				t.Errorf("wait: %v", err)
			}
			if n.asked(wire.OpAttach) != 1 {
				t.Errorf("%d tries", n.asked(wire.OpAttach))
			}
		})
	}
}

// What somebody else in the path says, and what passes, is tried again.
func TestRetriesGoOn(t *testing.T) {
	for name, f := range map[string]func(http.ResponseWriter, *wire.Claims) bool{
		"dropped": drop, "404 of a proxy": html(404), "502": html(502), "200 of a portal": html(200),
		"expired": refuse(wire.CodeExpired), "clock": refuse(wire.CodeClockSkew), "replayed": refuse(wire.CodeReplayed),
		"unready": refuse(wire.CodeUnready), "draining": refuse(wire.CodeDraining), "limited": refuse(wire.CodeLimited),
	} {
		t.Run(name, func(t *testing.T) {
			n := cutOnce(t, hello, times(8, wire.OpAttach, f)).start(overHTTP2)
			o, e := n.options(), &events{}
			o.Notify = e.add
			out := newBuffer()
			s := open(t, newClient(t, o), wire.Shell{PTY: true, Cols: 80, Rows: 24}, out, nil)
			out.waitFor(5)
			writePieces(t, s, "x")
			out.waitFor(6)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if out.String() != "hellox" || n.asked(wire.OpAttach) != 9 {
				t.Errorf("output %q after %d attaches", out.String(), n.asked(wire.OpAttach))
			}
			kinds := e.kinds()
			if i := slices.Index(kinds, client.EventBack); i < 1 || kinds[0] != client.EventLost || e.all[0].Attempt != 1 || e.all[0].Cause == nil {
				t.Errorf("events %+v", e.all)
			}
		})
	}
}

// When the node has given the session up by all that is known, so does the client.
func TestOutageIsTooLong(t *testing.T) {
	n := cutOnce(t, hello, html(502)).start(overHTTP2)
	o, e := n.options(), &events{}
	o.Notify = e.add
	c := newClient(t, o)
	s := open(t, c, wire.Shell{}, nil, nil)
	_, err := s.Wait()
	var loss *client.LossError
	if !errors.As(err, &loss) || errs.ExitOf(err) != errs.ExitTransport || !strings.Contains(errs.HintOf(err), "5m0s") {
		t.Errorf("wait: %v, hint %q", err, errs.HintOf(err))
	}
	tries := n.asked(wire.OpAttach) // five minutes: six short pauses, and 10 to 15 seconds each
	if tries < 20 || tries > 60 {
		t.Errorf("%d tries", tries)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.all) != tries {
		t.Errorf("%d events for %d tries", len(e.all), tries)
	}
	last := e.all[len(e.all)-1]
	if last.Kind != client.EventLost || last.Attempt != tries || last.Next.Before(e.all[0].Next) || last.Session != s.ID() ||
		!strings.Contains(last.Text, "502") || strings.ContainsAny(last.Text, "\x1b\n") {
		t.Errorf("last event %+v", last)
	}
}

// Time during which this process stood still does not count.
func TestOutageOfASleeper(t *testing.T) {
	n := cutOnce(t, hello, nil)
	var c *client.Client
	var clock *client.Clock
	n.attach = times(3, wire.OpAttach, func(w http.ResponseWriter, cl *wire.Claims) bool {
		clock.Skip(1 << 40) // a quarter of an hour
		return html(502)(w, cl)
	})
	n.start(overHTTP2)
	c = newClient(t, n.options())
	clock = c.NoPauses()
	out := newBuffer()
	s := open(t, c, wire.Shell{}, out, nil)
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
}

func TestProofOfAnAttach(t *testing.T) {
	n := cutOnce(t, hello, nil)
	var first sync.Once
	n.editInfo = func(i *wire.Session) {
		bad := true
		first.Do(func() { bad = false })
		if bad {
			i.Proof = "no proof"
		}
	}
	n.start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
	writePieces(t, s, "secret")
	if _, err := s.Wait(); errs.CodeOf(err) != client.CodeProof || !strings.Contains(errs.HintOf(err), "place") {
		t.Errorf("wait: %v, hint %q", err, errs.HintOf(err))
	}
	if n.asked(wire.OpAttach) != 1 {
		t.Errorf("%d tries", n.asked(wire.OpAttach))
	}
}

// A node that has lost what it had accepted, or has other input, is no way to go on.
func TestNodeThatHasOtherBytes(t *testing.T) {
	for name, edit := range map[string]func(*wire.Session){
		"input behind": func(i *wire.Session) { i.InputOffset = 1 },
		"input ahead":  func(i *wire.Session) { i.InputOffset = 100 },
		"output again": func(i *wire.Session) { i.OutputStart = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, cat)
			cut := make(chan struct{})
			var got atomic.Bool
			n.cut = func() bool { <-cut; return got.CompareAndSwap(false, true) }
			n.editInfo = func(i *wire.Session) {
				if got.Load() {
					edit(i)
				}
			}
			n.start(overHTTP2)
			out := newBuffer()
			s := open(t, newClient(t, n.options()), wire.Shell{}, out, nil)
			writePieces(t, s, "hello")
			n.waitAccepted(5)
			if err := s.Signal("USR1"); err != nil { // what was accepted is known
				t.Fatal(err)
			}
			close(cut)
			_, err := s.Wait()
			var loss *client.LossError
			if !errors.As(err, &loss) || n.asked(wire.OpAttach) != 1 {
				t.Errorf("wait: %v after %d attaches", err, n.asked(wire.OpAttach))
			}
		})
	}
}

// Output that a node dropped while nobody was attached is told of, once.
func TestGap(t *testing.T) {
	n := cutOnce(t, hello, nil)
	n.attach = func(http.ResponseWriter, *wire.Claims) bool {
		p := n.only()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.head += 1000
		p.out = nil
		return false
	}
	n.editInfo = func(i *wire.Session) { i.Dropped = i.OutputStart }
	n.start(overHTTP2)
	o, e := n.options(), &events{}
	o.Notify = e.add
	out := newBuffer()
	s := open(t, newClient(t, o), wire.Shell{}, out, nil)
	out.waitFor(5)
	writePieces(t, s, "after")
	out.waitFor(10)
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
	if want := []client.EventKind{client.EventLost, client.EventGap, client.EventBack}; !slices.Equal(e.kinds(), want) || e.all[1].From != 5 || e.all[1].To != 1005 {
		t.Errorf("events %+v", e.all)
	}
	if out.String() != "helloafter" {
		t.Errorf("output %q", out.String())
	}
}

// An attach that was given up arrives late and displaces the one that followed.
func TestReplacedByOneself(t *testing.T) {
	n := cutOnce(t, hello, times(1, wire.OpAttach, drop)).start(overHTTP2)
	out := newBuffer()
	s := open(t, newClient(t, n.options()), wire.Shell{}, out, nil)
	for n.asked(wire.OpAttach) < 2 || len(out.String()) < 6 {
		writePieces(t, s, "x")
		out.waitFor(6)
	}
	n.only().takeOver(uint64(len(out.String())))
	writePieces(t, s, "y")
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
	if !bytes.HasSuffix([]byte(out.String()), []byte("y")) || n.asked(wire.OpAttach) < 3 {
		t.Errorf("output %q after %d attaches", out.String(), n.asked(wire.OpAttach))
	}
}

// The size that was asked for during an outage is there after it, and the seq of
// an operation under way is not overtaken by it.
func TestOperationsAcrossCuts(t *testing.T) {
	n := cutOnce(t, hello, nil)
	held := make(chan struct{})
	n.attach = func(http.ResponseWriter, *wire.Claims) bool { <-held; return false }
	n.start(overHTTP2)
	out := newBuffer()
	s := open(t, newClient(t, n.options()), wire.Shell{PTY: true, Cols: 80, Rows: 24}, out, nil)
	out.waitFor(5)
	signalled := make(chan error, 1)
	go func() { signalled <- s.Signal("USR1") }()
	if err := s.Resize(100, 40); err != nil {
		t.Fatal(err)
	}
	close(held)
	if err := <-signalled; err != nil {
		t.Fatal(err)
	}
	p := n.only()
	p.wait(func() bool { return p.cols == 100 && p.rows == 40 })
	signals := 0
	for _, op := range n.applied() {
		if op.Op == wire.OpSignal {
			signals++
		}
	}
	if signals != 1 {
		t.Errorf("operations %+v", n.applied())
	}
}

// Closing during an outage returns, whether the node can be told or not.
func TestCloseDuringAnOutage(t *testing.T) {
	for _, reachable := range []bool{true, false} {
		lost := make(chan struct{})
		once := sync.OnceFunc(func() { close(lost) })
		n := cutOnce(t, hello, func(w http.ResponseWriter, c *wire.Claims) bool {
			once()
			return html(502)(w, c)
		})
		n.editInfo = patient
		if !reachable {
			n.fault = times(1<<30, wire.OpClose, html(502))
		}
		n.start(overHTTP2)
		c := newClient(t, n.options())
		if !reachable {
			c.ShortEnd(50 * time.Millisecond)
		}
		s := open(t, c, wire.Shell{}, nil, nil)
		<-lost
		if err := s.Close(); (err == nil) != reachable {
			t.Errorf("close: %v, reachable: %v", err, reachable)
		}
		if _, err := s.Wait(); !errors.Is(err, client.ErrClosed) {
			t.Errorf("wait: %v", err)
		}
		if ops := n.applied(); reachable && (len(ops) != 1 || ops[0].Op != wire.OpClose) {
			t.Errorf("operations %+v", ops)
		}
	}
}

// A session that has ended is attached to for its exit.
func TestExitDuringAnOutage(t *testing.T) {
	n := cutOnce(t, count(10), func(http.ResponseWriter, *wire.Claims) bool { return false })
	n.start(overHTTP1)
	out := newBuffer()
	mustExit(t, open(t, newClient(t, n.options()), wire.Shell{}, out, nil), exited)
	if out.String() != counted(10) {
		t.Errorf("output %q", out.String())
	}
}

// The context of Open has no say in attaching.
func TestAttachAfterTheContext(t *testing.T) {
	n := cutOnce(t, hello, nil)
	hold := make(chan struct{})
	n.attach = func(http.ResponseWriter, *wire.Claims) bool { <-hold; return false }
	n.start(overHTTP2)
	ctx, cancel := context.WithCancel(context.Background())
	out := newBuffer()
	s, err := newClient(t, n.options()).Open(ctx, source, wire.Shell{}, out, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	close(hold)
	writePieces(t, s, "x")
	out.waitFor(6)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A key that is typed ends the pause before the next try: somebody is there again.
func TestTypingEndsThePause(t *testing.T) {
	n := cutOnce(t, hello, times(6, wire.OpAttach, html(502))).start(overHTTP2)
	c := newClient(t, n.options())
	c.LongPausesOnly()
	out := newBuffer()
	s := open(t, c, wire.Shell{PTY: true, Cols: 80, Rows: 24}, out, nil)
	out.waitFor(5)
	for n.asked(wire.OpAttach) < 7 {
		writePieces(t, s, "x")
		runtime.Gosched()
	}
	out.waitFor(6)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
