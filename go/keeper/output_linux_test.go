package keeper

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// hashing lets a reader hash output instead of keeping it.
func hashing(r *reader) func() string {
	h := sha256.New()
	r.take = func(b []byte, _ Kind) { h.Write(b) }
	return func() string { return fmt.Sprintf("%x", h.Sum(nil)) }
}

// TestMuchOutput reads 20 MB in small pieces, so that the program blocks.
func TestMuchOutput(t *testing.T) {
	const size = 20 << 20
	for _, terminal := range []bool{true, false} {
		t.Run(fmt.Sprintf("terminal=%v", terminal), func(t *testing.T) {
			t.Parallel()
			k, _ := newKeeper(t)
			file := t.TempDir() + "/random"
			data := randomFile(t, file, size)
			r := shell(t, "much", "stty raw -echo; exec cat "+file)
			if !terminal {
				r = piped(t, "much-pipe", "exec cat "+file)
			}
			s := start(t, k, r)
			rd := follow(t, s)
			rd.buf = make([]byte, 3000) // never a divisor of the ring
			sum := hashing(rd)
			if exit := rd.toExit(); exit.Code != 0 || rd.at != size {
				t.Fatalf("exit %+v after %d bytes", exit, rd.at)
			}
			if want := fmt.Sprintf("%x", sha256.Sum256(data)); sum() != want {
				t.Errorf("hash %s, want %s", sum(), want)
			}
		})
	}
}

// TestBackPressure acknowledges nothing: the program blocks when the window is
// full, at what the flight allows before, and nothing is lost.
func TestBackPressure(t *testing.T) {
	const size, window, flight = 300_000, 100_000, 30_000
	for _, terminal := range []bool{true, false} {
		k, _ := inProcess(t, nil)
		file := t.TempDir() + "/random"
		data := randomFile(t, file, size)
		r := shell(t, "blocked", "stty raw -echo; echo; read go; exec cat "+file)
		if !terminal {
			r = piped(t, "blocked-pipe", "read go; exec cat "+file)
		}
		r.Window, r.Scrollback = window, 1000
		s := start(t, k, r)
		s.SetFlight(flight)
		rd := follow(t, s)
		if terminal {
			rd.until("\n") // there is no echo from here on
		}
		base := rd.at
		rd.ack, rd.out[Output] = false, nil
		send(t, s, []byte("\n"))
		rd.blockedAt(base + flight)
		s.SetFlight(0)
		s.SetFlight(window)
		rd.blockedAt(base + window)
		before := s.State().Activity
		s.Acknowledge(base + window + 1000) // never beyond the head
		rd.blockedAt(base + 2*window)
		if got := s.State(); !got.Activity.After(before) {
			t.Errorf("a blocked program does not count as active: %v, before %v", got.Activity, before)
		}
		s.Acknowledge(base + window - 10) // never back
		if st := s.State(); st.Acked != base+window {
			t.Errorf("acknowledged %d, want %d", st.Acked, base+window)
		}
		rd.ack = true
		s.Acknowledge(rd.at)
		rd.toExit()
		if !bytes.Equal(rd.out[Output], data) {
			t.Errorf("%d bytes differ from the %d written", len(rd.out[Output]), size)
		}
		if _, _, err := s.Read(rd.buf, 0); !errors.Is(err, ErrGone) {
			t.Errorf("overwritten output: %v", err)
		}
		if _, _, err := s.Read(rd.buf, base+size+1); !errors.Is(err, ErrAhead) {
			t.Errorf("output of the future: %v", err)
		}
		if n, _, err := s.Read(rd.buf, base+size-1000); n == 0 || err != nil {
			t.Errorf("scrollback: %d, %v", n, err)
		}
	}
}

// blockedAt reads until the keeper says that it waits, and checks where.
func (r *reader) blockedAt(head uint64) {
	r.tb.Helper()
	for {
		blocked := r.s.view.h.blocked.Load()
		n, _ := r.step()
		if n > 0 {
			continue
		}
		if st := r.s.State(); st.Head == head && blocked&1 == 1 && blocked != r.s.poked.Load() {
			return
		} else if st.Head > head {
			r.tb.Fatalf("head %d, beyond %d", st.Head, head)
		}
		pause(r.ctx, r.tb, fmt.Sprintf("the program to block at %d", head))
	}
}

func randomFile(tb testing.TB, name string, size int) []byte {
	tb.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = pattern(uint64(i))
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return data
}

// pattern is the byte at an offset of a stream that repeats nowhere near.
func pattern(at uint64) byte {
	x := at*0x9e3779b97f4a7c15 + 0x1234567
	x ^= x >> 29
	return byte(x * 0xbf58476d1ce4e5b9 >> 56)
}

// TestKinds keeps stdout and stderr apart, in the order in which they came.
func TestKinds(t *testing.T) {
	k, _ := inProcess(t, nil)
	s := start(t, k, piped(t, "kinds", `for i in 1 2 3 4 5 6 7 8; do read x; echo "out $i"; read x; echo "err $i" >&2; done`))
	r := follow(t, s)
	var order []string
	r.take = func(b []byte, kind Kind) {
		if len(b) > 0 {
			order = append(order, fmt.Sprintf("%d:%s", kind, b))
		}
	}
	var want []string
	for i := 1; i <= 8; i++ {
		for kind, name := range []string{"out", "err"} {
			send(t, s, []byte("\n"))
			line := fmt.Sprintf("%d:%s %d\n", kind, name, i)
			want = append(want, line)
			for strings.Join(order, "") != strings.Join(want, "") {
				if n, done := r.step(); done {
					t.Fatalf("ended with %q", order)
				} else if n == 0 {
					r.wait(line)
				}
			}
		}
	}
	r.toExit()
	// All of it again, from the table of runs.
	order, r.at = nil, 0
	r.buf = make([]byte, 1<<10)
	r.toExit()
	if strings.Join(order, "|") != strings.Join(want, "|") {
		t.Errorf("order %q, want %q", order, want)
	}
}

// TestKindsUnderPressure lets both streams write as fast as they are read.
func TestKindsUnderPressure(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := piped(t, "both", `(seq 1 60000; echo end) & seq 100001 160000 >&2; wait`)
	r.Window = 10_000
	rd := follow(t, start(t, k, r))
	rd.toExit()
	for kind, from := range map[Kind]int{Output: 1, Stderr: 100001} {
		lines := strings.Split(strings.TrimSuffix(string(rd.out[kind]), "end\n"), "\n")
		if len(lines) != 60001 {
			t.Errorf("kind %d: %d lines", kind, len(lines)-1)
			continue
		}
		for i, l := range lines[:60000] {
			if l != strconv.Itoa(from+i) {
				t.Errorf("kind %d line %d: %q", kind, i, l)
				break
			}
		}
	}
}

// TestDiscard lets the oldest output go while nobody reads.
func TestDiscard(t *testing.T) {
	const window = 50_000
	k, _ := inProcess(t, nil)
	r := piped(t, "discard", "read go; seq 1 100000; echo done; read go; exec seq 1 100000")
	r.Window, r.Scrollback, r.Discard = window, 0, true
	s := start(t, k, r)
	if _, err := s.SetAttached(testContext(t), false); err != nil {
		t.Fatal(err)
	}
	send(t, s, []byte("\n"))
	const all = 588895 + 5 // of seq, and "done\n"
	ctx := testContext(t)
	for s.State().Head != all {
		pause(ctx, t, "output that nobody reads")
	}
	st, err := s.SetAttached(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	if st.Acked < all-window || st.Acked > all-window+discardStep || st.Dropped != st.Acked || st.Tail > st.Acked {
		t.Fatalf("state %+v", st)
	}
	rd := follow(t, s)
	rd.at = st.Acked
	rd.until("done\n")
	if want := []byte("99999\n100000\ndone\n"); !bytes.HasSuffix(rd.out[Output], want) || uint64(len(rd.out[Output])) != all-st.Acked {
		t.Errorf("%d bytes were kept, the last %q", len(rd.out[Output]), rd.out[Output][len(rd.out[Output])-30:])
	}
	// With somebody attached the program waits again.
	rd.ack = false
	send(t, s, []byte("\n"))
	rd.blockedAt(all + window)
	if got := s.State().Dropped; got != st.Dropped {
		t.Errorf("dropped %d, want %d as before", got, st.Dropped)
	}
}

// TestReopenedTerminal loses nothing of a program that closes its terminal and
// opens it again.
func TestReopenedTerminal(t *testing.T) {
	k, _ := inProcess(t, nil)
	s := start(t, k, shell(t, "reopen", `echo one; exec <&- >&- 2>&-; sleep 0.1; exec >/dev/tty; echo two`))
	r := follow(t, s)
	r.toExit()
	if string(r.out[Output]) != "one\r\ntwo\r\n" {
		t.Errorf("output %q", r.out[Output])
	}
}

// TestTrimAfterQuiet gives memory back some time after the reader caught up.
func TestTrimAfterQuiet(t *testing.T) {
	k, srv := inProcess(t, nil)
	r := piped(t, "trim", "head -c 3000000 /dev/zero; cat")
	s := start(t, k, r)
	rd := follow(t, s)
	for rd.at < 3_000_000 {
		if n, _ := rd.step(); n == 0 {
			rd.wait("output")
		}
	}
	h, err := srv.find("trim")
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	for {
		h.mu.Lock()
		trimmed, idle := h.ring.trimmed, h.trimmer == nil
		h.mu.Unlock()
		if idle && trimmed > 2_000_000 {
			break
		}
		pause(ctx, t, "the trim")
	}
	send(t, s, []byte("after"))
	rd.until("after")
	if _, _, err := s.Read(rd.buf, 2_500_000); !errors.Is(err, ErrGone) {
		t.Errorf("trimmed output: %v", err)
	}
}

// TestTinyWindow makes both sides wait for each other all the time, with a reader
// that waits and one that is always there: one wake-up lost and it hangs.
func TestTinyWindow(t *testing.T) {
	k, _ := newKeeper(t)
	for name, waits := range map[string]bool{"tiny-wait": true, "tiny-spin": false} {
		r := piped(t, name, "seq 1 20000; seq 1 20000 >&2")
		r.Window, r.Scrollback = 100, 1
		s := start(t, k, r)
		rd := follow(t, s)
		for done := false; !done && rd.ctx.Err() == nil; {
			var n int
			if n, done = rd.step(); n == 0 && !done && waits {
				rd.wait("output")
			}
		}
		for kind, out := range rd.out {
			if len(out) != 108894 || !bytes.HasSuffix(out, []byte("19999\n20000\n")) {
				t.Errorf("%s: kind %d: %d bytes", name, kind, len(out))
			}
		}
	}
}

// TestHostileWords lets a daemon write nonsense to its page. What the program
// said stays whole, and the next daemon finds sane offsets.
func TestHostileWords(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := piped(t, "hostile", "read go; seq 1 100000; read go; echo end")
	r.Window, r.Scrollback = 10_000, 100_000
	s := start(t, k, r)
	ctl := s.view.ctl
	ctl.flight.Store(1 << 63)
	ctl.want.Store(1 << 63)
	send(t, s, []byte("\n"))
	ctx := testContext(t)
	for i := uint64(0); s.State().Head < 588895; i++ {
		st := s.State()
		if st.Head-s.view.h.acked.Load() > r.Window || s.view.h.acked.Load() > st.Head {
			t.Fatalf("state %+v", st)
		}
		ctl.acked.Store(^uint64(0) - i%7)
		ctl.armed.Add(1)
		s.view.h.tail.Load()
		if err := s.c.send(opSpace, 0, 0, nil, nil); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			pause(ctx, t, "the output")
		}
	}
	ctl.acked.Store(0)
	next, err := k.Adopt(ctx, "hostile")
	if err != nil {
		t.Fatal(err)
	}
	defer next.Release()
	st := next.State()
	if st.Head != 588895 || st.Acked > st.Head || st.Acked < st.Head-r.Window || st.Tail > st.Acked {
		t.Fatalf("state %+v", st)
	}
	rd := follow(t, next)
	rd.at = st.Acked
	send(t, next, []byte("\n"))
	if rd.toExit(); !bytes.HasSuffix(rd.out[Output], []byte("end\n")) {
		t.Errorf("output %s", short(rd.out))
	}
}

// TestReleaseWhileInUse drops a handle under all who use it.
func TestReleaseWhileInUse(t *testing.T) {
	k, _ := inProcess(t, nil)
	for i := range 20 {
		s := start(t, k, shell(t, fmt.Sprintf("use%d", i), "exec cat /dev/zero"))
		ctx := testContext(t)
		var wg sync.WaitGroup
		until := func(use func() error) {
			wg.Go(func() {
				for {
					if err := use(); err != nil {
						if !errors.Is(err, ErrReleased) && !errors.Is(err, ErrLost) && !errors.Is(err, ErrFull) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		var at, in uint64
		buf := make([]byte, 1000)
		until(func() error {
			n, _, err := s.Read(buf, at)
			at += uint64(n)
			s.Acknowledge(at)
			s.SetFlight(at % 5000)
			return err
		})
		until(func() error {
			st, err := s.Input(ctx, in, []byte("x"), false)
			in = st.Accepted
			return err
		})
		until(func() error { _, err := s.Resize(ctx, 1, 80, 24); return err })
		until(func() error { s.State(); s.Info(); return s.Err() })
		until(func() error { return s.SetMeta(ctx, []byte("x")) })
		if i%2 == 0 {
			s.Release()
		}
		wg.Go(s.Release)
		wg.Wait()
		if _, _, err := s.Read(buf, 0); !errors.Is(err, ErrReleased) {
			t.Errorf("read: %v", err)
		}
		if err := s.Err(); !errors.Is(err, ErrReleased) {
			t.Errorf("error: %v", err)
		}
	}
}
