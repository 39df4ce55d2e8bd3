package keeper

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"etcha/go/wire"
)

// TestUpgradeRefused leaves everything as it was.
func TestUpgradeRefused(t *testing.T) {
	k, dir := newKeeper(t)
	s := start(t, k, piped(t, "stays", "exec cat"))
	ctx := testContext(t)
	send(t, s, patternAt(0, 1000))
	for name, argv := range map[string][]string{
		"state":  versionArgv(dir, "refuse"),
		"folder": versionArgv(dir, "elsewhere"),
		"silent": versionArgv(dir, "silent"),
		"false":  {"/bin/false"},
		"true":   {"/bin/true"},
		"text":   {filepath.Join(dir, lockName)},
	} {
		if err := k.Upgrade(ctx, argv); err == nil {
			t.Errorf("%s: became it", name)
		}
	}
	if err := k.Upgrade(ctx, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("nothing: %v", err)
	}
	if err := s.Err(); err != nil {
		t.Errorf("the session is lost: %v", err)
	}
	again, err := Connect(ctx, ConnectOptions{StateDir: dir, Argv: versionArgv(dir, "refuse"), Version: "refuse"})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.c.peer.PID != k.c.peer.PID {
		t.Error("it is another keeper")
	}
	continueFlow(t, s)
}

// TestUpgradeFailsLate goes on in the old program when the new one cannot be
// executed after all, again and again.
func TestUpgradeFailsLate(t *testing.T) {
	k, srv := inProcess(t, nil)
	dir := k.dir
	var mu sync.Mutex
	var handed keeperState
	srv.exec = func(_ string, argv, env []string) error {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range env {
			if fd, ok := strings.CutPrefix(e, stateEnv+"="); ok {
				n, _ := strconv.Atoi(fd)
				dup, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3)
				if err != nil {
					return err
				}
				b, err := readState(dup)
				if err != nil {
					return err
				}
				if handed, err = decodeState(b); err != nil {
					return err
				}
			}
		}
		return unix.E2BIG
	}
	start(t, k, piped(t, "flow", "exec cat")).Release()
	blocked := start(t, k, shell(t, "blocked", "stty raw -echo; echo ready; sleep 1000"))
	follow(t, blocked).until("ready")
	send(t, blocked, patternAt(0, 300_000))
	over := start(t, k, piped(t, "over", "exit 3"))
	awaitEnded(t, over)
	for range 5 {
		if err := k.Upgrade(testContext(t), versionArgv(dir, "next")); !errors.Is(err, unix.E2BIG) {
			t.Fatalf("%v", err)
		}
		mu.Lock()
		seen := handed
		mu.Unlock()
		if len(seen.Sessions) != 3 {
			t.Fatalf("%+v", seen)
		}
		for _, fd := range seen.descriptors() {
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor %d: flags %#x, %v", fd, flags, err)
			}
		}
		s := adopt(t, k, "flow")
		continueFlow(t, s)
		s.Release()
	}
	s := adopt(t, k, "blocked")
	if st := s.State(); st.Accepted != 300_000 || st.Written == st.Accepted {
		t.Errorf("%+v", st)
	}
	if err := s.End(testContext(t), wire.ReasonClosed); err != nil {
		t.Error(err)
	}
	if exit := adopt(t, k, "over").State().Exit; exit == nil || exit.Code != 3 {
		t.Errorf("%+v", exit)
	}
}

// TestUpgradeAskerKilled kills the daemon while it asks; whatever became of it,
// the sessions live.
func TestUpgradeAskerKilled(t *testing.T) {
	k, dir := newKeeper(t)
	pid := k.c.peer.PID
	start(t, k, piped(t, "flow", "exec cat")).Release()
	for i := range 4 {
		c, err := k.dial(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		f, _, err := openProgram(versionArgv(dir, "x"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := encode(opUpgrade, upgradeBody{Argv: toBytes(versionArgv(dir, fmt.Sprintf("killed%d", i)))})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.sendFDs(opUpgrade, 5, body, int(f.Fd())); err != nil {
			t.Fatal(err)
		}
		c.close()
		f.Close()
		k.Close()
		if k, err = Connect(testContext(t), ConnectOptions{StateDir: dir, Argv: keeperArgv(dir)}); err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		if k.c.peer.PID != pid {
			t.Fatalf("process %d, was %d\n%s", k.c.peer.PID, pid, keeperLog(dir))
		}
		s, err := k.Adopt(testContext(t), "flow")
		if errors.Is(err, ErrLost) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			continue // it was becoming another just then
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Release()
	}
	k = upgradeTo(t, dir, "last")
	continueFlow(t, adopt(t, k, "flow"))
}
