package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUpgradeAttributes compares what a process keeps, and what its shells get.
func TestUpgradeAttributes(t *testing.T) {
	k, dir := newKeeper(t)
	pid := k.c.peer.PID
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("333"), 0); err != nil {
		t.Fatal(err)
	}
	look := func() string {
		var all []string
		for _, name := range []string{"oom_score_adj", "limits", "cgroup"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(b))
		}
		return strings.Join(all, "\n")
	}
	count := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	start(t, k, shell(t, "one", "exec sleep 1000"))
	k = upgradeTo(t, dir, "v1")
	before, fds := look(), count()
	for i := range 3 {
		k = upgradeTo(t, dir, fmt.Sprintf("v%d", i+2))
	}
	if after := look(); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
	if after := count(); after > fds {
		t.Errorf("%d descriptors, %d before", after, fds)
	}
	argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if want := strings.Join(versionArgv(dir, "v4"), "\x00") + "\x00"; err != nil || string(argv) != want {
		t.Errorf("command line %q, %v", argv, err)
	}
	rd := follow(t, start(t, k, piped(t, "look", "grep -E 'Sig(Ign|Blk)' /proc/self/status; ls /proc/self/fd | wc -l; ulimit -n; env")))
	rd.toExit()
	plain := follow(t, start(t, connectTo(t, freshKeeper(t)), piped(t, "look", "grep -E 'Sig(Ign|Blk)' /proc/self/status; ls /proc/self/fd | wc -l; ulimit -n; env")))
	plain.toExit()
	if !bytes.Equal(rd.out[Output], plain.out[Output]) {
		t.Errorf("shells got\n%s\nnot\n%s", rd.out[Output], plain.out[Output])
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := k.List(testContext(t)); err != nil {
		t.Errorf("after a signal that it outlives: %v", err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-k.Done()
	awaitUnlocked(t, dir)
}

// freshKeeper is the folder of a keeper that was never upgraded.
func freshKeeper(t *testing.T) string {
	t.Helper()
	_, dir := newKeeper(t)
	return dir
}

// TestUpgradeLosesOne ends a session that cannot be taken over, and no other.
func TestUpgradeLosesOne(t *testing.T) {
	k, dir := newKeeper(t)
	start(t, k, piped(t, "good", "exec cat"))
	bad := start(t, k, shell(t, "bad", escape+"exec cat"))
	all := follow(t, bad).pids(5)
	damage(t, k.c.peer.PID, bad)
	k = upgradeTo(t, dir, "next")
	list, err := k.List(testContext(t))
	if err != nil || len(list) != 1 || list[0].ID != "good" {
		t.Errorf("sessions %v, %v", list, err)
	}
	continueFlow(t, adopt(t, k, "good"))
	ctx := testContext(t)
	for _, p := range all {
		for alive(p) {
			pause(ctx, t, "the processes of the lost session to end")
		}
	}
	if !strings.Contains(keeperLog(dir), "session was lost in an upgrade") {
		t.Errorf("log: %s", keeperLog(dir))
	}
}

// damage writes nonsense into the header of a session's memory.
func damage(t *testing.T, keeper int, s *Session) {
	t.Helper()
	var mine unix.Stat_t
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", keeper))
	if err != nil {
		t.Fatal(err)
	}
	want := s.view.h.window
	for _, e := range fds {
		name := fmt.Sprintf("/proc/%d/fd/%s", keeper, e.Name())
		link, err := os.Readlink(name)
		if err != nil || !strings.HasPrefix(link, "/memfd:etcha-output") || unix.Stat(name, &mine) != nil {
			continue
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		var slots [8]byte
		_, err = f.ReadAt(slots[:], 56)
		if err == nil && slots[0] == 0 && slots[1] == 0 && want > 0 { // a terminal's has no table of runs
			_, err = f.WriteAt([]byte{0xff}, 8) // layout
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConnectCurrent leaves a keeper of the same program alone.
func TestConnectCurrent(t *testing.T) {
	dir := t.TempDir()
	first := upgradeTo(t, dir, "same")
	t.Cleanup(func() { shutDown(t, dir) })
	second := upgradeTo(t, dir, "same")
	if err := first.c.lost(); err != nil || second.c.peer.PID != first.c.peer.PID {
		t.Errorf("%v, process %d", err, second.c.peer.PID)
	}
	// Another file of the same version is another program.
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "etcha")
	if err := os.WriteFile(copied, b, 0o700); err != nil {
		t.Fatal(err)
	}
	argv := versionArgv(dir, "same")
	argv[0] = copied
	third, err := Connect(testContext(t), ConnectOptions{StateDir: dir, Argv: argv, Version: "same"})
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", third.c.peer.PID))
	if err != nil || exe != copied || third.c.peer.PID != first.c.peer.PID {
		t.Errorf("it runs %s, %v", exe, err)
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", third.c.peer.PID))
	if err != nil || string(comm) != "etcha\n" {
		t.Errorf("its name is %q, %v", comm, err)
	}
}
