package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clock is a fixed time that a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func options(t *testing.T) Options {
	c := &clock{time.Date(2026, 3, 4, 5, 6, 7, 891234567, time.FixedZone("", 3600))}
	return Options{Dir: filepath.Join(t.TempDir(), "audit"), Now: c.now, Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func mustOpen(t *testing.T, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func mustAppend(t *testing.T, l *Log, e Entry) Entry {
	t.Helper()
	got, err := l.Append(e)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// written is a closed log of n entries, in segments of about three.
func written(t *testing.T, n int) Options {
	t.Helper()
	o := options(t)
	o.segment = 600
	l := mustOpen(t, o)
	for i := range n {
		mustAppend(t, l, Entry{Event: Opened, Session: sessionName(i), Source: "debug", Key: "alice SHA256:abc", Addr: "192.0.2.1"})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func sessionName(i int) string { return "session" + string(rune('a'+i%26)) }

func verify(t *testing.T, dir, recordings string, noted ...Head) Report {
	t.Helper()
	r, err := Verify(dir, recordings, VerifyOptions{Noted: noted})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantGood(t *testing.T, r Report, entries uint64) {
	t.Helper()
	if !r.Good() || r.Entries != entries {
		t.Fatalf("%d entries, want %d; problems: %v", r.Entries, entries, r.Problems)
	}
}

// wantProblem wants a problem whose text contains each of these.
func wantProblem(t *testing.T, r Report, parts ...string) {
	t.Helper()
	for _, p := range r.Problems {
		ok := true
		for _, part := range parts {
			ok = ok && strings.Contains(p.String(), part)
		}
		if ok {
			return
		}
	}
	t.Errorf("no problem with %q among %v", parts, r.Problems)
}

// segments are the names of the log's files, the oldest first.
func segmentFiles(t *testing.T, dir string) []string {
	t.Helper()
	all, err := segmentsIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range all {
		names = append(names, segmentPath(dir, s.first))
	}
	return names
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// linesOf splits a file into its lines, with their newlines.
func linesOf(t *testing.T, path string) [][]byte {
	t.Helper()
	all := bytes.SplitAfter(readFile(t, path), []byte("\n"))
	return all[:len(all)-1]
}

func joinLines(all [][]byte) []byte { return bytes.Join(all, nil) }

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// events are the kinds of all entries, in their order.
func events(t *testing.T, dir string) (all []Entry) {
	t.Helper()
	err := Read(dir, 0, func(_ []byte, e Entry) error {
		all = append(all, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
