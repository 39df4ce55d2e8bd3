package record

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"etcha/go/wire"
)

var began = time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

// watch is a clock that stands still until it is moved.
type watch struct{ now time.Time }

func newWatch() *watch { return &watch{began} }

func (w *watch) Now() time.Time          { return w.now }
func (w *watch) forward(d time.Duration) { w.now = w.now.Add(d) }

// sample is the header of a session with a terminal.
func sample() Header {
	return Header{
		Session: "Xk3v_-0123456789abcdef", Node: "SHA256:node", Source: "my-app/1", User: "op",
		Key: "alice", Subject: "alice@example.com", Addr: "192.0.2.1", Title: "a \u009btitle\n<&>",
		Term: "xterm-256color", Cols: 80, Rows: 24, Started: began, Input: true,
	}
}

type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func check(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// folder is a folder for recordings.
func folder(t *testing.T) string { return filepath.Join(t.TempDir(), "recordings") }

// events reads a recording.
func events(t fataler, path string) (Meta, []Event) {
	t.Helper()
	f := must(os.Open(path))(t)
	defer f.Close()
	r := must(NewReader(f))(t)
	var all []Event
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Meta(), all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
}

// must is v, or the end of the test.
func must[T any](v T, err error) func(fataler) T {
	return func(t fataler) T {
		t.Helper()
		check(t, err)
		return v
	}
}

// joined is the data of all events of a code.
func joined(all []Event, code Code) string {
	var b strings.Builder
	for _, e := range all {
		if e.Code == code {
			b.WriteString(e.Data)
		}
	}
	return b.String()
}

// valid is p as text, the plain way.
func valid(p []byte) string {
	var b strings.Builder
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		b.WriteRune(r)
		p = p[n:]
	}
	return b.String()
}

var exited = wire.Exit{Code: 3, Reason: wire.ReasonExited}
