package keeper

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
)

// role runs the test binary as something else.
func role(tb testing.TB, uid uint32, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(testContext(tb), "/proc/self/exe", append([]string{roleDaemon}, args...)...)
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	return cmd
}

// TestDaemonKilled kills daemons in the middle of a stream. The next goes on
// where the keeper says, and not a byte is missing or there twice, either way.
func TestDaemonKilled(t *testing.T) {
	dir := t.TempDir()
	k := connectTo(t, dir)
	t.Cleanup(func() { shutDown(t, dir) })
	s := start(t, k, piped(t, "flow", "exec cat"))
	s.Release()
	for i := range 8 {
		cmd := role(t, 0, "flow", dir, "flow", fmt.Sprint(100_000*(i+1)))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Errorf("daemon %d: %q, %v", i, line, err)
		}
		cmd.Process.Kill()
		_ = cmd.Wait()
		s, err := k.Adopt(testContext(t), "flow")
		if err != nil {
			t.Fatalf("adopt: %v\n%s", err, keeperLog(dir))
		}
		continueFlow(t, s)
		s.Release()
	}
}

// continueFlow sends more, and checks all output from the last acknowledged on.
func continueFlow(t *testing.T, s *Session) {
	t.Helper()
	st := s.State()
	ctx := testContext(t)
	rd := follow(t, s)
	rd.at = st.Acked
	rd.take = func(b []byte, _ Kind) {
		if !bytes.Equal(b, patternAt(rd.at, len(b))) {
			t.Fatalf("output differs within %d bytes of %d", len(b), rd.at)
		}
	}
	want := st.Accepted + 50_000
	for at := st.Accepted; rd.at < want; {
		if at < want {
			got, err := s.Input(ctx, at, patternAt(at, int(want-at)), false)
			if err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			at = got.Accepted
		}
		if n, done := rd.step(); done {
			t.Fatal("ended")
		} else if n == 0 {
			rd.wait("the rest of the stream")
		}
	}
	if got := s.State(); got.Head != want || got.Accepted != want {
		t.Fatalf("state %+v, want %d everywhere", got, want)
	}
}

// TestAdoptReplaces sends the earlier daemon away; what it had sent counts.
func TestAdoptReplaces(t *testing.T) {
	k, _ := inProcess(t, nil)
	first := start(t, k, piped(t, "replace", "exec cat"))
	if _, err := first.Input(testContext(t), 0, patternAt(0, 300_000), false); err != nil {
		t.Fatal(err)
	}
	second, err := k.Adopt(testContext(t), "replace")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	<-first.Lost()
	if err := first.Err(); !errors.Is(err, ErrReplaced) {
		t.Errorf("first: %v", err)
	}
	if _, err := first.Input(testContext(t), 300_000, []byte("x"), false); !errors.Is(err, ErrReplaced) {
		t.Errorf("input of the first: %v", err)
	}
	if st := second.State(); st.Accepted != 300_000 {
		t.Errorf("second: %+v", st)
	}
	continueFlow(t, second)
}
