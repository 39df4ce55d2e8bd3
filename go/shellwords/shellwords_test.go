package shellwords_test

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"etcha/go/shellwords"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name, line string
		want       []string
		err        error
	}{
		{"nothing", "", nil, nil},
		{"only blanks", " \t\n ", nil, nil},
		{"one word", "/bin/bash", []string{"/bin/bash"}, nil},
		{"several blanks", "  a \t b\nc ", []string{"a", "b", "c"}, nil},
		{"single quotes", `sh -c 'echo "$x" \n'`, []string{"sh", "-c", `echo "$x" \n`}, nil},
		{"double quotes", `a "b c" d`, []string{"a", "b c", "d"}, nil},
		{"escapes inside double quotes", `"\$ \` + "`" + ` \" \\ \n"`, []string{"$ ` \" \\ \\n"}, nil},
		{"escape outside quotes", `a\ b \" \\`, []string{"a b", `"`, `\`}, nil},
		{"quotes inside a word", `a'b'"c"d`, []string{"abcd"}, nil},
		{"empty words", `'' "" a`, []string{"", "", "a"}, nil},
		{"joined lines", "a \\\n b c\\\nd \"e\\\nf\"", []string{"a", "b", "cd", "ef"}, nil},
		{"joined line at the end", "a \\\n", []string{"a"}, nil},
		{"no expansion, operators, comments", `$HOME a;b | # c`, []string{"$HOME", "a;b", "|", "#", "c"}, nil},
		{"more than ASCII", `'ä b' ñ`, []string{"ä b", "ñ"}, nil},
		{"open single quote", `a 'b`, nil, shellwords.ErrQuote},
		{"open double quote", `a "b`, nil, shellwords.ErrQuote},
		{"escaped closing quote", `"a\"`, nil, shellwords.ErrQuote},
		{"backslash at the end", `a \`, nil, shellwords.ErrBackslash},
		{"NUL", "a\x00b", nil, shellwords.ErrNUL},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := shellwords.Split(c.line)
			if !errors.Is(err, c.err) || !slices.Equal(got, c.want) {
				t.Errorf("Split(%q) = %q, %v; want %q, %v", c.line, got, err, c.want, c.err)
			}
		})
	}
}

// TestSplitAsTheShell asks a real shell about lines that no expansion touches.
func TestSplitAsTheShell(t *testing.T) {
	for _, line := range []string{
		`a 'b  c' "d 'e'" f\ g "" ''`, `\a\'\" "\\" "\a" '\\'`, "x\\\ny 'a\nb' \"c\nd\"", `"a"'b'c\d`,
	} {
		out, err := exec.Command("/bin/sh", "-c", `for w in `+line+`; do printf '%s\0' "$w"; done`).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if got, err := shellwords.Split(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("Split(%q) = %q, %v; the shell says %q", line, got, err, want)
		}
	}
}

// FuzzSplit checks that words survive being quoted, and that no input panics.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "a b", `'a' "b" \c`, `"\`, "\\\n", "'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := shellwords.Split(line)
		if err != nil {
			return
		}
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		again, err := shellwords.Split(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(again, words) {
			t.Errorf("%q: %q became %q, %v", line, words, again, err)
		}
	})
}
