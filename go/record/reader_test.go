package record

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

const v3Head = `{"version":3,"term":{"cols":80,"rows":24,"type":"xterm","theme":{"fg":"#fff"}},"timestamp":1772600767,"tags":["a"]}` + "\n"

const v2Head = `{"version": 2, "width": 100, "height": 30, "env": {"SHELL": "/bin/zsh", "TERM": "vt100"}, "duration": 1.5}` + "\n"

// read reads a recording to its end or an error.
func read(text string) (Meta, []Event, error) {
	r, err := NewReader(strings.NewReader(text))
	if err != nil {
		return Meta{}, nil, err
	}
	var all []Event
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			all = append(all, e)
			continue
		}
		return r.Meta(), all, err
	}
}

func TestRead(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		name, text string
		format     Format
		cols       uint16
		term       string
		want       []Event
	}{
		{"v3", v3Head + "[0.248, \"o\", \"\\u001b[1m\\n\"]\n# a remark\n[1, \"m\", \"\"]\n[1e-3,\"?\",\"x\"]\n", V3, 80, "xterm", []Event{
			{248 * ms, Output, "\x1b[1m\n"}, {1248 * ms, Marker, ""}, {1249 * ms, "?", "x"},
		}},
		{"v2", v2Head + "[0.5, \"o\", \"a\"]\n[0.4, \"i\", \"b\"]\n[2, \"r\", \"80x24\"]", V2, 100, "vt100", []Event{
			{500 * ms, Output, "a"}, {500 * ms, Input, "b"}, {2000 * ms, Resize, "80x24"},
		}},
		{"blanks", v2Head + " [ 1 ,\t\"o\" , \"\\\"]\" ] \r\n", V2, 100, "vt100", []Event{{1000 * ms, Output, "\"]"}}},
		{"no size", `{"version":2,"width":0,"height":0}`, V2, 80, "", nil},
		{"a header alone", strings.TrimSuffix(v3Head, "\n"), V3, 80, "xterm", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, all, err := read(c.text)
			if err != nil || !reflect.DeepEqual(all, c.want) {
				t.Errorf("%+v, %v; want %+v", all, err, c.want)
			}
			if m.Format != c.format || m.Cols != c.cols || m.Term != c.term || m.Pipes {
				t.Errorf("%+v", m)
			}
		})
	}
}

// What is no recording is refused: who replays one did not make it.
func TestReadIsStrict(t *testing.T) {
	long := strings.Repeat("x", MaxLine)
	for _, text := range []string{
		"", "\n", "{}\n", "[]\n", "nonsense\n", "# a remark\n" + v3Head,
		`{"version":1,"width":80,"height":24}`, `{"version":4}`, `{"version":3}`,
		`{"version":2,"width":80,"height":-1}`, `{"version":2,"width":65536,"height":24}`, `{"version":2,"width":80,"height":24,"title":7}`,
		`{"version":2,"title":"` + long + `"}`,
		v3Head + "\n", v3Head + "{}\n", v3Head + "[]\n", v3Head + "[1,\"o\"]\n", v3Head + "[1,\"o\",\"x\",1]\n",
		v3Head + "[-1,\"o\",\"x\"]\n", v3Head + "[\"1\",\"o\",\"x\"]\n", v3Head + "[null,\"o\",\"x\"]\n", v3Head + "[1e99,\"o\",\"x\"]\n",
		v3Head + "[300000000,\"o\",\"x\"]\n[300000000,\"o\",\"x\"]\n", v3Head + "[1,null,\"x\"]\n", v3Head + "[1,\"o\",null]\n", v3Head + "[1,\"o\",7]\n",
		v3Head + "[1,\"o\",\"" + long + "\"]\n", v3Head + "[1,\"o\",\"x\"] x\n", v3Head + "[0x1p3,\"o\",\"x\"]\n", v3Head + "[Inf,\"o\",\"x\"]\n", v3Head + "[,\"o\",\"x\"]\n",
		v3Head + "[1,\"o\",\"\\x\"]\n", v3Head + "[1,\"o\",\"\t\"]\n", v3Head + "[1 1,\"o\",\"x\"]\n", v3Head + "[1,\"o\",\"x\"]]\n", v3Head + "[1,\"\\\",\"x\"]\n", v2Head + "# no remarks here\n",
	} {
		if _, all, err := read(text); err == nil {
			t.Errorf("%.120q is a recording with %d events", text, len(all))
		}
	}
}

// A recording that is being written may end anywhere.
func TestReadCut(t *testing.T) {
	text := v3Head + "[1, \"o\", \"first\"]\n[1, \"o\", \"second\"]\n"
	for cut := len(v3Head); cut < len(text); cut++ {
		_, all, err := read(text[:cut])
		whole := cut == len(v3Head) || strings.HasSuffix(text[:cut], "]") || strings.HasSuffix(text[:cut], "]\n")
		if whole != (err == nil) || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %q: %d events, %v", text[len(v3Head):cut], len(all), err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for data, ok := range map[string]bool{"80x24": true, "1x65535": true, "0x1": false, "80": false, "65536x1": false, "80x24x1": false, "-1x2": false, "": false} {
		if _, _, got := ParseSize(data); got != ok {
			t.Errorf("%q: %v", data, got)
		}
	}
}

// What is read can be written again, and is the same then, in both versions and
// through both; nothing of it makes a terminal do anything.
func FuzzRead(f *testing.F) {
	f.Add([]byte(v3Head + "[0.248, \"o\", \"\\u001b[1m\\n\"]\n#\n[1, \"x\", \"0\"]\n"))
	f.Add([]byte(v2Head + "[0.5, \"o\", \"\u009b31m\x7f\"]\n[0.4, \"i\", \"b\"]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, all, err := read(string(b))
		if err != nil {
			return
		}
		for _, to := range []ExportFormat{ExportV3, ExportV2} {
			var w bytes.Buffer
			check(t, Export(&w, bytes.NewReader(b), to))
			if i := strings.IndexFunc(w.String(), func(r rune) bool { return r != '\n' && isControl(r) }); i >= 0 {
				t.Errorf("a control character at %d of %q", i, w.Bytes())
			}
			m2, again, err := read(w.String())
			if err != nil {
				if w.Len() > MaxLine { // escapes make a line longer
					return
				}
				t.Fatalf("as %s: %v\n%s", to, err, w.Bytes())
			}
			if len(again) != len(all) || m2.Cols != m.Cols || m2.Term != m.Term || m2.Title != m.Title {
				t.Errorf("as %s: %+v, %d events; were %+v, %d", to, m2, len(again), m, len(all))
			}
			if joined(again, Output) != joined(all, Output) {
				t.Errorf("as %s other output", to)
			}
		}
	})
}
