//go:build unix

package record

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"etcha/go/wire"
)

// Both formats, byte by byte: this is what other programs read.
func TestWhatIsWritten(t *testing.T) {
	for format, want := range map[Format]string{
		V3: `{"version":3,"term":{"cols":80,"rows":24,"type":"xterm-256color"},"timestamp":1772600767,"title":"a \u009btitle\n<&>","etcha":{"session":"Xk3v_-0123456789abcdef","node":"SHA256:node","source":"my-app/1","user":"op","key":"alice","subject":"alice@example.com","addr":"192.0.2.1","input":true,"terminal":true}}
[0.250000, "o", "\u001b[1mé\"\\"]
[1.000001, "i", "ls\r"]
[0.000000, "r", "100x30"]
[0.000000, "m", "hello"]
[3600.000000, "o", "�"]
[0.000000, "m", "ended: idle"]
[0.000000, "x", "129"]
`,
		V2: `{"version":2,"width":80,"height":24,"timestamp":1772600767,"title":"a \u009btitle\n<&>","env":{"TERM":"xterm-256color"},"etcha":{"session":"Xk3v_-0123456789abcdef","node":"SHA256:node","source":"my-app/1","user":"op","key":"alice","subject":"alice@example.com","addr":"192.0.2.1","input":true,"terminal":true}}
[0.250000, "o", "\u001b[1mé\"\\"]
[1.250001, "i", "ls\r"]
[1.250001, "r", "100x30"]
[1.250001, "m", "hello"]
[3601.250001, "o", "�"]
[3601.250001, "m", "ended: idle"]
[3601.250001, "m", "exit status 129"]
`,
	} {
		t.Run(string(format), func(t *testing.T) {
			dir, clock := folder(t), newWatch()
			r := must(Create(Options{Dir: dir, Format: format, Now: clock.Now}, sample()))(t)
			clock.forward(250 * time.Millisecond)
			check(t, r.Output([]byte("\x1b[1mé\"\\\xc3"), false)) // the last byte waits for its rest
			clock.forward(time.Second + time.Microsecond + 999)
			check(t, r.Input([]byte("ls\r")))
			check(t, r.Resize(100, 30))
			check(t, r.Resize(100, 30))
			check(t, r.Marker("hello"))
			clock.forward(time.Hour)
			s := must(r.Finish(wire.Exit{Code: 129, Reason: wire.ReasonIdle}))(t)

			if r.File() != "20260304T050607Z-my_app_1-Xk3v_-0123456789abcdef.cast" || s.File != r.File() {
				t.Errorf("names %q, %q", r.File(), s.File)
			}
			got := must(os.ReadFile(filepath.Join(dir, s.File)))(t)
			if string(got) != want {
				t.Errorf("wrote:\n%s\nwant:\n%s", got, want)
			}
			sum := sha256.Sum256(got)
			if (s != Summary{File: s.File, Session: sample().Session, Size: int64(len(got)), SHA256: hex.EncodeToString(sum[:]), Output: 9, Input: 3}) {
				t.Errorf("summary %+v", s)
			}
			for line := range strings.Lines(string(got)) {
				if !json.Valid([]byte(line)) {
					t.Errorf("not JSON: %s", line)
				}
			}
			onlyFile(t, dir, s.File)
		})
	}
}

// onlyFile checks that a finished recording is all there is, for its owner alone.
func onlyFile(t *testing.T, dir, name string) {
	t.Helper()
	names := must(os.ReadDir(dir))(t)
	if len(names) != 1 || names[0].Name() != name {
		t.Errorf("in the folder: %v", names)
	}
	for path, mode := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, name): 0o600} {
		if got := must(os.Stat(path))(t).Mode().Perm(); got != mode {
			t.Errorf("mode of %s: %o", path, got)
		}
	}
}

// The text does not depend on how the bytes were cut, on the other streams, or
// on daemons that come and go; each byte is recorded once.
func TestTextDoesNotDependOnCuts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := must(os.MkdirTemp(t.TempDir(), "r"))(rt)
		o := Options{Dir: dir, Now: newWatch().Now, Format: rapid.SampledFrom([]Format{V3, V2}).Draw(rt, "format")}
		piece := rapid.Custom(func(t *rapid.T) []byte {
			if rapid.Bool().Draw(t, "text") {
				return []byte(rapid.String().Draw(t, "s"))
			}
			return rapid.SliceOf(rapid.SampledFrom([]byte("a\"\n\x1b\x7f\x80\xbf\xc2\xe2\x82\xac\xf0\x9f\xed\xa0\xff"))).Draw(t, "b")
		})
		out := slices.Concat(rapid.SliceOf(piece).Draw(rt, "stdout")...)
		in := slices.Concat(rapid.SliceOf(piece).Draw(rt, "stdin")...)
		r := must(Create(o, sample()))(rt)
		wantOut, wantIn := valid(out), valid(in)
		for fed := uint64(0); len(out)+len(in) > 0; {
			n := rapid.IntRange(0, len(out)).Draw(rt, "cut")
			check(rt, r.Output(out[:n], false))
			fed, out = fed+uint64(n), out[n:]
			n = rapid.IntRange(0, len(in)).Draw(rt, "cut")
			check(rt, r.Input(in[:n]))
			in = in[n:]
			if r.Offset() != fed {
				rt.Fatalf("offset %d after %d bytes", r.Offset(), fed)
			}
			if rapid.Bool().Draw(rt, "restart") {
				check(rt, r.Close())
				r = must(Resume(o, sample().Session))(rt)
			}
		}
		s := must(r.Finish(exited))(rt)
		_, all := events(rt, filepath.Join(dir, s.File))
		if got := joined(all, Output); got != wantOut {
			rt.Fatalf("output %q, want %q", got, wantOut)
		}
		if got := joined(all, Input); got != wantIn {
			rt.Fatalf("input %q, want %q", got, wantIn)
		}
	})
}

// Characters of stdout and stderr do not mix.
func TestStreamsAreApart(t *testing.T) {
	dir := folder(t)
	h := sample()
	h.Term, h.Cols, h.Rows = "", 0, 0
	r := must(Create(Options{Dir: dir, Now: newWatch().Now}, h))(t)
	check(t, r.Output([]byte("a\xe2\x82"), false))
	check(t, r.Output([]byte("error\xc3"), true))
	check(t, r.Output([]byte("\xac"), false))
	check(t, r.Output([]byte("\xa9"), true))
	s := must(r.Finish(exited))(t)
	m, all := events(t, filepath.Join(dir, s.File))
	if got := joined(all, Output); got != "aerror€é" || s.Output != 11 {
		t.Errorf("%q, %d bytes", got, s.Output)
	}
	if !m.Pipes || m.Cols != 80 || m.Rows != 24 {
		t.Errorf("a session without a terminal: %+v", m)
	}
}

// Large output is cut into lines that readers take.
func TestLargeOutput(t *testing.T) {
	dir := folder(t)
	r := must(Create(Options{Dir: dir, Now: newWatch().Now}, sample()))(t)
	big := []byte(strings.Repeat("\x01€", 300_000))
	check(t, r.Output(big, false))
	s := must(r.Finish(exited))(t)
	if _, all := events(t, filepath.Join(dir, s.File)); joined(all, Output) != string(big) {
		t.Error("it is not what was recorded")
	}
}

// Time never goes back, whatever the clock does.
func TestClockGoesBack(t *testing.T) {
	dir, clock := folder(t), newWatch()
	o := Options{Dir: dir, Now: clock.Now}
	r := must(Create(o, sample()))(t)
	clock.forward(10 * time.Second)
	check(t, r.Output([]byte("a"), false))
	clock.forward(-time.Hour)
	check(t, r.Output([]byte("b"), false))
	check(t, r.Close())
	r = must(Resume(o, sample().Session))(t)
	clock.forward(5 * time.Second)
	check(t, r.Output([]byte("c"), false))
	s := must(r.Finish(exited))(t)
	_, all := events(t, filepath.Join(dir, s.File))
	var times []time.Duration
	for _, e := range all {
		times = append(times, e.Time)
	}
	if want := []time.Duration{10 * time.Second, 10 * time.Second, 15 * time.Second, 15 * time.Second}; !slices.Equal(times, want) {
		t.Errorf("times %v, want %v", times, want)
	}
}

func TestLimit(t *testing.T) {
	dir := folder(t)
	o := Options{Dir: dir, MaxBytes: 8 << 10, Now: newWatch().Now}
	r := must(Create(o, sample()))(t)
	line, fed := []byte(strings.Repeat("x", 99)+"\xc3"), 0
	var err error
	for err == nil {
		if err = r.Output(line, false); err == nil {
			fed += len(line)
		}
	}
	if !errors.Is(err, ErrLimit) || fed < 5000 {
		t.Fatalf("after %d bytes: %v", fed, err)
	}
	check(t, r.Close())
	r = must(Resume(o, sample().Session))(t)
	for _, err := range []error{r.Output(line, false), r.Input(line), r.Marker("m"), r.Resize(1, 1), r.Gap(1)} {
		if !errors.Is(err, ErrLimit) {
			t.Errorf("it goes on after a restart: %v", err)
		}
	}
	s := must(r.Finish(wire.Exit{Code: 1, Reason: wire.ReasonRecord}))(t)
	_, all := events(t, filepath.Join(dir, s.File))
	if last := all[len(all)-1]; last.Code != Exit || s.Size > o.MaxBytes || s.Output != uint64(fed) {
		t.Errorf("last %+v, %+v", last, s)
	}
	if !strings.Contains(joined(all, Marker), "limit of 8192 bytes") {
		t.Errorf("remarks: %q", joined(all, Marker))
	}
}

func TestGap(t *testing.T) {
	dir := folder(t)
	r := must(Create(Options{Dir: dir, Now: newWatch().Now}, sample()))(t)
	check(t, r.Output([]byte("a\xe2"), false))
	check(t, r.Gap(1000))
	check(t, r.Output([]byte("\x82b"), false))
	if r.Offset() != 1004 {
		t.Errorf("offset %d", r.Offset())
	}
	s := must(r.Finish(exited))(t)
	_, all := events(t, filepath.Join(dir, s.File))
	if joined(all, Output) != "a��b" || s.Output != 4 || joined(all, Marker) != "1000 bytes of output are missing here" {
		t.Errorf("%q, %q, %+v", joined(all, Output), joined(all, Marker), s)
	}
}

func TestRefused(t *testing.T) {
	dir := folder(t)
	o := Options{Dir: dir, Now: newWatch().Now}
	r := must(Create(o, sample()))(t)
	if _, err := Create(o, sample()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("twice in a second: %v", err)
	}
	if _, err := Resume(o, sample().Session); !errors.Is(err, ErrBusy) {
		t.Errorf("resumed while it is written: %v", err)
	}
	must(r.Finish(exited))(t)
	if err := r.Output([]byte("x"), false); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := r.Finish(exited); !errors.Is(err, fs.ErrClosed) || r.Close() != nil {
		t.Errorf("finished twice: %v", err)
	}
	for _, id := range []string{sample().Session, "another", "", "../x", "a/b", strings.Repeat("x", 97)} {
		_, err := Resume(o, id)
		if err == nil || (id == sample().Session || id == "another") && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("resume %q: %v", id, err)
		}
		h := sample()
		if h.Session = id; id != sample().Session && id != "another" {
			if _, err := Create(o, h); err == nil {
				t.Errorf("a recording of session %q", id)
			}
		}
	}
	if _, err := Create(Options{Dir: dir, Format: "v1"}, sample()); err == nil {
		t.Error("a recording of version 1")
	}
	if _, err := Create(Options{Dir: "relative"}, sample()); err == nil {
		t.Error("a relative folder")
	}
}

// Neither links nor a folder of everybody's lead recordings elsewhere.
func TestPlacesOfOthers(t *testing.T) {
	dir, elsewhere := folder(t), filepath.Join(t.TempDir(), "victim")
	o := Options{Dir: dir, Now: newWatch().Now}
	name := must(castName(sample()))(t)
	check(t, os.Mkdir(dir, 0o700))
	for _, link := range []string{name, name + stateSuffix} {
		check(t, os.Symlink(elsewhere, filepath.Join(dir, link)))
		if _, err := Create(o, sample()); err == nil {
			t.Errorf("written through the link %s", link)
		}
		check(t, os.Remove(filepath.Join(dir, link)))
	}
	r := must(Create(o, sample()))(t)
	check(t, r.Close())
	check(t, os.Rename(filepath.Join(dir, name), elsewhere))
	check(t, os.Symlink(elsewhere, filepath.Join(dir, name)))
	if _, err := Resume(o, sample().Session); err == nil {
		t.Error("resumed through a link")
	}
	check(t, os.Chmod(dir, 0o777))
	h := sample()
	h.Session = "another"
	if _, err := Create(o, h); err == nil {
		t.Error("a recording in a folder of everybody's")
	}
}
