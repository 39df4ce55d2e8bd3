//go:build unix

package resource

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// writerEnv makes this test's program a writer that never ends by itself.
const writerEnv = "ETCHA_RESOURCE_TEST_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		writeForever(dir)
	}
	os.Exit(m.Run())
}

func versions() [2][]byte {
	return [2][]byte{bytes.Repeat([]byte("old\n"), 40_000), bytes.Repeat([]byte("newer\n"), 30_000)}
}

func writeForever(dir string) {
	both := versions()
	for i := 0; ; i++ {
		f := File{Path: filepath.Join(dir, "f"), Content: &both[i%2]}
		l := Link{Target: []string{"one", "two"}[i%2], Path: filepath.Join(dir, "l")}
		if f.Change() != nil || l.Change() != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString("x\n")
	}
}

// A writer killed at any moment leaves the old file or the new one, and what it
// leaves beside is gone after the next change.
func TestKilledWriters(t *testing.T) {
	dir, both := t.TempDir(), versions()
	for range 40 {
		killWriter(t, dir)
		got, err := os.ReadFile(filepath.Join(dir, "f"))
		if err != nil || !bytes.Equal(got, both[0]) && !bytes.Equal(got, both[1]) {
			t.Fatalf("the file has %d bytes and is neither the old nor the new one: %v", len(got), err)
		}
		if target, err := os.Readlink(filepath.Join(dir, "l")); err != nil || target != "one" && target != "two" {
			t.Fatalf("the link leads to %q: %v", target, err)
		}
	}
	last := []byte("last")
	wantOK(t, "file", File{Path: filepath.Join(dir, "f"), Content: &last}.Change())
	wantOK(t, "link", Link{Target: "last", Path: filepath.Join(dir, "l")}.Change())
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// killWriter kills a writer after some rounds, at a moment of the next.
func killWriter(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), writerEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range 1 + rand.IntN(3) {
		if !lines.Scan() {
			t.Fatal("the writer ended by itself")
		}
	}
	for range rand.IntN(20_000) { // not a time, only somewhere in the round
		_ = strings.Repeat("x", 8)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// A living writer's file is nobody's to clean.
func TestLivingWritersAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	p, err := open(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	f, name, err := p.temp(0o600)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("x")
	wantOK(t, "change", File{Path: filepath.Join(dir, "f"), Content: &body}.Change())
	if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
		t.Errorf("the file of a living writer: %v", err)
	}
	_ = f.Close()
	body = []byte("y")
	wantOK(t, "change", File{Path: filepath.Join(dir, "f"), Content: &body}.Change())
	if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
		t.Error("the file of a dead writer is still there")
	}
}
