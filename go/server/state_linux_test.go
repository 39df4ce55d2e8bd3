package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcha/go/errs"
)

func TestStateIsMadePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "var", "lib", "etcha")
	s, err := openState(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	pid, err := os.ReadFile(s.file(lockName))
	if err != nil || string(pid) != fmt.Sprintln(os.Getpid()) {
		t.Errorf("lock says %q, %v", pid, err)
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestStateIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s, err := openState(path)
	if err != nil {
		t.Fatal(err)
	}
	if held, err := locked(path, lockName); err != nil || !held {
		t.Fatalf("locked: %v, %v", held, err)
	}
	_, err = openState(path)
	if want := fmt.Sprintf("in use by the daemon with process ID %d", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) || errs.HintOf(err) == "" {
		t.Fatalf("a second daemon: %v, want %q and a hint", err, want)
	}
	s.close()
	if held, err := locked(path, lockName); err != nil || held {
		t.Fatalf("after close, locked: %v, %v", held, err)
	}
	again, err := openState(path)
	if err != nil {
		t.Fatal(err)
	}
	again.close()
	if held, err := locked(filepath.Join(path, "none"), lockName); err != nil || held {
		t.Errorf("no folder, locked: %v, %v", held, err)
	}
}

func TestStateRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writable := filepath.Join(dir, "writable")
	linked := filepath.Join(dir, "linked")
	for _, err := range []error{
		os.WriteFile(file, nil, 0o600), os.Mkdir(writable, 0o700), os.Chmod(writable, 0o770),
		os.Mkdir(linked, 0o700), os.Symlink(file, filepath.Join(linked, lockName)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, path, want string }{
		{"not set", "", "run.stateDir is not set"},
		{"a file", file, "is not a folder"},
		{"below a file", filepath.Join(file, "state"), "cannot be written"},
		{"not writable", "/proc/etcha-state", "cannot be written"},
		{"writable by others", writable, "may be written by others (mode 0770)"},
		{"lock is a link", linked, "cannot be written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := openState(c.path)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestStateOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder away")
	}
	path := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := openState(path); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Fatalf("got %v", err)
	}
}

func TestStateReadableByOthersIsAccepted(t *testing.T) {
	path := t.TempDir()
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := openState(path)
	if err != nil {
		t.Fatal(err)
	}
	s.close()
}
