package keeper

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"etcha/go/wire"
)

// awaitEcho collects what became of input up to an offset.
func awaitEcho(t *testing.T, s *Session, upTo uint64) []EchoRange {
	t.Helper()
	ctx := testContext(t)
	var all []EchoRange
	for {
		all = append(all, s.Echo()...)
		if n := len(all); n > 0 && all[n-1].To >= upTo {
			return all
		}
		select {
		case <-s.Changed():
		case <-ctx.Done():
			t.Fatalf("waited in vain for %d: %v", upTo, all)
		}
	}
}

// TestEchoReported tells a hidden prompt's input from the rest.
func TestEchoReported(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := shell(t, "echo", "echo one; read a; stty -echo; echo two; read b; stty echo; echo three; read c; exec sleep 1000")
	r.ReportEcho = true
	s := start(t, k, r)
	rd := follow(t, s)
	var got []EchoRange
	for _, step := range []struct{ prompt, typed string }{{"one", "name\n"}, {"two", "password\n"}, {"three", "more\n"}} {
		rd.until(step.prompt + "\r\n")
		send(t, s, []byte(step.typed))
		got = append(got, awaitEcho(t, s, s.State().Accepted)...)
	}
	want := []EchoRange{{0, 5, true}, {5, 14, false}, {14, 19, true}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	s.Release()
	s, err := k.Adopt(testContext(t), "echo")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if again := s.Echo(); len(again) != 0 {
		t.Errorf("the next daemon is told %v", again)
	}
	send(t, s, []byte("x"))
	if got := awaitEcho(t, s, 20); !slices.Equal(got, []EchoRange{{19, 20, true}}) {
		t.Errorf("after the adoption: %v", got)
	}
}

// TestEchoOfPipes counts everything as visible, and what nobody took as not.
func TestEchoOfPipes(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := piped(t, "pipes", "head -c 5 >/dev/null; exec <&-; echo closed; exec sleep 1000")
	r.ReportEcho = true
	s := start(t, k, r)
	send(t, s, []byte("12345"))
	got := awaitEcho(t, s, 5)
	follow(t, s).until("closed\n")
	send(t, s, []byte("nobody reads"))
	got = append(got, awaitEcho(t, s, 17)...)
	if want := []EchoRange{{0, 5, true}, {5, 17, false}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestEchoOfMuch sends more than a terminal holds to a program that reads later.
func TestEchoOfMuch(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := shell(t, "much", "stty -echo raw; echo ready; read x <&2; exec cat >/dev/null")
	r.ReportEcho = true
	s := start(t, k, r)
	follow(t, s).until("ready")
	const n = wire.InputWindow
	data := slices.Repeat([]byte("y"), n)
	data[99] = '\n'
	send(t, s, data)
	at := uint64(0)
	for _, e := range awaitEcho(t, s, n) {
		if e.On || e.From != at {
			t.Fatalf("%+v after %d", e, at)
		}
		at = e.To
	}
	if at != n {
		t.Errorf("%d of %d told", at, n)
	}
}

// TestEchoUnasked reports nothing.
func TestEchoUnasked(t *testing.T) {
	k, _ := inProcess(t, nil)
	s := start(t, k, shell(t, "unasked", "exec cat"))
	send(t, s, []byte("x\n"))
	follow(t, s).until("x\r\nx\r\n")
	if got := s.Echo(); got != nil {
		t.Error(got)
	}
}

// TestEchoRuns compares the shared table with a model, also when it overflows.
func TestEchoRuns(t *testing.T) {
	if size := unsafe.Sizeof(ringHeader{}); size > 4096 {
		t.Fatalf("the header of %d bytes does not fit a page", size)
	}
	rapid.Check(t, func(rt *rapid.T) {
		h := &held{record: record{reportEcho: true}, ring: &ring{h: &ringHeader{}}}
		in := &input{h: h}
		v := &view{h: h.ring.h}
		var model []bool // by byte
		told := uint64(0)
		random := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(rt, "seed")))
		for range rapid.IntRange(1, 20).Draw(rt, "takes") {
			before := h.ring.h.echoCount.Load()
			for range random.IntN(2 * echoSlots) {
				n, on := 1+random.IntN(3), random.IntN(2) == 0
				in.wrote(n, on)
				model = append(model, slices.Repeat([]bool{on}, n)...)
			}
			at := told
			for _, r := range v.echo(told, in.written) {
				if r.From < at || r.From >= r.To {
					rt.Fatalf("%+v after %d", r, at)
				}
				for i := r.From; i < r.To; i++ {
					if model[i] != r.On {
						rt.Fatalf("byte %d is told as %t", i, r.On)
					}
				}
				if r.From != at && h.ring.h.echoCount.Load()-before < echoSlots-1 {
					rt.Fatalf("a gap from %d to %d", at, r.From)
				}
				at = r.To
			}
			if at != in.written && in.written > told {
				rt.Fatalf("told up to %d of %d", at, in.written)
			}
			told = in.written
		}
	})
}

// TestFlightFromTheStart reads no more than was allowed before the daemon's
// first word.
func TestFlightFromTheStart(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := piped(t, "flight", "exec yes")
	r.Flight = 10_000
	s := start(t, k, r)
	ctx := testContext(t)
	for s.State().Head < r.Flight {
		pause(ctx, t, "output")
	}
	for s.view.h.blocked.Load()&1 == 0 {
		pause(ctx, t, "the keeper to wait")
	}
	if head := s.State().Head; head != r.Flight {
		t.Errorf("%d bytes were read", head)
	}
	r.ID, r.Flight = "beyond", wire.MaxWindow+1
	if _, err := k.Start(ctx, r); !errors.Is(err, ErrInvalid) {
		t.Errorf("a flight beyond all windows: %v", err)
	}
}

// TestLargestMeta travels in a start, a change, a list and an adoption.
func TestLargestMeta(t *testing.T) {
	k, _ := inProcess(t, nil)
	ctx := testContext(t)
	meta := patternAt(0, MaxMeta)
	for _, id := range []string{"meta1", "meta2", "meta3"} {
		r := piped(t, id, "exec cat")
		r.Meta = meta
		start(t, k, r)
	}
	s, err := k.Adopt(ctx, "meta2")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if err := s.SetMeta(ctx, meta); err != nil {
		t.Fatal(err)
	}
	list, err := k.List(ctx)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d sessions, %v", len(list), err)
	}
	for _, i := range list {
		if !slices.Equal(i.Meta, meta) {
			t.Errorf("%s: another record of %d bytes", i.ID, len(i.Meta))
		}
	}
	if err := s.SetMeta(ctx, append(meta, 0)); !errors.Is(err, ErrInvalid) {
		t.Errorf("one byte more: %v", err)
	}
}
