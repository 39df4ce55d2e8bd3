//go:build unix

package record

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// recorded makes recordings, an hour apart, each of the size given at least, and
// last written to when it began; it returns their names, the oldest first.
func recorded(t *testing.T, dir string, sessions ...string) []string {
	t.Helper()
	var names []string
	for i, session := range sessions {
		h := sample()
		h.Session, h.Started = session, began.Add(time.Duration(i)*time.Hour)
		r := must(Create(Options{Dir: dir, Now: newWatch().Now}, h))(t)
		check(t, r.Output([]byte(strings.Repeat("x", 5000)), false))
		s := must(r.Finish(exited))(t)
		names = append(names, s.File)
		check(t, os.Chtimes(filepath.Join(dir, s.File), h.Started, h.Started))
	}
	return names
}

func files(list []Entry) []string {
	var names []string
	for _, e := range list {
		names = append(names, e.File)
	}
	return names
}

func TestListAndFind(t *testing.T) {
	dir := folder(t)
	if all, err := List(dir); err != nil || all != nil {
		t.Errorf("a missing folder: %v, %v", all, err)
	}
	names := recorded(t, dir, "abc-1", "abd_2", "abc-10", "twice", "twice")
	check(t, os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "x-y-z.cast"), nil, 0o600))
	check(t, os.Mkdir(filepath.Join(dir, "20260304T050607Z-a-folder.cast"), 0o700))
	all := must(List(dir))(t)
	want := slices.Clone(names)
	slices.Reverse(want)
	if !slices.Equal(files(all), want) {
		t.Fatalf("%v, want %v", files(all), want)
	}
	if e := all[4]; e.Session != "abc-1" || e.Source != "my_app_1" || !e.Started.Equal(began.Truncate(time.Second)) || e.Size < 5000 || !e.Finished {
		t.Errorf("%+v", e)
	}
	for name, want := range map[string]string{
		"abc-1": names[0], "abd": names[1], "abc-10": names[2], "twice": names[4], "20260304T0506": names[0], names[2]: names[2],
	} {
		if e, err := Find(dir, name); err != nil || e.File != want {
			t.Errorf("%s is %s, %v; want %s", name, e.File, err, want)
		}
	}
	var many *AmbiguousError
	if _, err := Find(dir, "ab"); !errors.As(err, &many) || len(many.Found) != 3 {
		t.Errorf("a prefix of three: %v", err)
	}
	for _, name := range []string{"", "nope", "../x"} {
		if _, err := Find(dir, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPrune(t *testing.T) {
	for _, c := range []struct {
		name   string
		age    time.Duration
		size   int64
		remove []int // of five, the oldest first
	}{
		{"no limits", 0, 0, nil},
		{"nothing is old", 24 * time.Hour, 0, nil},
		{"two are old", 150 * time.Minute, 0, []int{0, 1}},
		{"too large", 0, 17_000, []int{0, 1}},
		{"old and too large", 210 * time.Minute, 11_000, []int{0, 1, 2}},
		{"no room at all", 0, 1, []int{0, 1, 2, 3, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t)
			names := recorded(t, dir, "a", "b", "c", "d", "e")
			var want []string
			for _, i := range c.remove {
				want = append(want, names[i])
			}
			removed := must(Prune(dir, c.age, c.size, began.Add(4*time.Hour), nil))(t)
			if !slices.Equal(files(removed), want) {
				t.Errorf("removed %v, want %v", files(removed), want)
			}
			if left := must(List(dir))(t); len(left) != 5-len(want) {
				t.Errorf("left: %v", files(left))
			}
		})
	}
}

// One that is written stays, with its state; one that was given up goes with it.
func TestPruneUnfinished(t *testing.T) {
	dir := folder(t)
	o := Options{Dir: dir, Now: newWatch().Now}
	r := must(Create(o, sample()))(t)
	later := time.Now().Add(48 * time.Hour)
	if removed := must(Prune(dir, time.Hour, 1, later, nil))(t); removed != nil {
		t.Errorf("removed %v while it was written", files(removed))
	}
	if e := must(Find(dir, sample().Session))(t); e.Finished {
		t.Error("it counts as finished")
	}
	check(t, r.Output([]byte("x"), false))
	check(t, r.Close())
	stale := filepath.Join(dir, "20260304T050607Z-x-gone.cast"+stateSuffix)
	check(t, os.WriteFile(stale, nil, 0o600))
	if removed := must(Prune(dir, time.Hour, 0, later, nil))(t); len(removed) != 1 {
		t.Errorf("removed %v", files(removed))
	}
	if left := must(os.ReadDir(dir))(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if removed, err := Prune(filepath.Join(dir, "missing"), 1, 1, later, nil); err != nil || removed != nil {
		t.Errorf("a missing folder: %v, %v", removed, err)
	}
}
