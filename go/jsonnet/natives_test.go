package jsonnet

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func TestNatives(t *testing.T) {
	dir := write(t, map[string]string{"main.jsonnet": "", "key": "secret\n"})
	broken := errors.New("broken")
	o := Options{
		Environ: []string{"A=1", "A=2", "E=", "ODD"},
		Run: func(_ context.Context, command string) (string, error) {
			if command == "fail" {
				return "out", broken
			}
			return "<" + command + ">\n\n", nil
		},
		Lookup: func(_ context.Context, kind, name string) ([]string, error) {
			switch name {
			case "none":
				return nil, nil
			case "fail":
				return nil, broken
			}
			return []string{kind + "2", kind + "1"}, nil
		},
		Fetch: func(_ context.Context, url string, header []string) ([]byte, error) {
			if strings.Contains(url, "fail") {
				return nil, broken
			}
			return []byte(url + "|" + strings.Join(header, "|")), nil
		},
		Rand: bytes.NewReader([]byte{0, 255, 248, 1, 61, 62}),
	}
	for _, c := range []struct {
		call string
		want any
		err  string
	}{
		{call: "getArch()", want: runtime.GOARCH},
		{call: "getOS()", want: runtime.GOOS},
		{call: "getPath()", want: dir},
		{call: "getEnv('A', null, false)", want: "2"},
		{call: "getEnv('E', 'x', false)", want: ""},
		{call: "getEnv('B', 'x', true)", want: "x"},
		{call: "getEnv('B', {y: 1}, true)", want: map[string]any{"y": 1.0}},
		{call: "getEnv('B', null, false)", err: `getEnv: "B" is not set, and there is no fallback`},
		{call: "getEnv('ODD', null, false)", err: `"ODD" is not set`},
		{call: "getEnv(1, 'x', false)", err: "getEnv: key: a string is needed"},
		{call: "getFile('key', null, false)", want: "secret\n"},
		{call: "getFile('" + filepath.Join(dir, "key") + "', null, false)", want: "secret\n"},
		{call: "getFile('gone', 'x', false)", want: "x"},
		{call: "getFile('gone', null, false)", err: "gone: no such file or directory"},
		{call: "getFile('https://h/p?q=1#A: b\\r\\nC: d', null, false)", want: "https://h/p?q=1|A: b|C: d"},
		{call: "getFile('https://u:canary@h/fail?canary#canary', null, false)", err: "getFile: https://h/fail: broken"},
		{call: "getFile('http://fail', 'x', false)", want: "x"},
		{call: "getCmd('echo', null, false)", want: "<echo>\n"},
		{call: "getCmd('fail', 'x', false)", want: "x"},
		{call: "getCmd('fail', null, false)", err: "getCmd: broken"},
		{call: "getRecord('a', 'h', null, false)", want: []any{"A1", "A2"}},
		{call: "getRecord('TXT', 'h', null, false)", want: []any{"TXT1", "TXT2"}},
		{call: "getRecord('MX', 'h', 'x', false)", err: `type "MX": not one of A, AAAA, CNAME, TXT`},
		{call: "getRecord('A', 'none', 'x', false)", want: "x"},
		{call: "getRecord('A', 'none', null, false)", err: "A none: no record"},
		{call: "getRecord('A', 'fail', null, false)", err: "A fail: broken"},
		{call: "randString(3)", want: "AB9"},
		{call: "randString(1)", want: "A"},
		{call: "randString(1)", err: "EOF"},
		{call: "randString(-1)", err: "from 0 to 4096"},
		{call: "randString(4097)", err: "from 0 to 4096"},
		{call: "randString(1.5)", err: "from 0 to 4096"},
		{call: "regexMatch('^a+$', 'aaa')", want: true},
		{call: "regexMatch('^a+$', 'ab')", want: false},
		{call: "regexMatch('(', 'ab')", err: "missing closing )"},
	} {
		name, rest, _ := strings.Cut(c.call, "(")
		text := "std.native('" + name + "')(" + rest
		r, err := EvaluateText(context.Background(), filepath.Join(dir, "main.jsonnet"), text, o)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: error %v, want %q", c.call, err, c.err)
		case c.err != "" && strings.Contains(err.Error(), "canary"):
			t.Errorf("%s: error %v has a secret in it", c.call, err)
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", c.call, err)
		case c.err == "":
			if got := decode(t, r.JSON); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s gives %#v, want %#v", c.call, got, c.want)
			}
		}
	}
}

func TestNativesWithoutTheirFunctions(t *testing.T) {
	for call, want := range map[string]string{
		"getCmd')('x', 'fallback', false)":                   "commands cannot be run here",
		"getRecord')('A', 'x', 'fallback', false)":           "names cannot be looked up here",
		"getFile')('https://u:p@x/y', 'fallback', false)":    "https://x/y: URLs cannot be read here",
		"getFile')('http://u:p@x?canary', 'fallback', true)": "http://x/: URLs cannot be read here",
	} {
		_, err := EvaluateText(context.Background(), "main.jsonnet", "std.native('"+call, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", call, err, want)
		}
	}
}

func TestRandStringIsRandom(t *testing.T) {
	r, err := EvaluateText(context.Background(), "main.jsonnet", "local r = std.native('randString'); [r(32), r(32)]", Options{})
	if err != nil {
		t.Fatal(err)
	}
	two, _ := decode(t, r.JSON).([]any)
	if len(two) != 2 || two[0] == two[1] {
		t.Errorf("two strings %v, want two different ones", two)
	}
}

func TestFetchedFileIsBounded(t *testing.T) {
	o := Options{Fetch: func(context.Context, string, []string) ([]byte, error) { return make([]byte, MaxFile+1), nil }}
	_, err := EvaluateText(context.Background(), "main.jsonnet", "std.native('getFile')('http://h', null, false)", o)
	if err == nil || !strings.Contains(err.Error(), "larger than 8 MiB") {
		t.Errorf("error %v, want the limit", err)
	}
}

func TestResolverKinds(t *testing.T) {
	lookup := Resolver(nil)
	if _, err := lookup(context.Background(), "MX", "localhost"); err == nil {
		t.Error("a kind that is not known was looked up")
	}
	found, err := lookup(context.Background(), "A", "127.0.0.1")
	if err != nil || !reflect.DeepEqual(found, []string{"127.0.0.1"}) {
		t.Errorf("A of 127.0.0.1: %v, %v", found, err)
	}
	found, err = lookup(context.Background(), "AAAA", "::1")
	if err != nil || !reflect.DeepEqual(found, []string{"::1"}) {
		t.Errorf("AAAA of ::1: %v, %v", found, err)
	}
}
