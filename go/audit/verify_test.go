package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every byte of every entry matters.
func TestAnyChangedByteIsFound(t *testing.T) {
	o := written(t, 4)
	for _, path := range segmentFiles(t, o.Dir) {
		whole := readFile(t, path)
		for i := range whole {
			changed := bytes.Clone(whole)
			changed[i] ^= 1
			writeFile(t, path, changed)
			if r := verify(t, o.Dir, ""); r.Good() {
				t.Fatalf("%s: byte %d, %q to %q: no problem", filepath.Base(path), i, whole[i], changed[i])
			}
		}
		writeFile(t, path, whole)
	}
	wantGood(t, verify(t, o.Dir, ""), 4)
}

func TestTampering(t *testing.T) {
	line := func(number int, change func(all [][]byte, i int) [][]byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := segmentFiles(t, dir)[0]
			writeFile(t, path, joinLines(change(linesOf(t, path), number-1)))
		}
	}
	last := func(change func(whole []byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			all := segmentFiles(t, dir)
			path := all[len(all)-1]
			writeFile(t, path, change(readFile(t, path)))
		}
	}
	edit := func(from, to string) func(all [][]byte, i int) [][]byte {
		return func(all [][]byte, i int) [][]byte {
			all[i] = bytes.Replace(all[i], []byte(from), []byte(to), 1)
			return all
		}
	}
	cutLine := func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] }
	remove := func(n int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			all := segmentFiles(t, dir)
			check(t, os.Remove(all[(n+len(all))%len(all)]))
		}
	}
	for _, c := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		want   []string
	}{
		{"a value", line(2, edit("debug", "xebug")), []string{"0001.jsonl:2: entry 2", "altered"}},
		{"the number", line(2, edit(`"seq":2`, `"seq":9`)), []string{":2: entry 9", "missing before it"}},
		{"the time", line(1, edit(".891Z", ".892Z")), []string{":1: entry 1", "altered"}},
		{"the hash", line(2, edit(`"prev":"`, `"prev":"x`)), []string{"altered"}},
		{"a space between members", line(2, edit(`,"event"`, `, "event"`)), []string{"altered"}},
		{"a member more", line(2, edit(`{"seq"`, `{"a":1,"seq"`)), []string{"altered"}},
		{"no JSON", line(2, edit(`{`, `[`)), []string{":2: entry 2", "not an entry"}},
		{"a very long line", line(2, edit(`debug`, strings.Repeat("x", 3*MaxEntry))), []string{":2: entry 2", "not an entry"}},
		{"the first removed", line(1, func(all [][]byte, _ int) [][]byte { return all[1:] }), []string{"entries before it are missing"}},
		{"one removed", line(2, func(all [][]byte, i int) [][]byte { return append(all[:i], all[i+1:]...) }), []string{":2: entry 3", "entry 2 is missing"}},
		{"two swapped", line(2, func(all [][]byte, i int) [][]byte { all[i], all[i-1] = all[i-1], all[i]; return all }), []string{"entry 1", "inserted, repeated or moved"}},
		{"one twice", line(2, func(all [][]byte, i int) [][]byte {
			return append(all[:i:i], append([][]byte{all[i-1]}, all[i:]...)...)
		}), []string{"inserted, repeated or moved"}},
		{"one inserted", line(2, func(all [][]byte, i int) [][]byte {
			forged := bytes.Replace(all[i], []byte("debug"), []byte("other"), 1)
			return append(all[:i:i], append([][]byte{forged}, all[i:]...)...)
		}), []string{"inserted, repeated or moved"}},
		{"the end cut at a line", last(cutLine), []string{"the end is cut: entry 10 is missing"}},
		{"the end cut inside a line", last(func(b []byte) []byte { return b[:len(b)-20] }), []string{"torn"}},
		{"the last newline", last(func(b []byte) []byte { return b[:len(b)-1] }), []string{"the end is cut"}},
		{"the last entry", last(func(b []byte) []byte {
			i := bytes.LastIndex(b, []byte("debug"))
			return append(append(bytes.Clone(b[:i]), "other"...), b[i+5:]...)
		}), []string{"entry 10", "altered"}},
		{"the first segment", remove(0), []string{"entries before it are missing"}},
		{"a segment in the middle", remove(1), []string{"missing before it"}},
		{"the last segment", remove(-1), []string{"the end is cut"}},
		{"all segments", func(t *testing.T, dir string) {
			for _, s := range segmentFiles(t, dir) {
				check(t, os.Remove(s))
			}
		}, []string{"the end is cut: entries 1 to 10"}},
		{"a segment emptied", func(t *testing.T, dir string) { writeFile(t, segmentFiles(t, dir)[1], nil) }, []string{"the file is empty"}},
		{"a segment renamed", func(t *testing.T, dir string) {
			check(t, os.Rename(segmentFiles(t, dir)[0], segmentPath(dir, 2)))
		}, []string{"named for entry 2"}},
		{"no head", func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, headName))) }, []string{"head", "missing or damaged"}},
		{"a head of zeros", func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, headName), make([]byte, 2*slotSize))
		}, []string{"head", "missing or damaged"}},
		{"a head with another hash", func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, headName), bytes.Repeat(appendSlot(Head{10, hashOf(nil)}), 2))
		}, []string{"entry 10", "the head names"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := written(t, 10)
			c.tamper(t, o.Dir)
			r := verify(t, o.Dir, "")
			wantProblem(t, r, c.want...)
			tamperedGoesOn(t, o)
		})
	}
}

// tamperedGoesOn wants that a node starts with such a log, and that its problem
// does not vanish by that.
func tamperedGoesOn(t *testing.T, o Options) {
	t.Helper()
	l := mustOpen(t, o)
	e := mustAppend(t, l, Entry{Event: Started})
	if e.Seq <= 10 && e.Seq != 1 {
		t.Errorf("number %d was used before", e.Seq)
	}
	check(t, l.Close())
	if r := verify(t, o.Dir, ""); r.Good() {
		t.Errorf("the problem is gone after a start: %+v", r)
	}
}

func TestOldHeadIsFound(t *testing.T) {
	o := options(t)
	l := mustOpen(t, o)
	mustAppend(t, l, Entry{Event: Started})
	old := readFile(t, filepath.Join(o.Dir, headName))
	for range maxBatch + 1 {
		mustAppend(t, l, Entry{Event: Opened})
	}
	check(t, l.Close())
	writeFile(t, filepath.Join(o.Dir, headName), old)
	wantProblem(t, verify(t, o.Dir, ""), "head: it names entry 1", "an old one")
}

// A head that was noted elsewhere finds what the head's file cannot.
func TestNotedHead(t *testing.T) {
	o := written(t, 10)
	noted, err := ParseHead(verify(t, o.Dir, "").Head)
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, verify(t, o.Dir, "", noted), 10)

	l := mustOpen(t, o)
	mustAppend(t, l, Entry{Event: Opened})
	check(t, l.Close())
	wantGood(t, verify(t, o.Dir, "", noted), 11)

	check(t, os.RemoveAll(o.Dir)) // somebody writes a whole new log
	forge := mustOpen(t, o)
	for range 5 {
		mustAppend(t, forge, Entry{Event: Opened})
	}
	wantProblem(t, verify(t, o.Dir, "", noted), "the end is cut: entries 6 to 10", "the noted head")
	for range 10 {
		mustAppend(t, forge, Entry{Event: Opened})
	}
	check(t, forge.Close())
	wantGood(t, verify(t, o.Dir, ""), 15)
	wantProblem(t, verify(t, o.Dir, "", noted), "entry 10", "not the one that the noted head names")
}

func TestParseHead(t *testing.T) {
	hash := hashOf(nil)
	if h, err := ParseHead("7:" + hash); err != nil || h != (Head{7, hash}) {
		t.Error(h, err)
	}
	for _, s := range []string{"", "7", "0:" + hash, ":" + hash, "7:", "7:x" + hash, "-1:" + hash, "18446744073709551615:" + hash, "7:" + hash[:42] + "!"} {
		if h, err := ParseHead(s); err == nil {
			t.Errorf("%q: %v", s, h)
		}
	}
}

func TestVerifyWithoutALog(t *testing.T) {
	if _, err := Verify(filepath.Join(t.TempDir(), "none"), "", VerifyOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// A node writes, begins segments and prunes them while the log is verified.
func TestVerifyWhileTheNodeWrites(t *testing.T) {
	o := options(t)
	o.segment, o.MaxSize = 2000, 20000
	l := mustOpen(t, o)
	mustAppend(t, l, Entry{Event: Started})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 600 {
			if _, err := l.Append(Entry{Event: Opened, Session: sessionName(i), Source: "debug"}); err != nil {
				t.Error(err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		r, err := Verify(o.Dir, "", VerifyOptions{})
		if err == nil && !r.Good() {
			t.Fatalf("%v", r.Problems)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // pruned three times over
			t.Fatal(err)
		}
	}
	if seq, _ := l.Head(); seq < 601 || verify(t, o.Dir, "").Last != seq {
		t.Errorf("%d entries", seq)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	o := options(t)
	check(t, os.MkdirAll(o.Dir, 0o700))
	writeFile(t, segmentPath(o.Dir, 1), bytes.Repeat([]byte("x\n"), 3*maxProblems))
	if r := verify(t, o.Dir, ""); len(r.Problems) != maxProblems || r.More == 0 {
		t.Errorf("%d problems and %d more", len(r.Problems), r.More)
	}
}

func TestRecordings(t *testing.T) {
	const name = "20260304T050607Z-my_app-session_a.cast"
	content := []byte("the recording")
	for _, c := range []struct {
		name    string
		change  func(t *testing.T, dir string, l *Log)
		problem string // empty: none
	}{
		{"as recorded", func(*testing.T, string, *Log) {}, ""},
		{"missing", func(t *testing.T, dir string, _ *Log) { check(t, os.Remove(filepath.Join(dir, name))) }, "audit-0000000001.jsonl:2: entry 2: its recording " + name + " is missing"},
		{"altered", func(t *testing.T, dir string, _ *Log) {
			writeFile(t, filepath.Join(dir, name), []byte("the Recording"))
		}, "was altered"},
		{"longer", func(t *testing.T, dir string, _ *Log) {
			writeFile(t, filepath.Join(dir, name), append(content, 'x'))
		}, "was altered"},
		{"truncated", func(t *testing.T, dir string, _ *Log) { writeFile(t, filepath.Join(dir, name), content[:5]) }, "truncated: 5 of 13 bytes"},
		{"a link", func(t *testing.T, dir string, _ *Log) {
			path := filepath.Join(dir, name)
			check(t, os.Rename(path, dir+".elsewhere"))
			check(t, os.Symlink(dir+".elsewhere", path))
		}, "cannot be read"},
		{"pruned", func(t *testing.T, dir string, l *Log) {
			mustAppend(t, l, Entry{Event: Pruned, Detail: PrunedDetail(name)})
			check(t, os.Remove(filepath.Join(dir, name)))
		}, ""},
		{"pruned but still there", func(t *testing.T, _ string, l *Log) {
			mustAppend(t, l, Entry{Event: Pruned, Detail: PrunedDetail(name)})
		}, ""},
		{"of a session that runs", func(t *testing.T, dir string, l *Log) {
			mustAppend(t, l, Entry{Event: Opened, Session: "session_b"})
			writeFile(t, filepath.Join(dir, "20260304T050607Z-my_app-session_b.cast"), content)
		}, ""},
		{"of a session that has ended", func(t *testing.T, dir string, l *Log) {
			mustAppend(t, l, Entry{Event: Opened, Session: "session_b"})
			mustAppend(t, l, Entry{Event: Ended, Session: "session_b"})
			writeFile(t, filepath.Join(dir, "20260304T050607Z-my_app-session_b.cast"), content)
		}, "20260304T050607Z-my_app-session_b.cast: no entry names this recording, but its session session_b has ended"},
		{"that failed, as the log says", func(t *testing.T, dir string, l *Log) {
			mustAppend(t, l, Entry{Event: Opened, Session: "session_b"})
			mustAppend(t, l, Entry{Event: Ended, Session: "session_b"})
			mustAppend(t, l, Entry{Event: Unrecorded, Session: "session_b", Detail: map[string]any{"file": "20260304T050607Z-my_app-session_b.cast"}})
			writeFile(t, filepath.Join(dir, "20260304T050607Z-my_app-session_b.cast"), content)
		}, ""},
		{"that failed without a name", func(t *testing.T, dir string, l *Log) {
			mustAppend(t, l, Entry{Event: Opened, Session: "session_b"})
			mustAppend(t, l, Entry{Event: Unrecorded, Session: "session_b"})
			mustAppend(t, l, Entry{Event: Ended, Session: "session_b"})
			writeFile(t, filepath.Join(dir, "session_b.cast"), content)
		}, ""},
		{"and a file beside one", func(t *testing.T, dir string, _ *Log) { writeFile(t, filepath.Join(dir, "other.cast.state"), content) }, ""},
		{"of nobody", func(t *testing.T, dir string, _ *Log) { writeFile(t, filepath.Join(dir, "other.cast"), content) }, "no entry names this file or its session"},
		{"the folder is gone", func(t *testing.T, dir string, _ *Log) { check(t, os.RemoveAll(dir)) }, "is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t)
			dir := filepath.Join(t.TempDir(), "recordings")
			check(t, os.Mkdir(dir, 0o700))
			writeFile(t, filepath.Join(dir, name), content)
			l := mustOpen(t, o)
			mustAppend(t, l, Entry{Event: Opened, Session: "session_a"})
			mustAppend(t, l, Entry{Event: Recorded, Session: "session_a", Detail: RecordedDetail(name, int64(len(content)), sumOf(content))})
			mustAppend(t, l, Entry{Event: Ended, Session: "session_a"})
			c.change(t, dir, l)
			check(t, l.Close())
			r := verify(t, o.Dir, dir)
			if c.problem == "" {
				if !r.Good() {
					t.Errorf("problems: %v", r.Problems)
				}
				return
			}
			wantProblem(t, r, c.problem)
			if len(r.Problems) != 1 {
				t.Errorf("problems: %v", r.Problems)
			}
		})
	}
}

// What the log no longer reaches back to is no accusation.
func TestRecordingThatThePrunedLogDoesNotKnow(t *testing.T) {
	o := options(t)
	o.segment, o.MaxSize = 600, 1500
	l := mustOpen(t, o)
	for range 30 {
		mustAppend(t, l, Entry{Event: Opened})
	}
	check(t, l.Close())
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "old.cast"), []byte("x"))
	if r := verify(t, o.Dir, dir); !r.Good() || len(r.Remarks) != 2 {
		t.Errorf("%+v", r)
	}
}

// A recorded entry may not lead elsewhere.
func TestRecordedNamesAreNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../x", "/etc/passwd", "a/b"} {
		o := options(t)
		l := mustOpen(t, o)
		mustAppend(t, l, Entry{Event: Recorded, Detail: RecordedDetail(name, 1, "x")})
		if r, ok := ParseRecorded(events(t, o.Dir)[0]); ok {
			t.Errorf("%q: %+v", name, r)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"seq":1,"time":"2026-03-04T04:06:07.891Z","prev":"","event":"open","detail":{"a":[1,{}]}}`))
	f.Add([]byte(`{"seq":0,"event":"open"}`))
	f.Add([]byte(`null`))
	f.Add([]byte("{\"seq\":1,\"event\":\"x\"} {}"))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := decode(line)
		if err != nil {
			if !errors.Is(err, errNotEntry) {
				t.Fatalf("%v", err)
			}
			return
		}
		if e.Seq < 1 || e.Seq > maxSeq || e.Event == "" || len(line) > MaxEntry {
			t.Fatalf("accepted %q: %+v", line, e)
		}
		if _, err := bounded(e); err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add(append(appendSlot(Head{1, hashOf(nil)}), appendSlot(Head{2, hashOf([]byte("x"))})...))
	f.Add([]byte("etcha-audit-head 1 x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, slot, err := decodeHead(data)
		if err != nil {
			return
		}
		if got, ok := decodeSlot(appendSlot(h)); !ok || got != h || slot < 0 || slot > 1 {
			t.Fatal(fmt.Sprint(h, slot, got))
		}
	})
}
