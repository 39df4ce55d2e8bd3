package token

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// durableDir tells the traced copy of the test where to work.
const durableDir = "ETCHA_TEST_DURABLE"

// What is acknowledged was synced before, in the right order: seen from outside,
// in the system calls.
func TestDurable(t *testing.T) {
	if dir := os.Getenv(durableDir); dir != "" {
		traced(t, dir)
		return
	}
	needs(t, "strace")
	dir := t.TempDir()
	log := filepath.Join(dir, "trace")
	cmd := exec.Command("strace", "-f", "-y", "-s", "64", "-o", log,
		"-e", "trace=write,pwrite64,fsync,fdatasync,rename,renameat,link,linkat,unlink,unlinkat",
		os.Args[0], "-test.run=^TestDurable$")
	cmd.Env = append(os.Environ(), durableDir+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "ptrace") {
			t.Skip("NOT TESTED: tracing is not permitted here")
		}
		t.Fatalf("%v\n%s", err, out)
	}
	trace, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	rest := wantCalls(t, "write a key", string(trace), "mark: key",
		"write(", ".tmp>", "fsync(", ".tmp>", "linkat(", `/key"`, "fsync(", dir+">")
	rest = wantCalls(t, "replace a key", rest, "mark: replaced",
		"write(", ".tmp>", "fsync(", ".tmp>", "rename", `/key"`, "fsync(", dir+">")
	rest = wantCalls(t, "open the journal", rest, "mark: open",
		"write(", ".tmp>", "fsync(", ".tmp>", "rename", `/replay"`, "fsync(", dir+">")
	rest = wantCalls(t, "use", rest, "mark: first", "pwrite64(", "/replay>", "fdatasync(", "/replay>")
	wantCalls(t, "use again", rest, "mark: second", "pwrite64(", "/replay>", "fdatasync(", "/replay>")
}

func traced(t *testing.T, dir string) {
	key := filepath.Join(dir, "key")
	b := &bed{t: t, clock: newClock()}
	b.opts = JournalOptions{Path: filepath.Join(dir, "replay"), Now: b.clock.now, Fresh: true}
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"key", func() error { return WritePrivate(key, publishedPrivate, false) }},
		{"replaced", func() error { return WritePrivate(key, publishedPrivate, true) }},
		{"open", func() error { b.open(); return nil }},
		{"first", func() error { return b.j.Use(id(1), b.clock.now()) }},
		{"second", func() error { return b.j.Use(id(2), b.clock.now()) }},
	} {
		if err := s.do(); err != nil {
			t.Fatal(s.name, err)
		}
		if _, err := os.Stdout.WriteString("mark: " + s.name + "\n"); err != nil {
			t.Fatal(err)
		}
	}
}

// wantCalls finds words in this order before mark and gives what is behind it.
func wantCalls(t *testing.T, what, trace, mark string, words ...string) string {
	t.Helper()
	before, after, ok := strings.Cut(trace, mark)
	if !ok {
		t.Fatalf("%s: no mark in the trace\n%s", what, trace)
	}
	rest := before
	for _, w := range words {
		if _, rest, ok = strings.Cut(rest, w); !ok {
			t.Fatalf("%s: no %q where it should be in\n%s", what, w, before)
		}
	}
	return after
}
