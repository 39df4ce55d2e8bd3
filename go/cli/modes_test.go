package cli

import (
	"strings"
	"testing"

	"github.com/hinshun/vt10x"
)

func undoAfter(pieces ...string) string {
	var m modes
	for _, p := range pieces {
		m.scan([]byte(p))
	}
	return m.undo()
}

func TestModesUndo(t *testing.T) {
	const rest = "\x1b[m"
	for _, c := range []struct{ name, output, want string }{
		{"plain text", "hello\r\n", rest},
		{"colours only", "\x1b[1;31mred", rest},
		{"alternate screen", "\x1b[?1049h", rest + "\x1b[?1049l"},
		{"left again", "\x1b[?1049h\x1b[?1049l", rest},
		{"cursor hidden", "\x1b[?25l", rest + "\x1b[?25h"},
		{"cursor shown again", "\x1b[?25l\x1b[?25h", rest},
		{"several at once", "\x1b[?1000;1006h", rest + "\x1b[?1000l\x1b[?1006l"},
		{"bracketed paste", "\x1b[?2004h$ ", rest + "\x1b[?2004l"},
		{"keypad", "\x1b[?1h\x1b=", rest + "\x1b>\x1b[?1l"},
		{"unknown mode", "\x1b[?7777h", rest},
		{"huge number", "\x1b[?99999999999999999999999h", rest},
		{"broken off by ESC", "\x1b[?10\x1b[?1049h", rest + "\x1b[?1049l"},
		{"not private", "\x1b[25l\x1b[1049h", rest},
		{"full reset", "\x1b[?1049h\x1b[?25l\x1bc", rest},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := undoAfter(c.output); got != c.want {
				t.Errorf("whole: %q, want %q", got, c.want)
			}
			if got := undoAfter(strings.Split(c.output, "")...); got != c.want {
				t.Errorf("byte by byte: %q, want %q", got, c.want)
			}
		})
	}
}

// What a full-screen program leaves behind is undone as a terminal sees it.
func TestModesUndoOnATerminal(t *testing.T) {
	term := vt10x.New(vt10x.WithSize(40, 5))
	var m modes
	show := func(s string) {
		m.scan([]byte(s))
		if _, err := term.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	show("before\r\n\x1b[?1049h\x1b[?25l\x1b[H\x1b[2Jediting")
	if term.CursorVisible() || term.Mode()&vt10x.ModeAltScreen == 0 {
		t.Fatal("the program's modes are not on: the test shows nothing")
	}
	if _, err := term.Write([]byte(m.undo())); err != nil {
		t.Fatal(err)
	}
	if !term.CursorVisible() {
		t.Error("the cursor stays hidden")
	}
	if term.Mode()&vt10x.ModeAltScreen != 0 {
		t.Error("the alternate screen stays")
	}
	if first, _, _ := strings.Cut(term.String(), "\n"); strings.TrimSpace(first) != "before" {
		t.Errorf("the first line is %q", first)
	}
}

func BenchmarkModes(b *testing.B) {
	var m modes
	text := []byte(strings.Repeat("\x1b[32mhello\x1b[0m world, some plain text\r\n", 200))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		m.scan(text)
	}
}
