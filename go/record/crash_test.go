//go:build unix

package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcha/go/wire"
)

var errKilled = errors.New("killed")

// dying carries out so many bytes of writes, and nothing after them: the process
// is gone, and so are its repairs.
type dying struct {
	*os.File
	left *int
}

func (d dying) WriteAt(p []byte, at int64) (int, error) {
	n := min(len(p), *d.left)
	*d.left -= n
	if n, err := d.File.WriteAt(p[:n], at); err != nil {
		return n, err
	}
	if n < len(p) {
		return n, errKilled
	}
	return n, nil
}

func (d dying) Truncate(size int64) error {
	if *d.left == 0 {
		return errKilled
	}
	return d.File.Truncate(size)
}

// A process that is killed after any byte that it writes has recorded what
// Offset said, and the next one goes on there: each byte once.
func TestKilledAtEachByte(t *testing.T) {
	chunks := []string{"one\r\n", "tw\xc3", "\xb6 \xe2\x82", "\xac", "three\xf0\x9f"}
	want := valid([]byte(strings.Join(chunks, "")))
	total := strings.Join(chunks, "")
	root := t.TempDir()
	for kill := 0; ; kill++ {
		dir := filepath.Join(root, fmt.Sprint(kill))
		o := Options{Dir: dir, Now: newWatch().Now}
		r := must(Create(o, sample()))(t)
		left := kill
		r.cast, r.side = dying{r.cast.(*os.File), &left}, dying{r.side.(*os.File), &left}
		said, died := uint64(0), false
		for _, c := range chunks {
			if died = r.Output([]byte(c), false) != nil; died {
				break
			}
			said = r.Offset()
		}
		check(t, errors.Join(r.cast.Close(), r.side.Close()))

		r = must(Resume(o, sample().Session))(t)
		if r.Offset() < said {
			t.Fatalf("killed after %d bytes: %d bytes are left of %d", kill, r.Offset(), said)
		}
		check(t, r.Output([]byte(total[r.Offset():]), false))
		s := must(r.Finish(exited))(t)
		if _, all := events(t, filepath.Join(dir, s.File)); joined(all, Output) != want {
			t.Fatalf("killed after %d bytes: %q, want %q", kill, joined(all, Output), want)
		}
		if !died {
			if kill < 500 {
				t.Errorf("only %d bytes were written", kill)
			}
			return
		}
	}
}

// failing lets writes fail while it is told to, after half of the bytes.
type failing struct {
	*os.File
	err *error
}

func (f failing) WriteAt(p []byte, at int64) (int, error) {
	if *f.err == nil {
		return f.File.WriteAt(p, at)
	}
	n, _ := f.File.WriteAt(p[:len(p)/2], at)
	return n, *f.err
}

// A write that fails changes nothing and may be tried again, in each of the files.
func TestFailedWrites(t *testing.T) {
	for _, which := range []string{"cast", "state"} {
		t.Run(which, func(t *testing.T) {
			dir, broken := folder(t), error(nil)
			o := Options{Dir: dir, Now: newWatch().Now}
			r := must(Create(o, sample()))(t)
			if which == "cast" {
				r.cast = failing{r.cast.(*os.File), &broken}
			} else {
				r.side = failing{r.side.(*os.File), &broken}
			}
			check(t, r.Output([]byte("one "), false))
			for range 3 {
				broken = errKilled
				if err := r.Output([]byte("two "), false); !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
				if r.Offset() != 4 {
					t.Fatalf("offset %d", r.Offset())
				}
				if _, all := events(t, filepath.Join(dir, r.File())); joined(all, Output) != "one " {
					t.Errorf("left behind: %q", joined(all, Output))
				}
			}
			broken = nil
			check(t, r.Output([]byte("two "), false))
			check(t, r.Close())
			r = must(Resume(o, sample().Session))(t)
			s := must(r.Finish(exited))(t)
			if _, all := events(t, filepath.Join(dir, s.File)); joined(all, Output) != "one two " {
				t.Errorf("%q", joined(all, Output))
			}
		})
	}
}

// Where even the repair fails, the recorder says so for good, and the next
// process repairs.
func TestBrokenRecorder(t *testing.T) {
	dir := folder(t)
	o := Options{Dir: dir, Now: newWatch().Now}
	r := must(Create(o, sample()))(t)
	check(t, r.Output([]byte("one"), false))
	left := 5
	r.cast = dying{r.cast.(*os.File), &left}
	for range 2 {
		if err := r.Output([]byte("two"), false); !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		left = 1000 // too late
	}
	if s, err := r.Finish(exited); !errors.Is(err, errKilled) || s != (Summary{}) {
		t.Errorf("finished: %+v, %v", s, err)
	}
	check(t, r.Close())
	r = must(Resume(o, sample().Session))(t)
	s := must(r.Finish(exited))(t)
	if _, all := events(t, filepath.Join(dir, s.File)); joined(all, Output) != "one" {
		t.Errorf("%q", joined(all, Output))
	}
}

// What a power cut or a person may have done to the files.
func TestDamage(t *testing.T) {
	flip := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte { b[at] ^= 1; return b }
	}
	for _, c := range []struct {
		name        string
		cast, state func([]byte) []byte
		offset      uint64 // of the resumed one
		err         error
	}{
		{"nothing", nil, nil, 6, nil},
		{"the cast is longer", func(b []byte) []byte { return append(b, "[0, \"o\", \"x"...) }, nil, 6, nil},
		{"the newest slot is torn", nil, flip(100), 3, nil},
		{"the older slot is torn", nil, flip(slotApart + 100), 6, nil},
		{"the last event did not reach the disk", func(b []byte) []byte { return b[:len(b)-3] }, nil, 3, nil},
		{"both slots are torn", nil, func(b []byte) []byte { return flip(slotApart + 8)(flip(8)(b)) }, 0, ErrDamaged},
		{"the cast was changed", flip(200), nil, 0, ErrDamaged},
		{"the cast is empty", func([]byte) []byte { return nil }, nil, 0, ErrDamaged},
		{"the state is empty", nil, func([]byte) []byte { return nil }, 0, ErrDamaged},
		{"the slots changed places", nil, func(b []byte) []byte {
			return append(append(append([]byte{}, b[slotApart:]...), b[slotSize:slotApart]...), b[:slotSize]...)
		}, 0, ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t)
			o := Options{Dir: dir, Now: newWatch().Now}
			r := must(Create(o, sample()))(t) // slot 1
			check(t, r.Output([]byte("one"), false))
			check(t, r.Marker("m"))
			check(t, r.Output([]byte("two"), false)) // slot 0
			check(t, r.Close())
			path := filepath.Join(dir, r.File())
			change(t, path, c.cast)
			change(t, path+stateSuffix, c.state)
			before := must(os.ReadFile(path))(t)

			r, err := Resume(o, sample().Session)
			if !errors.Is(err, c.err) {
				t.Fatal(err)
			}
			if err != nil {
				if after := must(os.ReadFile(path))(t); string(after) != string(before) {
					t.Error("the damaged recording was changed")
				}
				return
			}
			if r.Offset() != c.offset {
				t.Errorf("offset %d, want %d", r.Offset(), c.offset)
			}
			check(t, r.Output([]byte("onetwothree"[r.Offset():]), false))
			s := must(r.Finish(exited))(t)
			if _, all := events(t, path); joined(all, Output) != "onetwothree" || s.Output != 11 {
				t.Errorf("%q, %+v", joined(all, Output), s)
			}
		})
	}
}

func change(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	if f != nil {
		check(t, os.WriteFile(path, f(must(os.ReadFile(path))(t)), 0o600))
	}
}

// A process that is killed while it finishes leaves a recording whose end is
// written once.
func TestKilledWhileFinishing(t *testing.T) {
	dir := folder(t)
	o := Options{Dir: dir, Now: newWatch().Now}
	r := must(Create(o, sample()))(t)
	next := r.st
	lines := r.ending(&next, exited)
	next.finished = true
	check(t, r.commit(lines, next))
	check(t, r.Close())

	r = must(Resume(o, sample().Session))(t)
	if err := r.Output([]byte("x"), false); !errors.Is(err, ErrLimit) {
		t.Errorf("it goes on: %v", err)
	}
	s := must(r.Finish(wire.Exit{Code: 9}))(t)
	if _, all := events(t, filepath.Join(dir, s.File)); joined(all, Exit) != "3" {
		t.Errorf("the end is %q", joined(all, Exit))
	}
	onlyFile(t, dir, s.File)
}

// What nobody goes on with is ended by the next daemon, and nothing else is.
func TestFinishLost(t *testing.T) {
	dir := folder(t)
	o := Options{Dir: dir, Now: newWatch().Now}
	names := map[string]string{}
	for _, session := range []string{"lost", "live", "written", "damaged", "limited"} {
		h := sample()
		h.Session = session
		r := must(Create(o, h))(t)
		check(t, r.Output([]byte("text\xc3"), false))
		names[session] = r.File()
		switch session {
		case "written":
			defer r.Close()
			continue
		case "damaged":
			change(t, filepath.Join(dir, r.File()), func(b []byte) []byte { b[50] ^= 1; return b })
		case "limited":
			r.o.MaxBytes = 1
			if err := r.Marker("x"); !errors.Is(err, ErrLimit) {
				t.Fatal(err)
			}
		}
		check(t, r.Close())
	}
	ended, err := FinishLost(o, func(s string) bool { return s == "live" }, wire.Exit{Code: 255, Reason: wire.ReasonKeeper})
	if !errors.Is(err, ErrDamaged) || errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), names["damaged"]) {
		t.Errorf("error: %v", err)
	}
	if len(ended) != 2 || ended[0].Output != 5 {
		t.Errorf("ended: %+v", ended)
	}
	for _, e := range must(List(dir))(t) {
		if want := e.Session == "lost" || e.Session == "limited"; e.Finished != want {
			t.Errorf("%s: finished %v", e.Session, e.Finished)
		}
	}
	_, all := events(t, filepath.Join(dir, names["lost"]))
	if joined(all, Output) != "text�" || joined(all, Exit) != "255" || joined(all, Marker) != "the end of the session is missingended: keeper" {
		t.Errorf("%+v", all)
	}
}

func FuzzState(f *testing.F) {
	s := state{seq: 1, size: 5, output: 3, last: 7000, held: [streams]tail{{n: 2, b: [3]byte{0xe2, 0x82}}}}
	good := make([]byte, sideSize)
	copy(good[slotApart:], s.encode())
	f.Add(good)
	f.Add(good[:slotApart+slotSize-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range decodeStates(b) {
			again, ok := decodeState(s.encode())
			if !ok || again != s {
				t.Errorf("%+v comes back as %+v", s, again)
			}
		}
	})
}
