package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"etcha/go/errs"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// tap is what a watcher of the link sees of a stream: how often something is
// sent and how much.
type tap struct {
	mu     sync.Mutex
	text   bytes.Buffer
	flown  int   // bytes of text that were flushed
	bursts []int // sizes
}

func (l *tap) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *tap) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bursts = append(l.bursts, l.text.Len()-l.flown)
	l.flown = l.text.Len()
	return nil
}

func (l *tap) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.bursts)
}

// since gives the sizes of the bursts from one on.
func (l *tap) since(n int) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]int(nil), l.bursts[n:]...)
}

// names are the events from an offset of the text on.
func (l *tap) names(t *testing.T) map[string]int {
	t.Helper()
	l.mu.Lock()
	r := sse.NewReader(bytes.NewReader(l.text.Bytes()[:l.flown]))
	l.mu.Unlock()
	seen := map[string]int{}
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return seen
		}
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Name]++
	}
}

// typed starts a session that hides as obscure says, and waits until its program
// is ready.
func (n *node) typed(t *testing.T, obscure wire.Obscure, pty bool, script string) (*Session, *tap) {
	t.Helper()
	n.source.Shell.Obscure = obscure
	n.source.Shell.IdleTimeout = time.Hour
	n.r.Recheck(n.policy())
	s := n.open(wire.Shell{Args: []string{"/bin/sh", "-c", script}, PTY: pty, Cols: 80, Rows: 24})
	l := &tap{}
	n.stream(t, l, s.Stream)
	eventually(t, "the program", func() bool { return s.state().Head >= uint64(len("ready")) })
	eventually(t, "the first output", func() bool { return l.names(t)[wire.EventOutput] > 0 })
	return s, l
}

// stream writes a stream to l until the test ends.
func (n *node) stream(t *testing.T, l *tap, stream func(context.Context, *sse.Writer, Start) error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = stream(ctx, sse.NewWriter(l, l.flush), Start{Tok: []byte(requestToken)})
	}()
	t.Cleanup(func() {
		cancel(errGone)
		<-done
	})
}

const (
	echoing = `stty raw -echo; printf ready; exec cat`
	hushed  = `stty raw -echo; printf ready; exec sleep 1000`
)

func decoy() wire.Shell { return wire.Shell{Op: wire.OpInput, Decoy: true} }

func key(offset int) wire.Shell {
	return wire.Shell{Op: wire.OpInput, Offset: uint64(offset), Data: []byte("x")}
}

func TestAnswersAreEquallyLong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := wire.Answer{Offset: rapid.Uint64().Draw(t, "offset"), Room: rapid.Uint64().Draw(t, "room"), Seq: rapid.Uint64().Draw(t, "seq")}
		b, err := json.Marshal(padded(a))
		var back wire.Answer
		if err != nil || len(b) != answerSize || json.Unmarshal(b, &back) != nil {
			t.Fatalf("%d bytes: %s, %v", len(b), b, err)
		}
		if back.Pad = ""; back != a {
			t.Fatalf("%+v became %+v", a, back)
		}
	})
}

// TestDecoys: a key and a decoy draw a burst of one size and an answer of one
// size; a decoy is no input and no activity.
func TestDecoys(t *testing.T) {
	n := newNode(t)
	s, l := n.typed(t, wire.ObscureChaff, true, echoing)
	for i := range 20 {
		at := l.count()
		k := n.do(s, key(i))
		eventually(t, "the echo", func() bool { return l.names(t)[wire.EventOutput] == i+2 })
		before := s.held.State()
		d := n.do(s, decoy())
		n.clock.advance(echoMax)
		eventually(t, "the decoy's event", func() bool { return l.names(t)[wire.EventKeepalive] == i+1 })
		if k.Offset != uint64(i+1) || d.Offset != k.Offset || size(t, k) != answerSize || size(t, d) != answerSize {
			t.Fatalf("answers %+v, %+v", k, d)
		}
		if after := s.held.State(); after.Accepted != before.Accepted || !after.Activity.Equal(before.Activity) {
			t.Fatalf("a decoy changed %+v to %+v", before, after)
		}
		if b := l.since(at); len(b) != 2 || b[0] != wire.PadStep || b[1] != wire.PadStep {
			t.Fatalf("bursts of %v bytes", b)
		}
		n.clock.advance(time.Second / decoyRate)
	}
	if seen := l.names(t); seen[wire.EventKeepalive] != 20 {
		t.Errorf("events %v", seen)
	}
}

func size(t *testing.T, a wire.Answer) int {
	t.Helper()
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return len(b)
}

// TestHushedKeys: a key that is not echoed draws an event too, and one that is
// echoed no second one.
func TestHushedKeys(t *testing.T) {
	n := newNode(t)
	s, l := n.typed(t, wire.ObscureChaff, true, hushed)
	for i := range 3 {
		n.do(s, key(i))
	}
	if seen := l.names(t); seen[wire.EventKeepalive] != 0 {
		t.Errorf("events %v before an echo could have come", seen)
	}
	n.clock.advance(hushMax)
	eventually(t, "three events", func() bool { return l.names(t)[wire.EventKeepalive] == 3 })

	s, l = n.typed(t, wire.ObscureChaff, true, echoing)
	n.do(s, key(0))
	eventually(t, "the echo", func() bool { return l.names(t)[wire.EventOutput] == 2 && s.typing.owner.unechoed.Load() == 0 })
	n.clock.advance(hushMax)
	n.do(s, decoy())
	n.clock.advance(echoMax)
	eventually(t, "an event", func() bool { return l.names(t)[wire.EventKeepalive] > 0 })
	if seen := l.names(t); seen[wire.EventKeepalive] != 1 {
		t.Errorf("events %v", seen)
	}
}

// TestManyDecoys: beyond its allowance a client draws nothing.
func TestManyDecoys(t *testing.T) {
	n := newNode(t)
	s, l := n.typed(t, wire.ObscureChaff, true, hushed)
	for range 5 * decoyBurst {
		n.do(s, decoy())
	}
	n.clock.advance(echoMax)
	eventually(t, "the decoys' events", func() bool { return l.names(t)[wire.EventKeepalive] == decoyBurst })
	n.clock.advance(time.Second)
	for range 5 * decoyBurst {
		n.do(s, decoy())
	}
	n.clock.advance(echoMax)
	eventually(t, "more events", func() bool { return l.names(t)[wire.EventKeepalive] == 2*decoyBurst })

	n = newNode(t)
	s, _ = n.typed(t, wire.ObscureInterval, true, hushed)
	var answered []func()
	for range decoyBurst {
		answered = append(answered, n.begin(s, n.opener, decoy()))
	}
	eventually(t, "the decoys", func() bool { return !s.typing.owner.drawing.allow(n.clock.Now().Sub(s.rhythm.born)) })
	n.do(s, decoy()) // at once: the clock stands still
	n.clock.advance(wire.Beat)
	for _, f := range answered {
		f()
	}

	var a allowance
	drawn := 0
	for now := time.Duration(0); now < 10*time.Second; now += time.Millisecond {
		if a.allow(now) {
			drawn++
		}
	}
	if drawn < 10*decoyRate || drawn > 10*decoyRate+decoyBurst {
		t.Errorf("%d in 10 s", drawn)
	}
}

// TestNothingHidden: on pipes and where it is off decoys draw nothing and nothing
// is padded.
func TestNothingHidden(t *testing.T) {
	for _, c := range []struct {
		obscure wire.Obscure
		pty     bool
	}{{wire.ObscureChaff, false}, {wire.ObscureInterval, false}, {wire.ObscureOff, true}, {"", true}} {
		n := newNode(t)
		script := `printf ready; exec cat`
		if c.pty {
			script = echoing
		}
		s, l := n.typed(t, c.obscure, c.pty, script)
		if info := s.describe(nil, 0, 0, ""); info.Obscure != "" {
			t.Errorf("%+v: the client is told %q", c, info.Obscure)
		}
		a := n.do(s, decoy())
		n.do(s, key(0))
		eventually(t, "the echo", func() bool { return l.names(t)[wire.EventOutput] == 2 })
		seen := l.names(t)
		if last := l.since(l.count() - 1); a.Pad != "" || seen[wire.EventKeepalive] != 0 || last[0]%wire.PadStep == 0 {
			t.Errorf("%+v: answer %+v, events %v, an echo of %v bytes", c, a, seen, last)
		}
	}
}

func TestDecoyWithData(t *testing.T) {
	n := newNode(t)
	s, _ := n.typed(t, wire.ObscureChaff, true, hushed)
	for _, sh := range []wire.Shell{{Op: wire.OpInput, Decoy: true, Data: []byte("x")}, {Op: wire.OpInput, Decoy: true, EOF: true}} {
		if _, err := s.Do(testContext(t), n.opener, sh); errs.CodeOf(err) != wire.CodeBadRequest {
			t.Errorf("got %v", err)
		}
	}
}

// begin carries out an operation; wait returns when it was answered.
func (n *node) begin(s *Session, by token.PublicKey, sh wire.Shell) (answered func()) {
	done := make(chan error, 1)
	go func() {
		_, err := s.Do(testContext(n.tb), by, sh)
		done <- err
	}()
	return func() {
		n.tb.Helper()
		eventually(n.tb, "the answer", func() bool {
			n.clock.advance(0)
			select {
			case err := <-done:
				n.must(err)
				return true
			default:
				return false
			}
		})
	}
}

// TestBeat: on the beat there is one burst of one size, whether keys came, decoys
// or nothing; the beat ends when no input comes any more.
func TestBeat(t *testing.T) {
	n := newNode(t)
	s, l := n.typed(t, wire.ObscureInterval, true, echoing)
	at, keys := l.count(), 0
	for beat := range 40 {
		var answered func()
		switch {
		case beat%3 == 0:
			answered = n.begin(s, n.opener, key(keys))
			keys++
			eventually(t, "the echo at the node", func() bool { return s.state().Head == uint64(len("ready")+keys) })
		case beat%3 == 1:
			answered = n.begin(s, n.opener, decoy())
		}
		if got := l.count() - at; got != beat {
			t.Fatalf("%d bursts after %d beats", got, beat)
		}
		timers := 3 // silence, idle timeout, beat
		if answered != nil {
			timers++
		}
		eventually(t, "the next beat to be waited for", func() bool { return n.clock.pending() == timers })
		n.clock.advance(wire.Beat)
		eventually(t, "the beat", func() bool { return l.count()-at > beat })
		if answered != nil {
			answered()
		}
	}
	for i, size := range l.since(at) {
		if size != wire.PadStep {
			t.Errorf("burst %d has %d bytes", i, size)
		}
	}
	eventually(t, "the end of the beat", func() bool {
		n.clock.advance(wire.Beat)
		return !s.beating()
	})
	n.clock.advance(wire.Beat)
	eventually(t, "no timer but the silence's and the idle timeout's", func() bool { return n.clock.pending() == 2 })
}

// TestEverybodyOnTheBeat: whoever types, nobody's stream tells when.
func TestEverybodyOnTheBeat(t *testing.T) {
	n := newNode(t)
	bob, carol := n.guest("bob"), n.guest("carol")
	s, owner := n.typed(t, wire.ObscureInterval, true, echoing)
	own, confirm, err := token.NewConfirm()
	n.must(err)
	w, err := s.Admit(testContext(t), bob, wire.Claims{Shell: &wire.Shell{Op: wire.OpWatch}})
	n.must(err)
	j, err := s.Admit(testContext(t), carol, wire.Claims{Shell: &wire.Shell{Op: wire.OpJoin}, Confirm: &confirm})
	n.must(err)
	watcher, joined := &tap{}, &tap{}
	n.stream(t, watcher, w.Stream)
	n.stream(t, joined, j.Stream)
	all := []*tap{owner, watcher, joined}
	eventually(t, "the notices", func() bool {
		return owner.names(t)[wire.EventNotice] == 2 && watcher.names(t)[wire.EventNotice] == 1 && joined.names(t)[wire.EventNotice] == 1 &&
			watcher.names(t)[wire.EventOutput] == 1 && joined.names(t)[wire.EventOutput] == 1
	})
	var at [3]int
	for i, l := range all {
		at[i] = l.count()
	}
	for beat := range 12 {
		answered, timers := func() {}, 7 // three silences, the idle timeout, three beats
		if beat%3 == 0 {
			answered, timers = n.begin(s, own.Public(), key(beat/3)), 8
			eventually(t, "the echo at the node", func() bool { return s.state().Head == uint64(len("ready")+beat/3+1) })
		}
		eventually(t, "the next beat to be waited for", func() bool { return n.clock.pending() == timers })
		n.clock.advance(wire.Beat)
		for i, l := range all {
			eventually(t, "the beat", func() bool { return l.count()-at[i] > beat })
			if got := l.count() - at[i]; got != beat+1 {
				t.Fatalf("stream %d: %d bursts after %d beats", i, got, beat+1)
			}
		}
		answered()
	}
	for i, l := range all {
		for _, size := range l.since(at[i]) {
			if size != wire.PadStep {
				t.Errorf("stream %d: a burst of %d bytes", i, size)
			}
		}
	}
}

// TestSchedule: beats are as far apart as they should be, also after a late one.
func TestSchedule(t *testing.T) {
	start := time.Now()
	var c cover
	first := c.advance(start)
	if first < 0 || first > wire.Beat {
		t.Fatalf("the first beat is after %s", first)
	}
	now := start.Add(first)
	for i, late := range []time.Duration{0, time.Millisecond, 19 * time.Millisecond, 20 * time.Millisecond, 95 * time.Millisecond, 0} {
		now = now.Add(late)
		wait := c.advance(now)
		if wait <= 0 || wait > wire.Beat {
			t.Errorf("beat %d: after %s", i, wait)
		}
		if now = now.Add(wait); now.Sub(start.Add(first))%wire.Beat != 0 {
			t.Errorf("beat %d is off by %s", i, now.Sub(start.Add(first))%wire.Beat)
		}
	}
}
