package record

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestExport(t *testing.T) {
	in := v2Head + `[0.5, "o", "a\r\n\u001b[1mb\u001b[0m"]` + "\n" + `[1.25, "i", "x"]` + "\n" + `[2, "o", "\u001b]0;t\u0007c\n"]` + "\n"
	v3 := `{"version":3,"term":{"cols":100,"rows":30,"type":"vt100"}}` + "\n" +
		`[0.500000, "o", "a\r\n\u001b[1mb\u001b[0m"]` + "\n" + `[0.750000, "i", "x"]` + "\n" + `[0.750000, "o", "\u001b]0;t\u0007c\n"]` + "\n"
	for f, want := range map[ExportFormat]string{
		ExportV3: v3,
		ExportV2: `{"version":2,"width":100,"height":30,"env":{"TERM":"vt100"}}` + "\n" +
			`[0.500000, "o", "a\r\n\u001b[1mb\u001b[0m"]` + "\n" + `[1.250000, "i", "x"]` + "\n" + `[2.000000, "o", "\u001b]0;t\u0007c\n"]` + "\n",
		ExportText: "a\nbc\n",
		ExportRaw:  "a\r\n\x1b[1mb\x1b[0m\x1b]0;t\ac\n",
	} {
		var w bytes.Buffer
		if err := Export(&w, strings.NewReader(in), f); err != nil || w.String() != want {
			t.Errorf("%s: %v\n%q, want\n%q", f, err, &w, want)
		}
	}
	var w bytes.Buffer
	if err := Export(&w, strings.NewReader(v3+"[1, \"x\", \"3\"]\n"), ExportV2); err != nil || !strings.HasSuffix(w.String(), `[3.000000, "m", "exit status 3"]`+"\n") {
		t.Errorf("an exit status as v2: %v, %q", err, &w)
	}
	w.Reset()
	if err := Export(&w, strings.NewReader(v3+`[1, "o", "cut`), ExportRaw); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasSuffix(w.String(), "c\n") {
		t.Errorf("cut off: %v, %q", err, &w)
	}
	if err := Export(&w, strings.NewReader(v3), "gif"); err == nil {
		t.Error("a recording became a gif")
	}
	if err := Export(&w, strings.NewReader("x"), ExportRaw); err == nil {
		t.Error("x is a recording")
	}
	if err := Export(brokenScreen{}, strings.NewReader(v3), ExportRaw); err == nil {
		t.Error("nobody saw that it could not be written")
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain\r\n":                              "plain\n",
		"no end":                                 "no end\n",
		"10%\r50%\r100%\r\n":                     "100%\n",
		"abc\rX\r\n":                             "Xbc\n",
		"lz\b\x1b[Ks -l\r\n":                     "ls -l\n", // typed wrong, erased
		"abcdef\x1b[3D\x1b[2P\r\n":               "abcf\n",
		"abf\b\x1b[3@cde\r\n":                    "abcdef\n",
		"a\tb\r\n":                               "a       b\n",
		"one\x1b[5;1Htwo\x1b[2Jthree":            "one\ntwo\nthree\n",
		"\x1b[?1049h\x1b[Hvim\x1b[?1049lback":    "vim\nback\n",
		"\x1b]0;title\a\x1b[1;31mred\x1b[m\r\n":  "red\n",
		"é€😀\b!\r\n":                             "é€!\n",
		"wide\x1b[9999C.\x1b[1K\x1b[2K\x1b[9X\n": "\n",
		"trailing   \t\r\n":                      "trailing\n",
	} {
		var w bytes.Buffer
		check(t, Export(&w, bytes.NewReader(cast(in)), ExportText))
		if w.String() != want {
			t.Errorf("%q became %q, want %q", in, &w, want)
		}
	}
}

// Text has no control characters, and lines of a bounded length.
func FuzzText(f *testing.F) {
	f.Add("abcdef\x1b[3D\x1b[2P\r\n\x1b[9999C\x1b[9999@x\x1b[65535P")
	f.Fuzz(func(t *testing.T, s string) {
		text := plain{done: func(line []rune) {
			if len(line) > maxColumns {
				t.Errorf("a line of %d characters", len(line))
			}
			for _, r := range line {
				if isControl(r) {
					t.Errorf("%q in the text", r)
				}
			}
		}}
		text.feed(s)
		text.end()
	})
}
