package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestAppendWritesChainedLines(t *testing.T) {
	o := options(t)
	l := mustOpen(t, o)
	first := mustAppend(t, l, Entry{Event: Started})
	second := mustAppend(t, l, Entry{
		Event: Opened, Session: "s1", Source: "debug", Key: "alice SHA256:x", Subject: "<alice>", Addr: "192.0.2.1", User: "root",
		Reason: "why", Detail: map[string]any{"pty": true, "n": 3},
	})
	all := linesOf(t, segmentPath(o.Dir, 1))
	want := `{"seq":1,"time":"2026-03-04T04:06:07.891Z","prev":"","event":"start"}` + "\n"
	if string(all[0]) != want {
		t.Errorf("first line %s, want %s", all[0], want)
	}
	want = fmt.Sprintf(`{"seq":2,"time":"2026-03-04T04:06:07.891Z","prev":%q,"event":"open","session":"s1","source":"debug",`+
		`"key":"alice SHA256:x","sub":"<alice>","addr":"192.0.2.1","user":"root","reason":"why","detail":{"n":3,"pty":true}}`+"\n",
		hashOf(all[0][:len(all[0])-1]))
	if string(all[1]) != want {
		t.Errorf("second line %s, want %s", all[1], want)
	}
	if first.Seq != 1 || second.Seq != 2 || second.Prev == "" || second.Time.Nanosecond() != 891e6 {
		t.Errorf("entries returned: %+v %+v", first, second)
	}
	if seq, hash := l.Head(); seq != 2 || hash != hashOf(bytes.TrimSpace(all[1])) {
		t.Errorf("head %d %s", seq, hash)
	}
	wantGood(t, verify(t, o.Dir, ""), 2)
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	o := written(t, 5)
	info, err := os.Stat(o.Dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v %v", info.Mode(), err)
	}
	entries, _ := os.ReadDir(o.Dir)
	if len(entries) < 4 {
		t.Fatalf("only %d files", len(entries))
	}
	for _, e := range entries {
		if info, _ := e.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", e.Name(), info.Mode())
		}
	}
}

func TestLongEntriesAreShortened(t *testing.T) {
	o := options(t)
	l := mustOpen(t, o)
	long := strings.Repeat("ä\x00", 40<<10)
	values := map[string]any{}
	for i := range 5000 {
		values[fmt.Sprint("name", i)] = i
	}
	for _, e := range []Entry{
		{Event: Refused, Reason: long},
		{
			Event: Event(long), Session: long, Source: long, Key: long, Subject: long, Addr: long, User: long, Reason: long,
			Detail: map[string]any{"a": long, "b": []any{long, map[string]any{"c": long}}},
		},
		{Event: Refused, Detail: values},
	} {
		mustAppend(t, l, e)
	}
	for i, line := range linesOf(t, segmentPath(o.Dir, 1)) {
		if len(line)-1 > MaxEntry {
			t.Errorf("line %d has %d bytes", i+1, len(line)-1)
		}
	}
	if got := events(t, o.Dir)[0].Reason; len(got) != maxText-1 || !strings.HasSuffix(got, "…") {
		t.Errorf("reason of %d bytes ends in %q", len(got), got[len(got)-4:])
	}
	wantGood(t, verify(t, o.Dir, ""), 3)
}

func TestDetailThatIsNoJSONIsRefusedAlone(t *testing.T) {
	o := options(t)
	l := mustOpen(t, o)
	if _, err := l.Append(Entry{Event: Opened, Detail: map[string]any{"f": func() {}}}); err == nil {
		t.Fatal("accepted")
	}
	if e := mustAppend(t, l, Entry{Event: Opened}); e.Seq != 1 {
		t.Errorf("number %d", e.Seq)
	}
}

func TestChainGoesOnAcrossSegmentsAndOpens(t *testing.T) {
	o := written(t, 10)
	if n := len(segmentFiles(t, o.Dir)); n < 3 {
		t.Fatalf("%d segments", n)
	}
	l := mustOpen(t, o)
	if e := mustAppend(t, l, Entry{Event: Stopped}); e.Seq != 11 {
		t.Errorf("number %d after opening again", e.Seq)
	}
	r := verify(t, o.Dir, "")
	wantGood(t, r, 11)
	seq, hash := l.Head()
	if want := (Head{seq, hash}).String(); r.Head != want {
		t.Errorf("head %s, want %s", r.Head, want)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	o := options(t)
	l := mustOpen(t, o)
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("opened twice: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(Entry{Event: Opened}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	mustOpen(t, o)
}

func TestLinksAreRefused(t *testing.T) {
	for _, name := range []string{headName, lockName, segmentName(1)} {
		o := written(t, 1)
		elsewhere := filepath.Join(t.TempDir(), "elsewhere")
		writeFile(t, elsewhere, nil)
		path := filepath.Join(o.Dir, name)
		if err := errors.Join(os.Remove(path), os.Symlink(elsewhere, path)); err != nil {
			t.Fatal(err)
		}
		if l, err := Open(o); !errors.Is(err, syscall.ELOOP) {
			t.Errorf("%s as a link: %v %v", name, l, err)
		}
	}
	o := options(t)
	if err := os.Symlink(t.TempDir(), o.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("folder as a link: %v", err)
	}
}

func TestConcurrentAppends(t *testing.T) {
	o := options(t)
	o.segment = 4 << 10
	l := mustOpen(t, o)
	const writers, each = 8, 25
	seen := make([]bool, writers*each+1)
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			last := uint64(0)
			for range each {
				e, err := l.Append(Entry{Event: Opened, Session: sessionName(w)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if e.Seq <= last || seen[e.Seq] {
					t.Errorf("number %d after %d", e.Seq, last)
				}
				seen[e.Seq], last = true, e.Seq
				mu.Unlock()
			}
		})
	}
	all.Wait()
	wantGood(t, verify(t, o.Dir, ""), writers*each)
}

// Appends that come while the disk is busy share one sync.
func TestGroupCommit(t *testing.T) {
	l := mustOpen(t, options(t))
	real, syncs := l.sync, 0
	entered, release := make(chan struct{}), make(chan struct{})
	l.sync = func(f *os.File) error {
		if syncs++; syncs == 1 {
			close(entered)
			<-release
		}
		return real(f)
	}
	var all sync.WaitGroup
	add := func() { all.Go(func() { _, err := l.Append(Entry{Event: Opened}); check(t, err) }) }
	add()
	<-entered
	const more = 20
	for range more {
		add()
	}
	for queued := 0; queued < more; runtime.Gosched() {
		l.queueMu.Lock()
		queued = len(l.queue)
		l.queueMu.Unlock()
	}
	close(release)
	all.Wait()
	if syncs != 4 { // log and head, for the first and for all the others
		t.Errorf("%d syncs for %d entries", syncs, more+1)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// Whatever fails, nothing of the entry stays, and the next one is written.
func TestFailedAppendLeavesNothing(t *testing.T) {
	for _, failing := range [][]int{{1}, {2}, {1, 2}, {1, 2, 3}, {2, 3}, {2, 3, 4}} { // 1: the log, 2: the head, then the undo's
		o := options(t)
		l := mustOpen(t, o)
		mustAppend(t, l, Entry{Event: Started})
		before := readFile(t, segmentPath(o.Dir, 1))
		real, n := l.sync, 0
		l.sync = func(f *os.File) error {
			if n++; slices.Contains(failing, n) {
				return syscall.EIO
			}
			return real(f)
		}
		if _, err := l.Append(Entry{Event: Opened}); !errors.Is(err, syscall.EIO) {
			t.Fatalf("%v: append on a broken disk: %v", failing, err)
		}
		if got := readFile(t, segmentPath(o.Dir, 1)); !bytes.Equal(got, before) {
			t.Errorf("%v: the failed entry stayed: %s", failing, got)
		}
		if seq, _ := l.Head(); seq != 1 {
			t.Errorf("head %d", seq)
		}
		wantGood(t, verify(t, o.Dir, ""), 1)
		l.sync = real
		mustAppend(t, l, Entry{Event: Opened})
		wantGood(t, verify(t, o.Dir, ""), 2)
		_ = l.Close()
		mustOpen(t, o)
		wantGood(t, verify(t, o.Dir, ""), 2)
	}
}

func TestPruning(t *testing.T) {
	o := options(t)
	o.segment, o.MaxSize = 600, 2400
	l := mustOpen(t, o)
	for i := range 60 {
		mustAppend(t, l, Entry{Event: Opened, Session: sessionName(i), Source: "debug"})
		if l.total() > o.MaxSize {
			t.Fatalf("%d bytes, limit %d", l.total(), o.MaxSize)
		}
	}
	r := verify(t, o.Dir, "")
	if !r.Good() || r.First == 1 || len(r.Remarks) != 1 {
		t.Fatalf("after pruning: %+v", r)
	}
	// Without the entry that says it, the same log has lost entries.
	first := segmentFiles(t, o.Dir)[0]
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, verify(t, o.Dir, ""), "no entry says that they were pruned")
}

func TestPrunedSegmentThatACrashLeft(t *testing.T) {
	o := options(t)
	o.segment, o.MaxSize = 600, 1<<40
	l := mustOpen(t, o)
	for range 12 {
		mustAppend(t, l, Entry{Event: Opened, Source: "debug"})
	}
	oldest := readFile(t, segmentPath(o.Dir, 1))
	l.o.MaxSize = l.total() - 1 // so that one goes
	mustAppend(t, l, Entry{Event: Opened})
	check(t, l.Close())
	if segmentFiles(t, o.Dir)[0] == segmentPath(o.Dir, 1) {
		t.Fatal("nothing was pruned")
	}
	writeFile(t, segmentPath(o.Dir, 1), oldest) // as if it died before the removal
	wantGood(t, verify(t, o.Dir, ""), 14)
	o.MaxSize = 1500
	l = mustOpen(t, o)
	mustAppend(t, l, Entry{Event: Opened})
	if r := verify(t, o.Dir, ""); !r.Good() || r.First == 1 {
		t.Errorf("%+v", r)
	}
}

func TestReadFollows(t *testing.T) {
	o := options(t)
	o.segment = 300
	l := mustOpen(t, o)
	r := NewReader(o.Dir, 3)
	defer r.Close()
	if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("empty log: %v", err)
	}
	next := uint64(3)
	for i := range 20 {
		e := mustAppend(t, l, Entry{Event: Opened, Session: sessionName(i)})
		for {
			line, got, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || got.Seq != next || !json.Valid(line) {
				t.Fatalf("got %d, want %d: %v", got.Seq, next, err)
			}
			next++
		}
		if want := e.Seq + 1; next != max(want, 3) {
			t.Fatalf("read up to %d, written up to %d", next-1, e.Seq)
		}
	}
}

// A reader gives nothing that may still be taken back.
func TestReaderWaitsForTheHead(t *testing.T) {
	o := options(t)
	l := mustOpen(t, o)
	mustAppend(t, l, Entry{Event: Started})
	real := l.sync
	r := NewReader(o.Dir, 0)
	defer r.Close()
	next := func() (Entry, error) { _, e, err := r.Next(); return e, err }
	if e, err := next(); err != nil || e.Event != Started {
		t.Fatal(e, err)
	}
	l.sync = func(f *os.File) error {
		if e, err := next(); !errors.Is(err, io.EOF) {
			t.Errorf("read %v %v before it was durable", e, err)
		}
		l.sync = real
		return syscall.EIO
	}
	if _, err := l.Append(Entry{Event: Opened, Session: "lost"}); err == nil {
		t.Fatal("no error")
	}
	mustAppend(t, l, Entry{Event: Opened, Session: "kept"})
	if e, err := next(); err != nil || e.Session != "kept" {
		t.Errorf("read %v %v", e, err)
	}
}

func TestReadSkipsDamage(t *testing.T) {
	o := written(t, 5)
	path := segmentPath(o.Dir, 1)
	all := linesOf(t, path)
	all[1] = []byte("{no json\n")
	writeFile(t, path, joinLines(all))
	var got []uint64
	if err := Read(o.Dir, 1, func(_ []byte, e Entry) error { got = append(got, e.Seq); return nil }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != "[1 3 4 5]" {
		t.Errorf("read %v", got)
	}
	stop := errors.New("stop")
	if err := Read(o.Dir, 1, func([]byte, Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

func TestTimeIsUTCWithMilliseconds(t *testing.T) {
	o := options(t)
	o.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("x", -7200)) }
	mustAppend(t, mustOpen(t, o), Entry{Event: Opened})
	if line := readFile(t, segmentPath(o.Dir, 1)); !bytes.Contains(line, []byte(`"time":"2026-01-02T05:04:05.000Z"`)) {
		t.Errorf("%s", line)
	}
}

// Several entries keep their order, and one that cannot be written is no other's
// trouble.
func TestAppendAll(t *testing.T) {
	l := mustOpen(t, options(t))
	all := []Entry{{Event: Opened, Session: "a"}, {Event: Refused, Detail: map[string]any{"bad": func() {}}}, {Event: Ended, Session: "a"}}
	got, errs := l.AppendAll(all)
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Fatalf("errors %v", errs)
	}
	if got[0].Seq != 1 || got[2].Seq != 2 || got[2].Prev == "" || all[0].Seq != 0 {
		t.Errorf("written %+v of %+v", got, all)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, errs := l.AppendAll(all[:1]); !errors.Is(errs[0], os.ErrClosed) {
		t.Errorf("after Close: %v", errs)
	}
}
