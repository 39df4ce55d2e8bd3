package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The process or the machine dies at any byte of a write: between the line and
// the head the log may be longer, and a torn line is set aside.
func TestCrashAtEveryByte(t *testing.T) {
	o := options(t)
	l := mustOpen(t, o)
	mustAppend(t, l, Entry{Event: Started})
	mustAppend(t, l, Entry{Event: Opened, Session: "s"})
	path := segmentPath(o.Dir, 1)
	before := readFile(t, path)
	head := readFile(t, filepath.Join(o.Dir, headName))
	mustAppend(t, l, Entry{Event: Ended, Session: "s"})
	after := readFile(t, path)
	headAfter := readFile(t, filepath.Join(o.Dir, headName))
	check(t, l.Close())
	for size := len(before); size <= len(after); size++ {
		crash := o
		crash.Dir = filepath.Join(t.TempDir(), "audit")
		check(t, os.Mkdir(crash.Dir, 0o700))
		writeFile(t, segmentPath(crash.Dir, 1), after[:size])
		writeFile(t, filepath.Join(crash.Dir, headName), head)
		afterCrash(t, crash, size > len(before) && size < len(after), size == len(after))
	}
	// The head's own write is cut off.
	for size := 0; size <= len(headAfter); size += 61 {
		crash := o
		crash.Dir = filepath.Join(t.TempDir(), "audit")
		check(t, os.Mkdir(crash.Dir, 0o700))
		writeFile(t, segmentPath(crash.Dir, 1), after)
		writeFile(t, filepath.Join(crash.Dir, headName), append(bytes.Clone(headAfter[:size]), head[min(size, len(head)):]...))
		afterCrash(t, crash, false, true)
	}
}

// afterCrash opens the log and wants it whole, with an entry about what was torn.
func afterCrash(t *testing.T, o Options, torn, third bool) {
	t.Helper()
	l := mustOpen(t, o)
	mustAppend(t, l, Entry{Event: Started})
	check(t, l.Close())
	want := []Event{Started, Opened}
	if third {
		want = append(want, Ended)
	}
	if torn {
		want = append(want, Torn)
	}
	want = append(want, Started)
	var got []Event
	for _, e := range events(t, o.Dir) {
		got = append(got, e.Event)
	}
	if len(got) != len(want) || got[len(want)-2] != want[len(want)-2] {
		t.Fatalf("events %v, want %v", got, want)
	}
	wantGood(t, verify(t, o.Dir, ""), uint64(len(want)))
	kept, err := os.ReadFile(segmentPath(o.Dir, 1) + tornSuffix)
	if torn != (err == nil && len(kept) > 0) {
		t.Errorf("set aside: %q %v, want %v", kept, err, torn)
	}
}

// A crash between the beginning of a segment and its first line.
func TestCrashAtANewSegment(t *testing.T) {
	for _, rest := range []string{"", `{"seq":`, strings.Repeat("\x00", 5000)} {
		o := written(t, 6)
		path := segmentPath(o.Dir, 7)
		writeFile(t, path, []byte(rest))
		l := mustOpen(t, o)
		if e := mustAppend(t, l, Entry{Event: Started}); e.Seq < 7 {
			t.Errorf("number %d", e.Seq)
		}
		check(t, l.Close())
		if r := verify(t, o.Dir, ""); !r.Good() {
			t.Errorf("%q: %v", rest, r.Problems)
		}
	}
}

// The entries that a start finds missing are named, and their numbers are not
// used again.
func TestShortenedLogGoesOn(t *testing.T) {
	o := written(t, 10)
	all := segmentFiles(t, o.Dir)
	check(t, os.Remove(all[len(all)-1]))
	left := verify(t, o.Dir, "").Last
	l := mustOpen(t, o)
	check(t, l.Close())
	got := events(t, o.Dir)
	broken := got[len(got)-1]
	if broken.Event != Broken || broken.Seq != 11 || !strings.Contains(broken.Reason, span(left+1, 10)) {
		t.Errorf("%+v after entry %d", broken, left)
	}
	wantProblem(t, verify(t, o.Dir, ""), "entry 11", "the node found its log changed: "+span(left+1, 10)+" missing")
}

// fullDisk is a folder on a file system of a megabyte.
func fullDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0700")
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("SKIPPED: mounting a file system is not permitted here")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := fullDisk(t)
	o := options(t)
	o.Dir = filepath.Join(dir, "audit")
	o.segment = 128 << 10
	l := mustOpen(t, o)
	filler := filepath.Join(dir, "filler")
	written := uint64(0)
	fill := func() {
		f, err := os.Create(filler)
		check(t, err)
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		check(t, f.Close())
	}
	big := Entry{Event: Refused, Reason: strings.Repeat("x", maxText)}
	for range 3 {
		for range 150 { // beyond a segment's end
			mustAppend(t, l, big)
			written++
		}
		fill()
		failed := 0
		for failed < 5 {
			_, err := l.Append(big)
			if err == nil {
				written++ // the rest of a page
				continue
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			failed++
		}
		wantGood(t, verify(t, o.Dir, ""), written)
		check(t, os.Remove(filler))
	}
	mustAppend(t, l, big)
	wantGood(t, verify(t, o.Dir, ""), written+1)
	fill()
	check(t, l.Close())
	l = mustOpen(t, o) // a node starts on a full disk too
	check(t, os.Remove(filler))
	mustAppend(t, l, big)
	wantGood(t, verify(t, o.Dir, ""), written+2)
}

// What a start has to say is said once there is room.
func TestOwedEntriesOnAFullDisk(t *testing.T) {
	dir := fullDisk(t)
	o := options(t)
	o.Dir = filepath.Join(dir, "audit")
	l := mustOpen(t, o)
	for range 4 {
		mustAppend(t, l, Entry{Event: Refused, Reason: strings.Repeat("x", maxText)})
	}
	check(t, l.Close())
	path := segmentPath(o.Dir, 1)
	all := linesOf(t, path)
	writeFile(t, path, joinLines(all[:3]))
	filler, err := os.Create(filepath.Join(dir, "filler"))
	check(t, err)
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	check(t, filler.Close())
	l = mustOpen(t, o)
	for err = nil; err == nil; { // until the page is full
		_, err = l.Append(Entry{Event: Refused, Reason: strings.Repeat("x", maxText)})
	}
	check(t, os.Remove(filler.Name()))
	mustAppend(t, l, Entry{Event: Started})
	n := 0
	for _, e := range events(t, o.Dir) {
		if e.Event == Broken {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d entries about what is missing", n)
	}
}
