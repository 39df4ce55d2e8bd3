package jsonnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestFunctions(t *testing.T) {
	o := Options{
		Config: json.RawMessage(`{"vars": {"a": 1}}`),
		SignJWT: func(_ context.Context, claims json.RawMessage, key string) (string, error) {
			if key == "bad" {
				return "", errors.New("broken key")
			}
			return key + string(claims), nil
		},
		ParseJWT: func(_ context.Context, tok string, keys []string) (json.RawMessage, error) {
			if tok == "bad" {
				return nil, errors.New("broken token")
			}
			return json.Marshal(map[string]any{"tok": tok, "keys": keys})
		},
	}
	object := `{a: {'b.c': [1, {d: 'x'}]}, n: null, i: 7, s: 'str'}`
	for _, c := range []struct{ call, want, err string }{
		{call: "getConfig()", want: `{"vars":{"a":1}}`},
		{call: "get(" + object + ", 'i', 0, null)", want: `7`},
		{call: "get(" + object + ", '.i', 0, '')", want: `7`},
		{call: "get(" + object + ", 'i', 0, 'p')", want: `"p7"`},
		{call: "get(" + object + ", 's', 0, '--x ')", want: `"--x str"`},
		{call: "get(" + object + `, 'a["b.c"][1].d', 0, null)`, want: `"x"`},
		{call: "get(" + object + `, 'a["b.c"][2].d', 'none', 'p')`, want: `"none"`},
		{call: "get(" + object + ", 'n', 'none', null)", want: `"none"`},
		{call: "get(" + object + ", 'i.x', {y: 1}, null)", want: `{"y":1}`},
		{call: "get([4, 5], '[1]', 0, null)", want: `5`},
		{call: "get([4, 5], '', 0, null)", want: `[4,5]`},
		{call: "get({}, 'a..b', 0, null)", err: `filter "a..b"`},
		{call: "get({}, 'a[x]', 0, null)", err: `filter "a[x]"`},
		{call: `get({}, 'a["x"', 0, null)`, err: "filter"},
		{call: "get({}, 'a[-1]', 0, null)", err: "filter"},
		{call: "get({}, 'a[0]b', 0, null)", err: "filter"},
		{call: "get({}, 1, 0, null)", err: "filter: a string is needed"},
		{call: "jwtNew({a: 1}, 'k', false)", want: `"k{\"a\":1}"`},
		{call: "jwtNew({a: 1}, 'bad', false)", err: "jwtNew: broken key"},
		{call: "jwtNew([], 'k', false)", err: "claims: an object is needed"},
		{call: "jwtParse('t', ['k'], null)", want: `{"keys":["k"],"tok":"t"}`},
		{call: "jwtParse('bad', ['k'], null)", err: "jwtParse: broken token"},
		{call: "jwtParse('bad', ['k'], 'x')", want: `"x"`},
		{call: "jwtParse('t', [], 'x')", err: "at least one public key"},
		{call: "jwtParse('t', [1], 'x')", err: "keys: a string is needed"},
		{call: "render('{a: 1 + 1, p: std.native(\"getPath\")()}')", want: `{"a":2,"p":"/p"}`},
		{call: "render('1 +')", err: "<rendered 1>:1:4"},
		{call: "render('std.native(\"render\")(\"3\")')", want: `3`},
		{call: "render(1)", err: "a string is needed"},
		{call: "getEnv('X', 'y', 'z')", err: "cache: true or false is needed"},
	} {
		name, rest, _ := strings.Cut(c.call, "(")
		r, err := EvaluateText(context.Background(), "/p/main.jsonnet", "std.native('"+name+"')("+rest, o)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: error %v, want %q", c.call, err, c.err)
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", c.call, err)
		case c.err == "":
			if got, _ := json.Marshal(decode(t, r.JSON)); string(got) != c.want {
				t.Errorf("%s gives %s, want %s", c.call, got, c.want)
			}
		}
	}
	for _, call := range []string{"getConfig')()", "jwtNew')({}, '', false)", "jwtParse')('', ['k'], 1)"} {
		if _, err := EvaluateText(context.Background(), "main.jsonnet", "std.native('"+call, Options{}); err == nil || !strings.Contains(err.Error(), " here") {
			t.Errorf("%s without its function: error %v", call, err)
		}
	}
}

func TestRenderIsBounded(t *testing.T) {
	text := `local f(n) = if n == 0 then '1' else 'std.native("render")(' + std.escapeStringJson(f(n - 1)) + ')'; std.native('render')(f(%d))`
	if _, err := EvaluateText(context.Background(), "m.jsonnet", strings.Replace(text, "%d", "7", 1), Options{}); err != nil {
		t.Error(err)
	}
	_, err := EvaluateText(context.Background(), "m.jsonnet", strings.Replace(text, "%d", "8", 1), Options{})
	if err == nil || !strings.Contains(err.Error(), "more than 8 render in one another") {
		t.Errorf("error %v, want the limit", err)
	}
}

func TestKeptValuesAreReplayed(t *testing.T) {
	calls := 0
	o := Options{
		Environ: []string{"A=1"},
		Run:     func(context.Context, string) (string, error) { calls++; return fmt.Sprint(calls), nil },
	}
	text := `local cmd = std.native('getCmd'), env = std.native('getEnv');
[cmd('x', null, true), cmd('x', 'other', true), cmd('x', null, false), env('A', null, true), env('NONE', {f: 1}, true)]`
	build, err := EvaluateText(context.Background(), "m.jsonnet", text, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(decode(t, build.JSON)); got != "[1 1 2 1 map[f:1]]" {
		t.Errorf("at build %s", got)
	}
	node := Options{Environ: []string{"A=2", "NONE=x"}, Run: o.Run, Kept: build.Kept}
	r, err := EvaluateText(context.Background(), "m.jsonnet", text, node)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(decode(t, r.JSON)); got != "[1 1 3 1 map[f:1]]" {
		t.Errorf("replayed %s", got)
	}
	if !reflect.DeepEqual(r.Kept, build.Kept) {
		t.Errorf("kept %v after the replay, %v before", r.Kept, build.Kept)
	}
}

func TestGivenFilesReplaceTheDisk(t *testing.T) {
	disk := write(t, map[string]string{"on-disk": "disk", "l.libsonnet": "error 'of the disk'"})
	o := Options{Root: disk, Files: map[string]string{"p/main.jsonnet": "", "l.libsonnet": "{a: 'given'}"}}
	text := `(import '../l.libsonnet') + {f: std.native('getFile')('../on-disk', null, false)}`
	o.Files["p/main.jsonnet"] = text
	r, err := Evaluate(context.Background(), filepath.Join(disk, "p/main.jsonnet"), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(decode(t, r.JSON)); got != "map[a:given f:disk]" {
		t.Errorf("value %s", got)
	}
	o.Files["p/main.jsonnet"] = "importstr '../on-disk'"
	if _, err := Evaluate(context.Background(), filepath.Join(disk, "p/main.jsonnet"), o); err == nil {
		t.Error("a file that is not given was imported from the disk")
	}
}

func TestCacheKnowsItsInputs(t *testing.T) {
	dir := write(t, map[string]string{"m.jsonnet": "local l = import 'l.libsonnet'; {l: l, e: std.native('getEnv')('E', '', false), f: std.native('getFile')('gone', '-', false)}", "l.libsonnet": "1"})
	traced := new(strings.Builder)
	cache := new(Cache)
	o := Options{Cache: cache, Environ: []string{"E=1", "OTHER=1"}, Trace: traced}
	path := filepath.Join(dir, "m.jsonnet")
	eval := func(want string) *Result {
		t.Helper()
		r, err := Evaluate(context.Background(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(decode(t, r.JSON)); got != want {
			t.Errorf("value %s, want %s", got, want)
		}
		return r
	}
	first := eval("map[e:1 f:- l:1]")
	o.Environ = []string{"E=1", "OTHER=2"}
	if again := eval("map[e:1 f:- l:1]"); again.tree != first.tree {
		t.Error("an unchanged file was evaluated again")
	}
	if at, n := first.Find("e"); n != 1 || at.Line != 1 {
		t.Errorf("place %v, %d", at, n)
	}
	o.Environ = []string{"E=2"}
	eval("map[e:2 f:- l:1]")
	rewriteFile(t, filepath.Join(dir, "l.libsonnet"), "2")
	eval("map[e:2 f:- l:2]")
	rewriteFile(t, filepath.Join(dir, "gone"), "here")
	eval("map[e:2 f:here l:2]")
	rewriteFile(t, path, "[std.native('getArch')() != '', std.native('randString')(8)]")
	one, err := Evaluate(context.Background(), path, o)
	two, err2 := Evaluate(context.Background(), path, o)
	if err != nil || err2 != nil || string(one.JSON) == string(two.JSON) {
		t.Errorf("a random value was cached: %s", one.JSON)
	}
}

func rewriteFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := new(Cache)
	for i := range MaxCached + 10 {
		if _, err := EvaluateText(context.Background(), "m.jsonnet", fmt.Sprint(i), Options{Cache: c}); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.entries) != MaxCached {
		t.Errorf("%d results kept", len(c.entries))
	}
}

func TestObjectsByMember(t *testing.T) {
	dir := write(t, map[string]string{
		"m.jsonnet":   "local l = import 'l.libsonnet';\n[\n  l.f('a'),\n  {id: 'b'},\n  {\n    id: 'c' },\n]",
		"l.libsonnet": "{\n  f(x): { id: x },\n  g: { id: 'g' },\n}",
	})
	r, err := Evaluate(context.Background(), filepath.Join(dir, "m.jsonnet"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	found := r.Objects("id")
	if len(found) != 3 || found["b"][0].Line != 4 || found["c"][0].Line != 5 || found["g"][0].Line != 3 || filepath.Base(found["g"][0].File) != "l.libsonnet" {
		t.Errorf("found %v", found)
	}
}
