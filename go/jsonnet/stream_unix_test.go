//go:build unix

package jsonnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A shell's <(command) is a pipe: good as the file itself, never as an import,
// which could wait for ever.
func TestStreams(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("{a: 1}"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	path := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := os.Stat(path); err != nil {
		t.Skip("no /dev/fd")
	}
	result, err := Evaluate(context.Background(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Files) != 1 || !result.Files[0].Stream || result.Files[0].Changed() {
		t.Errorf("files %+v, want one stream, which never changes", result.Files)
	}

	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = readFile(filepath.Join(dir, "pipe"), false)
	if !errors.Is(err, errNotRegular) {
		t.Errorf("import of a pipe: error %v, want %v", err, errNotRegular)
	}
}

func TestUnreadableFileFallsBack(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := write(t, map[string]string{"closed": "x"})
	if err := os.Chmod(filepath.Join(dir, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	r, err := EvaluateText(context.Background(), filepath.Join(dir, "m"), "std.native('getFile')('closed', 'y', false)", Options{})
	if err != nil || decode(t, r.JSON) != "y" {
		t.Errorf("got %v, %v; want the fallback", r, err)
	}
}
