package record

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// On a disk that is full a recording stays whole lines, takes nothing in part,
// goes on when there is room again, and can be finished without any.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("NOT TESTED: a full disk: a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	o := Options{Dir: filepath.Join(disk, "recordings"), Now: newWatch().Now}
	r := must(Create(o, sample()))(t)
	chunk, fed := []byte(strings.Repeat("0123456789", 1000)), 0
	fill := func() {
		t.Helper()
		for {
			err := r.Output(chunk, false)
			if err == nil {
				fed += len(chunk)
				continue
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
	whole := func() {
		t.Helper()
		_, all := events(t, filepath.Join(o.Dir, r.File()))
		if got := joined(all, Output); got != strings.Repeat("0123456789", fed/10) || r.Offset() != uint64(fed) {
			t.Fatalf("%d bytes recorded, offset %d, want %d", len(got), r.Offset(), fed)
		}
	}
	ballast := filepath.Join(disk, "ballast")
	check(t, os.WriteFile(ballast, make([]byte, 64<<10), 0o600))
	fill()
	whole()
	check(t, os.Remove(ballast))
	before := fed
	fill()
	whole()
	if fed == before {
		t.Error("it did not go on when there was room")
	}
	rest, _ := os.Create(ballast) // the last bytes too
	_, _ = rest.Write(make([]byte, 1<<20))
	check(t, rest.Close())
	h := sample()
	h.Session = "another"
	if _, err := Create(o, h); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("another recording: %v", err)
	}
	s, err := r.Finish(exited)
	if s.File == "" || s.Output != uint64(fed) {
		t.Errorf("%+v, %v", s, err)
	}
	if _, all := events(t, filepath.Join(o.Dir, s.File)); len(joined(all, Output)) != fed {
		t.Error("finishing it has damaged it")
	}
	onlyRecording(t, o.Dir, s.File)
}

func onlyRecording(t *testing.T, dir, name string) {
	t.Helper()
	if names := must(os.ReadDir(dir))(t); len(names) != 1 || names[0].Name() != name {
		t.Errorf("in the folder: %v", names)
	}
}
