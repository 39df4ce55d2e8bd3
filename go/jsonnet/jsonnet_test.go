package jsonnet

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write makes files below a new folder, and gives the folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func decode(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestEvaluateImports(t *testing.T) {
	dir := write(t, map[string]string{
		"main.jsonnet":       `local l = import 'lib/l.libsonnet'; l { text: importstr 'lib/t.txt', plain: import 'p.json', }`,
		"lib/l.libsonnet":    `{ a: (import 'deep.libsonnet').n + 1 }`,
		"lib/deep.libsonnet": `{ n: 41 }`,
		"lib/t.txt":          "[[[ not code",
		"p.json":             `{"x": [1, 2.5, null, true]}`,
	})
	r, err := Evaluate(context.Background(), filepath.Join(dir, "main.jsonnet"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"a": 42.0, "text": "[[[ not code", "plain": map[string]any{"x": []any{1.0, 2.5, nil, true}}}
	if got := decode(t, r.JSON); !reflect.DeepEqual(got, want) {
		t.Errorf("value %v, want %v", got, want)
	}
	read := map[string]bool{}
	for _, f := range r.Files {
		if f.Missing || f.Stream || !filepath.IsAbs(f.Path) || f.Changed() {
			t.Errorf("file %+v: want an absolute, unchanged regular file", f)
		}
		rel, _ := filepath.Rel(dir, f.Path)
		read[filepath.ToSlash(rel)] = true
	}
	for _, name := range []string{"main.jsonnet", "lib/l.libsonnet", "lib/deep.libsonnet", "lib/t.txt", "p.json"} {
		if !read[name] {
			t.Errorf("%s is not among the files read: %v", name, read)
		}
	}
}

func TestErrorsNameTheirPlace(t *testing.T) {
	for _, c := range []struct {
		name, main, lib string
		file            string
		line            int
		text            string
	}{
		{name: "syntax", main: "{\n  a: 1\n  b: 2,\n}", file: "main.jsonnet", line: 3, text: "Expected a comma"},
		{name: "open", main: "{\n  a: 1,\n", file: "main.jsonnet", line: 3, text: "end of file"},
		{name: "empty", main: "", file: "main.jsonnet", line: 1, text: "Unexpected end of file"},
		{name: "unknown variable", main: "{\n  a: x,\n}", file: "main.jsonnet", line: 2, text: "Unknown variable: x"},
		{name: "duplicate", main: "{\n  a: 1,\n  a: 2,\n}", file: "main.jsonnet", line: 3, text: "Duplicate field: a"},
		{name: "missing field", main: "{\n  a: self.b,\n}", file: "main.jsonnet", line: 2, text: "Field does not exist: b"},
		{name: "own error", main: "{\n\n  a: error 'no way',\n}", file: "main.jsonnet", line: 3, text: "no way"},
		{name: "inside std", main: "{\n  a: std.parseInt('x'),\n}", file: "main.jsonnet", line: 2, text: "not a base 10 integer"},
		{name: "missing import", main: "{\n  a: import 'gone.libsonnet',\n}", file: "main.jsonnet", line: 2, text: "no such file"},
		{
			name: "in an import", main: "import 'lib.libsonnet'", lib: "{\n  a: 1,\n  b: self.x,\n}",
			file: "lib.libsonnet", line: 3, text: "Field does not exist: x",
		},
		{name: "import with bad syntax", main: "\nimport 'lib.libsonnet'", lib: "{\n  a 1 }", file: "main.jsonnet", line: 2, text: "lib.libsonnet:2:5-6 "},
		{name: "endless recursion", main: "local f(x) = 1 + f(x); f(1)", file: "main.jsonnet", line: 1, text: "max stack frames exceeded"},
		{name: "too few arguments", main: "{\n a: std.native('getEnv')('x') }", file: "main.jsonnet", line: 2, text: "Missing argument: fallback"},
		{name: "native", main: "{\n a: std.native('getEnv')('NO', null, false) }", file: "main.jsonnet", line: 2, text: `getEnv: "NO" is not set`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, map[string]string{"main.jsonnet": c.main, "lib.libsonnet": c.lib})
			r, err := Evaluate(context.Background(), filepath.Join(dir, "main.jsonnet"), Options{})
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v (%T), want an *Error", err, err)
			}
			if filepath.Base(e.File) != c.file || e.Line != c.line || !strings.Contains(e.Message(), c.text) {
				t.Errorf("error %v, want %q in %s:%d", err, c.text, c.file, c.line)
			}
			if len(r.Files) == 0 || r.JSON != nil {
				t.Errorf("result %+v: want the files, and nothing else", r)
			}
		})
	}
}

func TestEvaluateMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "main.jsonnet")
	r, err := Evaluate(context.Background(), path, Options{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error %v, want fs.ErrNotExist", err)
	}
	if want := path + ": read: no such file or directory"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if len(r.Files) != 1 || !r.Files[0].Missing {
		t.Errorf("files %+v, want the missing one", r.Files)
	}
}

func TestEvaluateTextIsRelativeToItsPath(t *testing.T) {
	dir := write(t, map[string]string{"lib.libsonnet": "{a: 1}"})
	r, err := EvaluateText(context.Background(), filepath.Join(dir, "name"), "(import 'lib.libsonnet') + {b: 2}", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := decode(t, r.JSON), map[string]any{"a": 1.0, "b": 2.0}; !reflect.DeepEqual(got, want) {
		t.Errorf("value %v, want %v", got, want)
	}
	if len(r.Files) != 1 {
		t.Errorf("files %v: the text itself is none", r.Files)
	}
}

func TestFileChanged(t *testing.T) {
	dir := write(t, map[string]string{"a": "1", "b": "2"})
	path := filepath.Join(dir, "main.jsonnet")
	getFile := "local f(p) = std.native('getFile')(p, 'none', false); [f('a'), f('b'), f('c')]"
	r, err := EvaluateText(context.Background(), path, getFile, Options{})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]File{}
	for _, f := range r.Files {
		files[filepath.Base(f.Path)] = f
		if f.Changed() {
			t.Errorf("%s has changed already", f.Path)
		}
	}
	if len(files) != 3 || !files["c"].Missing {
		t.Fatalf("files %v: want a, b, and c as missing", files)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("9"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, why := range map[string]string{"a": "rewritten", "b": "removed", "c": "made"} {
		if !files[name].Changed() {
			t.Errorf("%s was %s and has not changed", name, why)
		}
	}
}

func TestTimeLimit(t *testing.T) {
	o := Options{
		Timeout: time.Millisecond,
		Run: func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		},
	}
	_, err := EvaluateText(context.Background(), "main.jsonnet", "std.native('getCmd')('wait', null, false)", o)
	if err == nil || !strings.Contains(err.Error(), "not finished after 1ms") && !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("error %v, want the time limit", err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Evaluate(ctx, filepath.Join(t.TempDir(), "main.jsonnet"), Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestTooLarge(t *testing.T) {
	dir := write(t, map[string]string{"big": strings.Repeat("x", MaxFile+1), "max": strings.Repeat("x", MaxFile)})
	for text, want := range map[string]string{
		"importstr 'big'": "larger than 8 MiB",
		"std.native('getFile')('big', 'fallback', false)": "larger than 8 MiB",
		"std.length(importstr 'max')":                     "",
	} {
		_, err := EvaluateText(context.Background(), filepath.Join(dir, "main.jsonnet"), text, Options{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

func TestTotalIsBounded(t *testing.T) {
	im := newImporter(Options{})
	im.total = MaxTotal
	if f := im.open("jsonnet_test.go", false); f.err == nil {
		t.Error("a file was read beyond MaxTotal")
	}
	im = newImporter(Options{})
	im.files = make([]File, MaxFiles)
	if f := im.open("jsonnet_test.go", false); f.err == nil {
		t.Error("a file was read beyond MaxFiles")
	}
}

func TestDirectoryIsNoFile(t *testing.T) {
	dir := write(t, map[string]string{"lib/x": ""})
	for _, text := range []string{"import 'lib'", "importstr 'lib'", "std.native('getFile')('lib', 'fallback', false)"} {
		_, err := EvaluateText(context.Background(), filepath.Join(dir, "main.jsonnet"), text, Options{})
		if err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: error %v, want %v", text, err, errNotRegular)
		}
	}
	if _, err := Evaluate(context.Background(), dir, Options{}); !errors.Is(err, errNotRegular) {
		t.Errorf("folder as the file: error %v, want %v", err, errNotRegular)
	}
}

func TestTrace(t *testing.T) {
	var b strings.Builder
	if _, err := EvaluateText(context.Background(), "main.jsonnet", "std.trace('seen', 1)", Options{Trace: &b}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "seen") {
		t.Errorf("trace %q, want what std.trace printed", b.String())
	}
}

func FuzzEvaluate(f *testing.F) {
	for _, s := range []string{
		`{"sources": {"debug": {"exec": {"group": "operator",}, "shell": "/bin/bash",},}}`,
		"local a = 1, b(x) = x + a; { c: b(2), [if a > 1 then 'd']: 'e' % [], f+: { g: $.c } }",
		"|||\n  text\n|||", `@'it''s'`, "/* c */ # d\n// e\n[1, 2,]", "{ a: self.b, b: super.c, assert true }",
		"function(x=1) x", "[x for x in [1, 2] if x > 1]", "{ [k]: 1 for k in ['a'] }", "'\\u00e9'", "((((", "-1e9", "1.5.", "\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		// The library can be told to compute without an end, and a text is not
		// the way to find defects of ours there.
		for _, endless := range []string{"tailstrict", "std", "import", "%", "for"} {
			if strings.Contains(text, endless) {
				t.Skip()
			}
		}
		r, err := EvaluateText(context.Background(), "fuzz.jsonnet", text, Options{})
		if err != nil {
			return
		}
		if !json.Valid(r.JSON) {
			t.Errorf("%q gives %q, which is not JSON", text, r.JSON)
		}
		r.Find("a", "b", "0")
	})
}
