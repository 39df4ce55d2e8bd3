package cli

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// typeAll gives the filter the text in the pieces, goes on after each sequence,
// and returns what is for the program and the actions.
func typeAll(e *escapes, pieces ...string) (string, []escapeAction) {
	var out []byte
	var acts []escapeAction
	for _, p := range pieces {
		for rest := []byte(p); rest != nil; {
			var act escapeAction
			out, act, rest = e.scan(out, rest)
			if act != escapeNone {
				acts = append(acts, act)
			}
		}
	}
	return string(out), acts
}

func TestEscapes(t *testing.T) {
	for _, c := range []struct {
		name, typed, want string
		acts              []escapeAction
	}{
		{"nothing", "ls -l\r", "ls -l\r", nil},
		{"end at the start", "~.", "", []escapeAction{escapeEnd}},
		{"end after CR", "ls\r~.", "ls\r", []escapeAction{escapeEnd}},
		{"end after LF", "ls\n~.", "ls\n", []escapeAction{escapeEnd}},
		{"not in a line", "ls ~.", "ls ~.", nil},
		{"home folder", "~/bin\r", "~/bin\r", nil},
		{"twice is one", "~~.", "~.", nil},
		{"twice, then in a line", "~~~.", "~~.", nil},
		{"suspend", "~\x1a", "", []escapeAction{escapeSuspend}},
		{"info, then end on the same line", "~#~.", "", []escapeAction{escapeInfo, escapeEnd}},
		{"help, then text", "~?x~.", "x~.", []escapeAction{escapeHelp}},
		{"tilde before CR", "~\r~.", "~\r", []escapeAction{escapeEnd}},
		{"tilde at the end waits for what follows", "ls\r~", "ls\r", nil},
		{"inside a paste", "\x1b[200~a\r~.\r\x1b[201~", "\x1b[200~a\r~.\r\x1b[201~", nil},
		{"after a paste", "\x1b[200~a\x1b[201~\r~.", "\x1b[200~a\x1b[201~\r", []escapeAction{escapeEnd}},
		{"ESC ESC [200~", "\x1b\x1b[200~\r~.", "\x1b\x1b[200~\r~.", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, pieces := range map[string][]string{"whole": {c.typed}, "bytes": strings.Split(c.typed, "")} {
				got, acts := typeAll(&escapes{char: '~'}, pieces...)
				if got != c.want {
					t.Errorf("%s: program gets %q, want %q", name, got, c.want)
				}
				if len(acts) != len(c.acts) {
					t.Fatalf("%s: actions %v, want %v", name, acts, c.acts)
				}
				for i := range acts {
					if acts[i] != c.acts[i] {
						t.Errorf("%s: actions %v, want %v", name, acts, c.acts)
					}
				}
			}
		})
	}
}

func TestEscapesOff(t *testing.T) {
	e := &escapes{off: true}
	if got, acts := typeAll(e, "~.~?\r~."); got != "~.~?\r~." || acts != nil {
		t.Errorf("program gets %q, actions %v", got, acts)
	}
}

// Whatever is typed, in whatever pieces: without an escape character at the
// start of a line every byte reaches the program unchanged.
func TestEscapesKeepEverythingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := "x" + rapid.StringOf(rapid.RuneFrom([]rune("~.ab\x1b[201~#? "))).Draw(t, "text")
		cut := rapid.IntRange(0, len(text)).Draw(t, "cut")
		got, acts := typeAll(&escapes{char: '~'}, text[:cut], text[cut:])
		if got != text || acts != nil {
			t.Fatalf("typed %q, program gets %q, actions %v", text, got, acts)
		}
	})
}

func TestParseEscape(t *testing.T) {
	for in, want := range map[string]string{"~": "~", "%": "%", "^]": "^]", "^x": "^X", "^?": "^?", "^@": "^@"} {
		e, ok := parseEscape(in)
		if !ok || e.off || e.name() != want {
			t.Errorf("%q: name %q, ok %v, want %q", in, e.name(), ok, want)
		}
	}
	if e, ok := parseEscape("none"); !ok || !e.off {
		t.Error("none does not turn escapes off")
	}
	for _, in := range []string{"", "ab", "^", "^1", "ä", "~~~"} {
		if _, ok := parseEscape(in); in != "^" && ok {
			t.Errorf("%q is accepted", in)
		}
	}
}
