package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"etcha/go/pty"
)

// roleNode as the first argument makes the test binary a daemon with a session
// of the name that follows the folder, until it is killed.
const roleNode = "node-under-test"

// nodeMain starts a keeper and a session on a terminal.
func nodeMain(dir string) int {
	k, err := Connect(context.Background(), ConnectOptions{StateDir: dir, Argv: keeperArgv(dir)})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	a, err := pty.LookupAccount("", "")
	if err != nil {
		return 1
	}
	_, err = k.Start(context.Background(), StartRequest{ID: "flow", Resume: testTime, Spec: pty.Spec{
		Argv: []string{"/bin/cat"}, Env: []string{"PATH=/bin"}, Dir: "/", Account: a, Umask: 0o022,
	}})
	fmt.Println("ready", err)
	select {}
}

// testGroup makes a cgroup for a test, or skips it.
func testGroup(t *testing.T) string {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
			continue
		}
		dir := filepath.Join(root, fmt.Sprintf("test-etcha-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("NOT TESTED: no cgroup can be made: %v", err)
		}
		t.Cleanup(func() {
			ctx := testContext(t)
			for {
				err := os.Remove(dir)
				if err == nil || errors.Is(err, fs.ErrNotExist) {
					return
				}
				pause(ctx, t, dir+" to be empty")
			}
		})
		if _, err := os.Stat(filepath.Join(dir, "cgroup.kill")); err != nil {
			t.Skipf("NOT TESTED: groups cannot be killed: %v", err)
		}
		return dir
	}
	t.Skip("NOT TESTED: there is no cgroup v2")
	return ""
}

// TestLeavesTheDaemonsGroup kills a daemon with its whole cgroup. Keeper and
// shells live on, and leave nothing behind when they end.
func TestLeavesTheDaemonsGroup(t *testing.T) {
	if _, err := os.Stat(here().booted); err == nil {
		t.Skip("NOT TESTED: systemd manages this machine's groups")
	}
	group, dir := testGroup(t), t.TempDir()
	inner := filepath.Join(group, "daemon")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(inner)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := role(t, 0)
	cmd.Args = []string{"/proc/self/exe", roleNode, dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); _ = cmd.Wait() })
	said := make([]byte, 100)
	if n, err := out.Read(said); err != nil || string(said[:n]) != "ready <nil>\n" {
		t.Fatalf("%q, %v", said[:n], err)
	}
	if err := os.WriteFile(filepath.Join(inner, "cgroup.kill"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	k, err := Connect(testContext(t), ConnectOptions{StateDir: dir})
	if err != nil {
		t.Fatalf("the keeper is gone: %v\n%s", err, keeperLog(dir))
	}
	defer k.Close()
	t.Cleanup(func() { shutDown(t, dir) })
	s := adopt(t, k, "flow")
	continueFlow(t, s)
	own := unifiedGroup(t, k.c.peer.PID)
	if filepath.Dir(own) != "/"+filepath.Base(group) || !strings.HasPrefix(filepath.Base(own), "etcha-keeper-") {
		t.Errorf("the keeper is in %s", own)
	}
	if shell := unifiedGroup(t, s.Info().PID); filepath.Dir(shell) != own || !strings.HasSuffix(shell, "-flow") {
		t.Errorf("the shell is in %s", shell)
	}
	s.Release()
	k = upgradeTo(t, dir, "next")
	if again := unifiedGroup(t, k.c.peer.PID); again != own {
		t.Errorf("after an upgrade the keeper is in %s", again)
	}
	continueFlow(t, adopt(t, k, "flow"))
	k.Close()
	shutDown(t, dir)
	if err := os.Remove(inner); err != nil {
		t.Error(err)
	}
}

// TestSweepsOwnGroups ends what a keeper that was killed left in a group of its
// own, and removes it.
func TestSweepsOwnGroups(t *testing.T) {
	if _, err := os.Stat(here().booted); err == nil {
		t.Skip("NOT TESTED: systemd manages this machine's groups")
	}
	group := testGroup(t)
	inner := filepath.Join(group, "daemon")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(inner) })
	f, err := os.Open(inner)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	run := func() (keeper int) {
		cmd := role(t, 0)
		cmd.Args = []string{"/proc/self/exe", roleNode, dir}
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if n, err := out.Read(make([]byte, 100)); n == 0 {
			t.Fatal(err)
		}
		cmd.Process.Kill()
		_ = cmd.Wait()
		k, err := Connect(testContext(t), ConnectOptions{StateDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		return k.c.peer.PID
	}
	first := run()
	own := filepath.Join(filepath.Dir(group), unifiedGroup(t, first))
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitUnlocked(t, dir)
	t.Cleanup(func() { shutDown(t, dir) })
	if second := run(); second == first {
		t.Fatal("it lives")
	}
	if _, err := os.Stat(own); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", own, err)
	}
}

// unifiedGroup is the cgroup v2 of a process.
func unifiedGroup(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if g, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return g
		}
	}
	t.Fatalf("no group in %q", b)
	return ""
}

// TestScope asks systemd for a scope, and waits until it is there.
func TestScope(t *testing.T) {
	name, err := pty.OwnCgroupName()
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	group := "0::/system.slice/etcha.service\n"
	in := surroundings{
		booted: t.TempDir(), root: true, pid: 4711,
		run: func(_ context.Context, args []string) error {
			asked = args
			group = "0::/system.slice/" + name + ".scope\n"
			return nil
		},
		own: func() (string, error) { return group, nil },
	}
	if err := in.makeScope(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(asked, scopeCall(name, 4711)) {
		t.Errorf("asked %q", asked)
	}
	asked = nil
	if err := in.makeScope(); err != nil || asked != nil { // as after an upgrade
		t.Errorf("%v, asked again %q", err, asked)
	}
	in.root = false
	if err := in.makeScope(); !errors.Is(err, errNotRoot) {
		t.Error(err)
	}
	in.root, group = true, ""
	in.run = func(context.Context, []string) error { return syscall.ENOENT }
	if err := in.makeScope(); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
}
