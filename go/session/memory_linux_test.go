package session

import (
	"bytes"
	"errors"
	"strconv"
	"testing"

	"etcha/go/keeper"
)

// ended makes a remembered session with this much output.
func (r *Registry) endedForTest(id string, output int) *Session {
	s := &Session{r: r, id: id, source: "debug"}
	f := &finale{state: keeper.State{Head: 1000 + uint64(output), Tail: 1000, Exit: &keeper.Exit{}}}
	if output > 0 {
		f.chunks = []chunk{{1000, keeper.Output, make([]byte, output)}}
	}
	s.finale.Store(f)
	r.mu.Lock()
	r.sessions[id] = s
	r.mu.Unlock()
	r.remember(s)
	return s
}

func newMemory() (*Registry, *clock) {
	c := newClock()
	return New(Options{Now: c.Now, After: c.After}), c
}

func TestMemoryForgetsByTime(t *testing.T) {
	r, c := newMemory()
	r.endedForTest("a", 1)
	c.advance(rememberFor / 2)
	r.endedForTest("b", 1)
	c.advance(rememberFor / 2)
	if _, ok := r.Find("debug", "a"); ok {
		t.Error("a is remembered for too long")
	}
	if _, ok := r.Find("debug", "b"); !ok || c.pending() != 1 || r.past.bytes != 1 {
		t.Errorf("b is forgotten, or %d timers, or %d bytes", c.pending(), r.past.bytes)
	}
	c.advance(rememberFor / 2)
	if _, ok := r.Find("debug", "b"); ok || c.pending() != 0 || r.past.bytes != 0 {
		t.Errorf("b is remembered, or %d timers, or %d bytes", c.pending(), r.past.bytes)
	}
}

func TestMemoryIsBoundedByCount(t *testing.T) {
	r, _ := newMemory()
	for i := range rememberMax + 10 {
		r.endedForTest(strconv.Itoa(i), 0)
	}
	if len(r.sessions) != rememberMax {
		t.Errorf("%d are remembered", len(r.sessions))
	}
	if _, ok := r.Find("debug", "9"); ok {
		t.Error("the oldest stays")
	}
	if _, ok := r.Find("debug", "10"); !ok {
		t.Error("a newer one went")
	}
}

// TestMemoryIsBoundedByOutput: the oldest output goes; how the session ended
// stays known.
func TestMemoryIsBoundedByOutput(t *testing.T) {
	r, _ := newMemory()
	const n = finalesMax/finaleMax + 3
	var all []*Session
	for i := range n {
		all = append(all, r.endedForTest(strconv.Itoa(i), finaleMax))
	}
	kept := 0
	for i, s := range all {
		st := s.state()
		if st.Exit == nil || st.Head != 1000+finaleMax {
			t.Fatalf("session %d: %+v", i, st)
		}
		if st.Tail < st.Head {
			kept++
		} else if i >= 3 {
			t.Errorf("the output of session %d went", i)
		}
	}
	if kept != n-3 || r.past.bytes != kept*finaleMax {
		t.Errorf("the output of %d sessions is kept, %d bytes", kept, r.past.bytes)
	}
	r.forgetAll()
	if r.past.bytes != 0 || len(r.sessions) != 0 {
		t.Errorf("%d bytes, %d sessions are left", r.past.bytes, len(r.sessions))
	}
}

func TestFinaleRead(t *testing.T) {
	f := &finale{
		state:  keeper.State{Tail: 10, Head: 20},
		chunks: []chunk{{10, keeper.Output, []byte("abc")}, {13, keeper.Stderr, []byte("defg")}, {17, keeper.Output, []byte("hij")}},
	}
	for _, c := range []struct {
		from uint64
		size int
		want string
		kind keeper.Kind
		err  error
	}{
		{9, 9, "", 0, keeper.ErrGone},
		{10, 9, "abc", keeper.Output, nil},
		{10, 2, "ab", keeper.Output, nil},
		{12, 9, "c", keeper.Output, nil},
		{13, 9, "defg", keeper.Stderr, nil},
		{19, 9, "j", keeper.Output, nil},
		{20, 9, "", 0, nil},
		{21, 9, "", 0, keeper.ErrAhead},
	} {
		buf := make([]byte, c.size)
		n, kind, err := f.read(buf, c.from)
		if !bytes.Equal(buf[:n], []byte(c.want)) || kind != c.kind || !errors.Is(err, c.err) {
			t.Errorf("from %d: %q, %d, %v", c.from, buf[:n], kind, err)
		}
	}
	if n, _, err := f.silent().read(nil, 19); n != 0 || !errors.Is(err, keeper.ErrGone) {
		t.Errorf("a silent finale gives %d, %v", n, err)
	}
}
