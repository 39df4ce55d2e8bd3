package record

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Recordings do not take the last of a disk: what else is written there still
// can be, and there is room for it also where none is recorded any more.
func TestRoomIsLeft(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("NOT TESTED: room on a disk: a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { check(t, syscall.Unmount(disk, 0)) })
	o := Options{Dir: filepath.Join(disk, "recordings"), Now: newWatch().Now}
	r := must(Create(o, sample()))(t)
	chunk := []byte(strings.Repeat("0123456789", 1000))
	var err error
	for err == nil {
		err = r.Output(chunk, false)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	check(t, os.WriteFile(filepath.Join(disk, "audit"), make([]byte, 128<<10), 0o600))
	h := sample()
	h.Session = "another"
	if _, err := Create(o, h); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("another recording: %v", err)
	}
	if s, err := r.Finish(exited); s.File == "" || err != nil {
		t.Errorf("%+v, %v", s, err)
	}
	onlyRecording(t, o.Dir, filepath.Base(r.File()))
}
