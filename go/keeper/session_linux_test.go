package keeper

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"etcha/go/pty"
	"etcha/go/wire"
)

func TestEcho(t *testing.T) {
	k, _ := newKeeper(t)
	s := start(t, k, shell(t, "echo", `stty -echo; echo ready; read a; echo "got $a"; exit 7`))
	r := follow(t, s)
	r.until("ready\r\n")
	send(t, s, []byte("hello\n"))
	exit := r.toExit()
	if want := "ready\r\ngot hello\r\n"; string(r.out[Output]) != want {
		t.Errorf("output %q, want %q", r.out[Output], want)
	}
	if exit.Code != 7 || exit.Signal != "" || exit.Reason != wire.ReasonExited {
		t.Errorf("exit %+v", exit)
	}
	awaitEnded(t, s)
	if st := s.State(); st.Exit.Survivors != 0 || st.Written != 6 || st.Accepted != 6 || st.Acked != st.Head {
		t.Errorf("state %+v", st)
	}
}

func TestExitStatus(t *testing.T) {
	k, _ := inProcess(t, nil)
	cases := map[string]struct {
		script string
		want   Exit
	}{
		"true":     {"exit 0", Exit{Reason: wire.ReasonExited}},
		"status":   {"exit 200", Exit{Code: 200, Reason: wire.ReasonExited}},
		"by-TERM":  {"kill -TERM $$", Exit{Code: 143, Signal: "TERM", Reason: wire.ReasonExited}},
		"by-KILL":  {"kill -KILL $$", Exit{Code: 137, Signal: "KILL", Reason: wire.ReasonExited}},
		"no-stdio": {"exec <&- >&- 2>&-; exit 3", Exit{Code: 3, Reason: wire.ReasonExited}},
	}
	for name, c := range cases {
		for _, terminal := range []bool{true, false} {
			r := shell(t, fmt.Sprintf("%s-%v", name, terminal), c.script)
			r.Spec.Terminal = terminal
			if got := follow(t, start(t, k, r)).toExit(); got != c.want {
				t.Errorf("%s, terminal %v: %+v, want %+v", name, terminal, got, c.want)
			}
		}
	}
}

func TestStartFails(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := shell(t, "none", "")
	r.Spec.Argv = []string{"/does/not/exist"}
	_, err := k.Start(testContext(t), r)
	var se *pty.StartError
	if !errors.As(err, &se) || se.Item != "/does/not/exist" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing program: %v", err)
	}
	start(t, k, shell(t, "one", "cat"))
	if _, err := k.Start(testContext(t), shell(t, "one", "cat")); !errors.Is(err, ErrExists) {
		t.Errorf("an ID twice: %v", err)
	}
	if _, err := k.Adopt(testContext(t), "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("adopt what never started: %v", err)
	}
	if list, err := k.List(testContext(t)); err != nil || len(list) != 1 || list[0].ID != "one" {
		t.Errorf("list: %v %v", list, err)
	}
}

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

// TestControl resizes and signals, each sequence number once.
func TestControl(t *testing.T) {
	k, _ := inProcess(t, nil)
	s := start(t, k, shell(t, "control",
		`stty -echo; trap 'stty size' WINCH; trap 'echo usr1' USR1; trap 'echo term; exit 9' TERM; echo ready; while :; do read x; done`))
	r := follow(t, s)
	r.until("ready")
	ctx := testContext(t)
	check := func(st State, err error, seq uint64) {
		t.Helper()
		if err != nil || st.Seq != seq {
			t.Fatalf("seq %d, %v; want %d", st.Seq, err, seq)
		}
	}
	st, err := s.Resize(ctx, 5, 111, 33)
	check(st, err, 5)
	r.until("33 111")
	st, err = s.Signal(ctx, 5, "TERM") // not above: dropped
	check(st, err, 5)
	st, err = s.Signal(ctx, 6, "USR1")
	check(st, err, 6)
	r.until("usr1")
	st, err = s.Resize(ctx, 6, 1, 1)
	check(st, err, 6)
	if _, err = s.Signal(ctx, 7, "SEGV"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a signal that is not on the list: %v", err)
	}
	st, err = s.Signal(ctx, 8, "TERM")
	check(st, err, 8)
	if exit := r.toExit(); exit.Code != 9 || bytes.Contains(r.out[Output], []byte("1 1")) {
		t.Errorf("exit %+v, output %q", exit, r.out[Output])
	}
	st, err = s.Signal(ctx, 9, "TERM") // to nobody
	check(st, err, 9)
}

// TestMeta keeps the daemon's record.
func TestMeta(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := shell(t, "meta", "cat")
	r.Meta = []byte("first")
	s := start(t, k, r)
	if got := s.Info(); string(got.Meta) != "first" || !got.Terminal || got.PID == 0 || got.Window != wire.DefaultWindow {
		t.Errorf("info %+v", got)
	}
	if err := s.SetMeta(testContext(t), []byte("second")); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMeta(testContext(t), make([]byte, MaxMeta+1)); !errors.Is(err, ErrInvalid) {
		t.Errorf("too large: %v", err)
	}
	list, err := k.List(testContext(t))
	if err != nil || len(list) != 1 || string(list[0].Meta) != "second" || string(s.Info().Meta) != "second" {
		t.Errorf("list %+v, %v", list, err)
	}
}

// TestListPages lists more than one answer holds.
func TestListPages(t *testing.T) {
	k, s := inProcess(t, nil)
	const n = 30
	for i := range n {
		r := shell(t, fmt.Sprintf("s%02d", i), "cat")
		r.Meta = make([]byte, MaxMeta)
		start(t, k, r)
	}
	if p := s.page(""); !p.More || len(p.Sessions) >= n {
		t.Fatalf("first page: %d, more %v", len(p.Sessions), p.More)
	}
	list, err := k.List(testContext(t))
	if err != nil || len(list) != n {
		t.Fatalf("%d sessions, %v", len(list), err)
	}
	for i, info := range list {
		if info.ID != fmt.Sprintf("s%02d", i) || len(info.Meta) != MaxMeta {
			t.Errorf("%d: %s", i, info.ID)
		}
	}
}

// alive reports whether a process runs: one that nobody has reaped does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && syscall.Kill(pid, 0) == nil
}

// pids reads output until n processes have told their numbers, "pid=1;".
func (r *reader) pids(n int) []int {
	r.tb.Helper()
	tell := regexp.MustCompile(`pid=(\d+);`)
	for {
		if found := tell.FindAllSubmatch(r.out[Output], -1); len(found) >= n {
			var all []int
			for _, f := range found {
				pid, _ := strconv.Atoi(string(f[1]))
				all = append(all, pid)
			}
			return all
		}
		if n, done := r.step(); done {
			r.tb.Fatalf("ended with %s", short(r.out))
		} else if n == 0 {
			r.wait("processes")
		}
	}
}

// escape leaves processes in every way, five in all, and then the script goes on.
const escape = `sleep 1000 & echo "pid=$!;"
	setsid sh -c 'echo "pid=$$;"; exec sleep 1000' &
	nohup sleep 1000 >/dev/null 2>&1 & echo "pid=$!;"
	(sh -c 'echo "pid=$$;"; exec sleep 1000' &)
	echo "pid=$$;"
`

// TestEnd ends sessions whole, whatever they left where.
func TestEnd(t *testing.T) {
	k, _ := newKeeper(t)
	s := start(t, k, shell(t, "end", escape+`trap 'echo bye; exit 4' HUP; echo ready; while :; do read x; done`))
	r := follow(t, s)
	all := r.pids(5)
	r.until("ready")
	if err := s.End(testContext(t), wire.ReasonIdle); err != nil {
		t.Fatal(err)
	}
	exit := r.toExit()
	if exit.Reason != wire.ReasonIdle || exit.Code != 4 || !bytes.Contains(r.out[Output], []byte("bye")) {
		t.Errorf("exit %+v, output %q", exit, r.out[Output])
	}
	for _, pid := range all {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
	if err := s.End(testContext(t), wire.ReasonClosed); err != nil {
		t.Errorf("end again: %v", err)
	}
}

// TestEndWithFullRing ends a program that waits to write, with nobody to read.
func TestEndWithFullRing(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := shell(t, "full", `trap 'head -c 100000 /dev/zero; exit 6' HUP; while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done`)
	r.Window = 10_000
	s := start(t, k, r)
	rd := follow(t, s)
	rd.ack = false
	rd.blockedAt(r.Window)
	if err := s.End(testContext(t), wire.ReasonClosed); err != nil {
		t.Fatal(err)
	}
	if st := s.State(); st.Exit.Code != 6 || st.Exit.Reason != wire.ReasonClosed || st.Head != r.Window {
		t.Errorf("state %+v, exit %+v", st, st.Exit)
	}
}

// TestSurvivors ends what the program left; the exit does not wait for that.
func TestSurvivors(t *testing.T) {
	k, _ := newKeeper(t)
	script := `(trap "" HUP; exec sh -c 'echo "pid=$$;"; exec sleep 1000') & read go; exit 3`
	s := start(t, k, shell(t, "survivors", script))
	r := follow(t, s)
	all := r.pids(1)
	send(t, s, []byte("\n"))
	if exit := r.toExit(); exit.Code != 3 || exit.Reason != wire.ReasonExited {
		t.Errorf("exit %+v", exit)
	}
	awaitEnded(t, s)
	if got := s.State().Exit.Survivors; got != 1 {
		t.Errorf("%d survivors", got)
	}
	if alive(all[0]) {
		t.Errorf("process %d is alive", all[0])
	}
}

// TestKeep leaves alone what outlives a session with permission, also when
// later keepers come and go; but not when the session is ended.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	k := connectTo(t, dir)
	keep := func(id string) (*Session, *reader, int) {
		r := shell(t, id, `setsid sh -c 'echo "pid=$$;"; exec sleep 1000 >/dev/null 2>&1 </dev/null' & read go; exit 0`)
		r.Keep = true
		s := start(t, k, r)
		rd := follow(t, s)
		return s, rd, rd.pids(1)[0]
	}
	s, rd, kept := keep("keep")
	defer syscall.Kill(kept, syscall.SIGKILL)
	send(t, s, []byte("\n"))
	rd.toExit()
	awaitEnded(t, s)
	if !alive(kept) || s.State().Exit.Survivors != 0 {
		t.Errorf("kept process alive %v, exit %+v", alive(kept), s.State().Exit)
	}
	s, _, ended := keep("keep-ended")
	if err := s.End(testContext(t), wire.ReasonPolicy); err != nil || alive(ended) {
		t.Errorf("ended session: %v, its process alive %v", err, alive(ended))
	}
	shutDown(t, dir)
	connectTo(t, dir)
	shutDown(t, dir)
	if !alive(kept) {
		t.Error("the kept process did not outlive its keeper")
	}
}

// TestDrainWaitsForItsReader exits while its last output waits for room, with a
// background process on the terminal: the exit comes after the last byte.
func TestDrainWaitsForItsReader(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := shell(t, "drain", `stty raw; (sleep 1000 &); head -c 12000 /dev/zero; echo the end; exit 5`)
	r.Window = 1000
	s := start(t, k, r)
	rd := follow(t, s)
	rd.ack = false
	rd.blockedAt(r.Window)
	ctx := testContext(t)
	for done := false; !done; {
		// Each time the drain's grace may pass: nothing ends while we do not read.
		for range 2 {
			if st := s.State(); st.Exit != nil && st.Head < 12008 {
				t.Fatalf("exit with %d bytes read", st.Head)
			}
			pause(ctx, t, "nothing")
		}
		s.Acknowledge(rd.at)
		_, done = rd.step()
	}
	if !bytes.HasSuffix(rd.out[Output], []byte("the end\n")) || s.State().Exit.Code != 5 {
		t.Errorf("%d bytes, exit %+v", len(rd.out[Output]), s.State().Exit)
	}
}

// TestDrainIsBounded ends although a background process writes for ever.
func TestDrainIsBounded(t *testing.T) {
	k, _ := inProcess(t, nil)
	for _, r := range []StartRequest{shell(t, "flood", `yes & exit 5`), piped(t, "flood-pipe", `yes & yes >&2 & exit 5`)} {
		s := start(t, k, r)
		rd := follow(t, s)
		rd.take = func([]byte, Kind) {}
		if exit := rd.toExit(); exit.Code != 5 {
			t.Errorf("exit %+v", exit)
		}
		awaitEnded(t, s)
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
