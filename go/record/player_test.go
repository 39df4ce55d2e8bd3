package record

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// paper is a screen that remembers what was written since it was last reset.
type paper struct {
	bytes.Buffer
	resets int
}

func (p *paper) Reset() error {
	p.Buffer.Reset()
	p.resets++
	return nil
}

// cast is a recording with a word each second: one at 1 s, two at 2 s…
func cast(words ...string) []byte {
	b := []byte(v3Head)
	for _, w := range words {
		b = appendEvent(b, time.Second, "o", []byte(w))
	}
	return b
}

// playing is a player of a recording on paper, and its clock.
func playing(t fataler, recording []byte, o PlayOptions) (*Player, *paper, *watch) {
	t.Helper()
	w, screen := newWatch(), &paper{}
	o.Now = w.Now
	return must(NewPlayer(bytes.NewReader(recording), screen, o))(t), screen, w
}

// tick lets time pass.
func tick(t fataler, p *Player, w *watch, d time.Duration) {
	t.Helper()
	w.forward(d)
	check(t, p.Advance())
}

func shows(t fataler, screen *paper, want string) {
	t.Helper()
	if screen.String() != want {
		t.Fatalf("the screen shows %q, want %q", screen, want)
	}
}

func TestPlay(t *testing.T) {
	p, screen, w := playing(t, cast("a", "b", "c"), PlayOptions{Speed: 1})
	if d, ok := p.Wait(); d != time.Second || !ok {
		t.Errorf("waits %v, %v", d, ok)
	}
	tick(t, p, w, 999*time.Millisecond)
	shows(t, screen, "")
	tick(t, p, w, time.Millisecond)
	shows(t, screen, "a")

	tick(t, p, w, 500*time.Millisecond)
	p.Pause()
	tick(t, p, w, time.Hour)
	shows(t, screen, "a")
	if p.Position() != 1500*time.Millisecond || !p.Paused() {
		t.Errorf("paused at %v", p.Position())
	}
	if _, ok := p.Wait(); ok {
		t.Error("there is something to wait for while it is paused")
	}
	p.Play()
	tick(t, p, w, 499*time.Millisecond)
	shows(t, screen, "a")
	p.SetSpeed(4)
	tick(t, p, w, time.Millisecond)
	shows(t, screen, "ab")
	if d, _ := p.Wait(); d < 249*time.Millisecond || d > 251*time.Millisecond {
		t.Errorf("waits %v at four times the speed", d)
	}
	tick(t, p, w, time.Second)
	shows(t, screen, "abc")
	if !p.AtEnd() || p.Cut() || p.Position() != 3*time.Second {
		t.Errorf("at the end: %v, %v", p.AtEnd(), p.Position())
	}
}

func TestPlayAtOnce(t *testing.T) {
	words := strings.Split(strings.Repeat("x ", advanceEvents+5), " ")
	p, screen, _ := playing(t, cast(words...), PlayOptions{})
	for !p.AtEnd() {
		check(t, p.Advance())
	}
	shows(t, screen, strings.Join(words, ""))
}

func TestIdleLimit(t *testing.T) {
	b := appendEvent([]byte(v3Head), time.Hour, "o", []byte("a"))
	b = appendEvent(b, time.Second, "o", []byte("b"))
	b = appendEvent(b, time.Hour, "m", nil)
	b = appendEvent(b, time.Hour, "o", []byte("c"))
	p, screen, w := playing(t, b, PlayOptions{Speed: 1, IdleLimit: 2 * time.Second})
	tick(t, p, w, 2*time.Second)
	shows(t, screen, "a")
	tick(t, p, w, time.Second)
	shows(t, screen, "ab")
	tick(t, p, w, 3999*time.Millisecond)
	shows(t, screen, "ab")
	tick(t, p, w, time.Millisecond)
	shows(t, screen, "abc")
	if d := must(p.Length())(t); d != 7*time.Second || p.Position() != d {
		t.Errorf("it is %v long, at %v", d, p.Position())
	}
	check(t, p.Seek(2500*time.Millisecond))
	shows(t, screen, "a")
}

func TestSeekAndStep(t *testing.T) {
	p, screen, w := playing(t, cast("a", "b", "c", "d"), PlayOptions{Speed: 1})
	for _, s := range []struct {
		to     time.Duration
		want   string
		resets int
	}{
		{2500 * time.Millisecond, "ab", 0},
		{2 * time.Second, "ab", 0},
		{1999 * time.Millisecond, "a", 1},
		{-time.Second, "", 2},
		{time.Hour, "abcd", 2},
		{3 * time.Second, "abc", 3},
	} {
		check(t, p.Seek(s.to))
		shows(t, screen, s.want)
		if screen.resets != s.resets {
			t.Errorf("to %v: %d resets, want %d", s.to, screen.resets, s.resets)
		}
	}
	tick(t, p, w, time.Second)
	shows(t, screen, "abcd")

	check(t, p.Seek(500*time.Millisecond))
	check(t, p.Step())
	shows(t, screen, "a")
	if !p.Paused() || p.Position() != time.Second {
		t.Errorf("after a step at %v, paused %v", p.Position(), p.Paused())
	}
	p.Play()
	tick(t, p, w, time.Second)
	shows(t, screen, "ab")
	screen.WriteString("drawn over it")
	check(t, p.Redraw())
	shows(t, screen, "ab")
	for range 3 {
		check(t, p.Step())
	}
	shows(t, screen, "abcd")
}

func TestFind(t *testing.T) {
	b := []byte(v3Head)
	for _, e := range []string{"o:$ l", "o:s\r\n", "o:Error: no\r\n", "i:error", "o:\x1b[1merr\x1b[0mor\r\n", "o:er\r\nror\r\n", "o:exror\b\b\b\b\x1b[K", "o:rror"} {
		b = appendEvent(b, time.Second, e[:1], []byte(e[2:]))
	}
	at := func(p *Player) int { return int(p.Position() / time.Second) }
	p, screen, _ := playing(t, b, PlayOptions{Speed: 1})
	for _, s := range []struct {
		what    string
		forward bool
		found   bool
		at      int
	}{
		{"ls", true, true, 2},
		{"error", true, true, 3},
		{"error", true, true, 5},
		{"error", true, true, 8},
		{"error", true, false, 8},
		{"error", false, true, 5},
		{"ERROR", false, false, 5},
		{"Error", false, true, 3},
		{"$ ls", false, true, 2},
		{"$ ls", false, false, 2},
		{"", true, false, 2},
	} {
		found := must(p.Find(s.what, s.forward))(t)
		if found != s.found || at(p) != s.at {
			t.Errorf("find %q, forwards %v: %v at %d; want %v at %d", s.what, s.forward, found, at(p), s.found, s.at)
		}
	}
	shows(t, screen, "$ ls\r\n")
}

// A search finds what a plain one finds in the text without sequences.
func TestFindProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 1, 4, -1)
		words := rapid.SliceOfN(letters, 1, 12).Draw(t, "words")
		what := letters.Draw(t, "what")
		p, _, _ := playing(t, cast(words...), PlayOptions{Speed: 1})
		want, text := 0, ""
		for i, w := range words {
			before := len(text)
			text += w
			if at := strings.Index(text[max(0, before-len(what)+1):], what); at >= 0 && want == 0 {
				want = i + 1
			}
		}
		found := must(p.Find(what, true))(t)
		if found != (want > 0) || found && p.shown != want {
			t.Fatalf("%q in %q: event %d, want %d", what, words, p.shown, want)
		}
	})
}

func TestPlayFilters(t *testing.T) {
	for unsafe, want := range map[bool]string{false: "ab", true: "a\x1b]52;c;eA==\ab"} {
		p, screen, w := playing(t, cast("a\x1b]52;c;", "eA==\ab"), PlayOptions{Speed: 1, Unsafe: unsafe})
		tick(t, p, w, time.Hour)
		shows(t, screen, want)
	}
}

// The lines of a session without a terminal do not become stairs.
func TestPlayPipes(t *testing.T) {
	h := strings.Replace(v3Head, `"tags"`, `"etcha":{"session":"s"},"tags"`, 1)
	p, screen, w := playing(t, appendEvent([]byte(h), 0, "o", []byte("a\nb\n")), PlayOptions{Speed: 1})
	tick(t, p, w, 0)
	shows(t, screen, "a\r\nb\r\n")
}

func TestPlayDamaged(t *testing.T) {
	good := cast("a", "b")
	p, screen, w := playing(t, good[:len(good)-3], PlayOptions{Speed: 1})
	tick(t, p, w, time.Hour)
	shows(t, screen, "a")
	if !p.AtEnd() || !p.Cut() {
		t.Error("it does not say that it is cut off")
	}
	bad := append(cast("a"), "nonsense\n"...)
	p, _, w = playing(t, bad, PlayOptions{Speed: 1})
	w.forward(time.Hour)
	if err := p.Advance(); err == nil {
		t.Error("nonsense is played")
	}
	if _, err := p.Length(); err == nil {
		t.Error("nonsense has a length")
	}
	if _, err := p.Find("x", true); err == nil {
		t.Error("nonsense is searched")
	}
	if _, err := NewPlayer(strings.NewReader("x"), screen, PlayOptions{}); err == nil {
		t.Error("x is a recording")
	}
}

func TestScreenFails(t *testing.T) {
	for what, f := range map[string]func(p *Player) error{
		"advance": (*Player).Advance, "step": (*Player).Step, "redraw": (*Player).Redraw,
		"seek": func(p *Player) error { return p.Seek(time.Hour) },
	} {
		p := must(NewPlayer(bytes.NewReader(cast("a", "b")), brokenScreen{}, PlayOptions{}))(t)
		if f(p) == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

type brokenScreen struct{}

func (brokenScreen) Write([]byte) (int, error) { return 0, fmt.Errorf("no screen") }
func (brokenScreen) Reset() error              { return fmt.Errorf("no screen") }
