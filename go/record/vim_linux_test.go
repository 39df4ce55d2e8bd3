package record

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
)

// patience is how long a program may take for what must come.
const patience = 60 * time.Second

// filmed is a program on a terminal of 80 × 24 that is recorded.
type filmed struct {
	t        *testing.T
	master   *os.File
	recorder *Recorder
	screen   vt10x.Terminal
	raw      []byte
}

// film starts a program. A reading that waits in vain ends the test.
func film(t *testing.T, r *Recorder, cmd *exec.Cmd) *filmed {
	t.Helper()
	cmd.Env = []string{"TERM=xterm-256color", "LANG=C.UTF-8", "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	master := must(pty.StartWithSize(cmd, &pty.Winsize{Cols: 80, Rows: 24}))(t)
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = master.Close()
	})
	return &filmed{t: t, master: master, recorder: r, screen: emulator()}
}

func emulator() vt10x.Terminal {
	return vt10x.New(vt10x.WithSize(80, 24), vt10x.WithWriter(io.Discard))
}

// until records until the screen shows text; to the end for "".
func (f *filmed) until(text string) {
	f.t.Helper()
	// Small reads cut characters and sequences into pieces.
	for b := make([]byte, 61); text == "" || !strings.Contains(f.screen.String(), text); {
		n, err := f.master.Read(b)
		check(f.t, f.recorder.Output(b[:n], false))
		f.raw = append(f.raw, b[:n]...)
		must(f.screen.Write(b[:n]))(f.t)
		if err != nil && text != "" {
			f.t.Fatalf("%q did not come; the screen:\n%s", text, f.screen)
		}
		if err != nil {
			return
		}
	}
}

func (f *filmed) types(keys string) {
	f.t.Helper()
	must(io.WriteString(f.master, keys))(f.t)
}

// picture is everything that is seen: characters, attributes, the cursor.
func picture(v vt10x.Terminal) ([]vt10x.Glyph, vt10x.Cursor, bool) {
	var cells []vt10x.Glyph
	for y := range 24 {
		for x := range 80 {
			cells = append(cells, v.Cell(x, y))
		}
	}
	return cells, v.Cursor(), v.CursorVisible()
}

func samePicture(t *testing.T, when string, got, want vt10x.Terminal) {
	t.Helper()
	gotCells, gotCursor, gotVisible := picture(got)
	cells, cursor, visible := picture(want)
	for i := range cells {
		if gotCells[i] != cells[i] {
			t.Fatalf("%s: cell %d,%d is %+v, want %+v; the screen:\n%s\nwant:\n%s", when, i%80, i/80, gotCells[i], cells[i], got, want)
		}
	}
	if gotCursor.X != cursor.X || gotCursor.Y != cursor.Y || gotVisible != visible {
		t.Errorf("%s: the cursor is %+v, want %+v", when, gotCursor, cursor)
	}
}

// emulated is an emulator as a screen.
type emulated struct{ vt10x.Terminal }

func (e *emulated) Reset() error { e.Terminal = emulator(); return nil }

// A recording of vim replays to the same screen as it had, at each point, also
// after the recorder was restarted in between, and after seeking back.
func TestVim(t *testing.T) {
	vim, err := exec.LookPath("vim")
	if err != nil {
		t.Skip("NOT TESTED: vim is not installed; install it to compare the replay with its screen")
	}
	dir := folder(t)
	o := Options{Dir: dir}
	h := sample()
	h.Started = time.Now()
	f := film(t, must(Create(o, h))(t), exec.Command(vim, "-u", "NONE", "-N", "-n", "-i", "NONE", filepath.Join(t.TempDir(), "file.c")))
	points := map[string][]byte{}
	point := func(name, keys, shows string) {
		f.types(keys)
		f.until(shows)
		check(t, f.recorder.Marker(name))
		points[name] = append([]byte{}, f.raw...)
	}
	point("typed", "iint wörld = 1; // €\u00a0text\rsecond line\x1b", "second line")
	point("numbers", ":syntax on | set number cursorline ruler\r", " 2 second")
	check(t, f.recorder.Close())
	f.recorder = must(Resume(o, h.Session))(t)
	point("windows", ":split | vsplit | normal yy500p\r", "500 more lines")
	point("scrolled", "G:echo 'at the end'\r", "at the end")
	point("back", ":only\rgg:echo 'on top'\r", "on top")
	f.types(":q!\r")
	f.until("")
	s := must(f.recorder.Finish(exited))(t)

	if s.Output != uint64(len(f.raw)) {
		t.Errorf("%d bytes recorded of %d", s.Output, len(f.raw))
	}
	points["the end"] = f.raw
	path := filepath.Join(dir, s.File)
	t.Run("all", func(t *testing.T) { comparePoints(t, path, points, true) })
	for name, raw := range points {
		points[name] = misread.ReplaceAll(raw, nil)
	}
	t.Run("filtered", func(t *testing.T) { comparePoints(t, path, points, false) })
}

// misread is about the keyboard, and the emulator takes it for an attribute.
// The filter drops it.
var misread = regexp.MustCompile(`\x1b\[[>?][0-9;]*m`)

// comparePoints replays to each marker and compares the screen with that of the
// bytes up to there.
func comparePoints(t *testing.T, path string, points map[string][]byte, unsafe bool) {
	file := must(os.Open(path))(t)
	defer file.Close()
	seen := &emulated{emulator()}
	p := must(NewPlayer(file, seen, PlayOptions{Speed: 1, Unsafe: unsafe}))(t)
	places := map[string]int{}
	for !p.AtEnd() {
		check(t, p.until(func() bool { return p.next.Code == Marker }))
		name := "the end"
		if !p.AtEnd() {
			name = p.next.Data
		}
		samePicture(t, name, seen.Terminal, drawn(t, points[name]))
		places[name] = p.shown
		if !p.AtEnd() {
			check(t, p.show(seen))
		}
	}
	if len(places) != len(points) {
		t.Fatalf("%d points of %d", len(places), len(points))
	}
	check(t, p.goTo(places["windows"]))
	samePicture(t, "after going back", seen.Terminal, drawn(t, points["windows"]))
}

func drawn(t *testing.T, raw []byte) vt10x.Terminal {
	t.Helper()
	v := emulator()
	must(v.Write(raw))(t)
	return v
}
