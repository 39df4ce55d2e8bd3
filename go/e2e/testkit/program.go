//go:build linux

package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Program builds the program into dir, once for a test process: call it from
// TestMain. With the race detector on, the program has it too.
func Program(dir string) (string, error) { return build(filepath.Join(dir, "etcha"), "") }

// Newer builds the program as another version.
func Newer(t testing.TB) string {
	t.Helper()
	bin, err := build(filepath.Join(t.TempDir(), "etcha"), "-X main.version=newer")
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func build(bin, ldflags string) (string, error) {
	args := []string{"build", "-o", bin, "-ldflags", ldflags}
	cmd := exec.Command("go")
	if raceDetector {
		args = append(args, "-race")
	} else {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	cmd.Args = append(append([]string{"go"}, args...), "etcha/go/cmd/etcha")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return bin, nil
}

// Need finds a program that belongs to somebody else. Without it the test is
// skipped on a person's machine and fails in continuous integration.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err == nil {
			return filepath.Join(dir, program)
		}
	}
	absent(t, "%s is not installed", program)
	return ""
}

// NeedRoot wants the right to start shells as other users.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		absent(t, "this test changes users and must run as root")
	}
}

func absent(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf("SKIPPED: "+format, args...)
}
