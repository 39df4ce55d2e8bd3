package keeper

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"etcha/go/wire"
)

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
	for done := false; !done; {
		if rd.at == 5000 {
			<-time.After(3 * wire.DrainGrace) // however long nobody reads
		}
		if st := s.State(); st.Exit != nil && st.Head < 12008 {
			t.Fatalf("exit with %d bytes read", st.Head)
		}
		s.Acknowledge(rd.at)
		if full := rd.at + r.Window; full <= 12000 {
			rd.blockedAt(full)
		} else if _, done = rd.step(); !done {
			pause(rd.ctx, t, "the exit")
		}
	}
	if !bytes.HasSuffix(rd.out[Output], []byte("the end\n")) || s.State().Exit.Code != 5 {
		t.Errorf("%d bytes, exit %+v", len(rd.out[Output]), s.State().Exit)
	}
}

// TestDrainIsBounded ends although background processes write for ever, to a
// reader that takes all at once and to one that always leaves them waiting.
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
	r := piped(t, "flood-late", `yes & exit 5`)
	r.Window = 5000
	s := start(t, k, r)
	rd := follow(t, s)
	for s.State().Exit == nil {
		for st := s.State(); st.Exit == nil && st.Head < st.Acked+r.Window; st = s.State() {
			pause(rd.ctx, t, "the ring to be full")
		}
		s.Acknowledge(s.State().Head)
	}
	awaitEnded(t, s)
}
