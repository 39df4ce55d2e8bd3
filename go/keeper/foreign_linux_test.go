package keeper

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForeignUsers lets nobody in but the own user and root, either way.
func TestForeignUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	const nobody = 65534
	k, dir := newKeeper(t)
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := role(t, 0, "peek", dir).CombinedOutput(); err != nil {
		t.Errorf("the own user: %s, %v", out, err)
	}
	if err := os.Chmod(filepath.Join(dir, socketName), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := role(t, nobody, "peek", dir)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), ErrNone.Error()) {
		t.Errorf("another user: %s, %v", out, err)
	}
	if log := keeperLog(dir); !strings.Contains(log, fmt.Sprintf("user ID %d", nobody)) {
		t.Errorf("log %q", log)
	}
	if _, err := k.List(testContext(t)); err != nil {
		t.Error(err)
	}
	fakeKeeper(t, nobody)
}

// fakeKeeper connects to a keeper of another user.
func fakeKeeper(t *testing.T, uid uint32) {
	t.Helper()
	dir := t.TempDir()
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd := role(t, uid, "fake", dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(testContext(t), ConnectOptions{StateDir: dir, Argv: keeperArgv(dir)}); !errors.Is(err, ErrForeign) {
		t.Errorf("a keeper of another user: %v", err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
