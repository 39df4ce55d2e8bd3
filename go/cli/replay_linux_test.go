package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// long is a recording whose waits nobody sits through: an hour between events.
const long = `{"version":3,"term":{"cols":80,"rows":24,"type":"xterm"}}
[0, "o", "first\r\n"]
[3600, "o", "second \u001b]52;c;eA==\u0007\u001b[6n\r\n"]
[3600, "o", "\u001b[?1049h\u001b[?25l\u001b[24;1Hthe lowest line\u001b[H"]
[3600, "o", "needle"]
[3600, "o", "\u001b[?1049lback\r\n"]
`

// replaying is etcha sessions replay on a screen.
func replaying(t *testing.T, recording string, args ...string) *screen {
	t.Helper()
	file := filepath.Join(t.TempDir(), "session.cast")
	if err := os.WriteFile(file, []byte(recording), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("etcha", append([]string{"sessions", "replay", file}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=xterm", "HOME="+t.TempDir())
	return onScreen(t, cmd)
}

// seesNow waits until text is on the screen.
func (s *screen) seesNow(text string) {
	s.t.Helper()
	s.until(text+" on the screen", func(_, shown string) bool { return strings.Contains(shown, text) })
}

// seesNot waits until text is no longer on the screen.
func (s *screen) seesNot(text string) {
	s.t.Helper()
	s.until("the end of "+text, func(_, shown string) bool { return !strings.Contains(shown, text) })
}

func TestReplayKeys(t *testing.T) {
	s := replaying(t, long)
	s.seesLine("first")
	s.isRaw()
	s.types(" ")
	s.seesNow("paused")
	s.seesNow("00:00 / 4:00:00")
	s.types("+")
	s.seesNow("2x")
	s.types("--")
	s.seesNow("0.5x")
	s.types(" ")
	s.seesNot("paused")
	s.seesLine("first")

	s.types(".")
	s.seesLine("second")
	s.seesNow("1:00:00 / 4:00:00")
	s.types("\x1b[D") // 5 s back: before it
	s.seesNot("second")
	s.seesLine("first")
	s.types("\x1bOC")
	s.seesLine("second")

	s.types("/Nee\x7fex\x15NEEDLE\r")
	s.seesNow(`"NEEDLE": not found`)
	s.types("/x\x1b/needle\r")
	s.seesLine("needle")
	s.seesNow("3:00:00 / 4:00:00")
	s.types("N")
	s.seesNow(`"needle": not found`)
	s.types("/\r") // the same again
	s.types("/first\r")
	s.types("N")
	s.seesNot("needle")
	s.types("n")
	s.types("q")
	s.ends(0)
	if strings.Contains(s.written(), "]52;") || strings.Contains(s.written(), "[6n") {
		t.Error("a sequence that acts on the terminal got through")
	}
}

// The status line leaves the picture as it was, and the terminal is usable
// after a program that was on the other screen with its cursor hidden.
func TestReplayKeepsThePicture(t *testing.T) {
	s := replaying(t, long)
	s.seesLine("first")
	s.types("..")
	s.seesNow("2:00:00 / 4:00:00")
	s.types(" ") // goes on: an hour until the next event
	s.seesLine("the lowest line")
	s.seesNot("2:00:00")
	s.types("q")
	s.ends(0)
	s.seesLine("second")
	s.seesNot("lowest")
	if !strings.Contains(s.written(), "\x1b[?25h") {
		t.Error("the cursor stays hidden")
	}
}

func TestReplayEnds(t *testing.T) {
	s := replaying(t, long, "--speed", "0")
	s.ends(0)
	s.seesLine("back")

	s = replaying(t, long, "--idle-limit", "1ms")
	s.ends(0)
	s.seesLine("back")
}

// Each way out gives the terminal back as it was.
func TestReplayInterrupted(t *testing.T) {
	for name, end := range map[string]struct {
		do     func(s *screen)
		status int
	}{
		"ctrl-c":  {func(s *screen) { s.types("\x03") }, 130},
		"ctrl-d":  {func(s *screen) { s.types("\x04") }, 0},
		"SIGTERM": {func(s *screen) { s.signal(syscall.SIGTERM) }, 143},
		"paused":  {func(s *screen) { s.types(" "); s.seesNow("paused"); s.signal(syscall.SIGHUP) }, 129},
		"typing":  {func(s *screen) { s.types("/abc"); s.seesNow("/abc"); s.signal(syscall.SIGTERM) }, 143},
	} {
		t.Run(name, func(t *testing.T) {
			s := replaying(t, long)
			s.seesLine("first")
			s.isRaw()
			end.do(s)
			s.ends(end.status)
		})
	}
}

// A recording that turns out to be damaged ends with an error on a usable terminal.
func TestReplayDamaged(t *testing.T) {
	s := replaying(t, long+"nonsense\n")
	s.ends(1)
	s.sees("line 7 of the recording")
}

func TestReplayOtherSize(t *testing.T) {
	s := replaying(t, strings.Replace(long, `"cols":80`, `"cols":100`, 1))
	s.sees("100 × 24")
	s.seesLine("first")
	s.types(" ")
	s.seesNow("recorded 100×24, here 80×24")
	s.types("q")
	s.ends(0)
}

func TestDecodeKey(t *testing.T) {
	for in, want := range map[string][]rune{
		"q": {'q'}, "é/": {'é', '/'}, "\x1b[D\x1bOC": {keyLeft, keyRight}, "\x1b": {keyEscape}, "\x1b[1;5D.": {keyOther, '.'},
		"\x1b[": {keyEscape, '['}, "\x1b[3~n": {keyOther, 'n'}, "\x1b[12": {keyOther}, "\xff": {'\ufffd'},
	} {
		var got []rune
		for b := []byte(in); len(b) > 0; {
			var key rune
			key, b = decodeKey(b)
			got = append(got, key)
		}
		if string(got) != string(want) || len(got) != len(want) {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}
