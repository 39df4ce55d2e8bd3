package pattern

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"etcha/go/command"
	"etcha/go/errs"
	"etcha/go/jsonnet"
	"etcha/go/token"
	"etcha/go/wire"
)

var now = time.Unix(1_800_000_000, 123_000_000)

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

func render(t *testing.T, text string, o Options) (*Pattern, error) {
	t.Helper()
	return RenderText(context.Background(), "/p/main.jsonnet", text, o)
}

func TestRender(t *testing.T) {
	p, err := render(t, `{
  audience: ['a', 'b'], build: [{id: 'b', change: 'true'}], buildExec: {user: 'u'}, buildOutput: 'x.jwt',
  expiresIn: '1h', id: 'i', issuer: 'me', run: [[{id: 'r1', check: 'c'}], {id: 'r2'}], runExec: {env: {A: '1'}},
  runVars: {n: 1}, subject: null,
}`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Audience, []string{"a", "b"}) || p.BuildExec.User != "u" || p.BuildOutput != "x.jwt" ||
		p.ExpiresIn != time.Hour || p.ID != "i" || p.Issuer != "me" || p.RunExec.Env["A"] != "1" ||
		string(p.RunVars["n"]) != "1" || p.Subject != "" || len(p.Build) != 1 || len(p.Run) != 2 || p.Run[1].ID != "r2" {
		t.Errorf("rendered %+v", p)
	}
	list, err := render(t, "[{id: 'x'},\n{id: 'y'}]", Options{})
	if err != nil || len(list.Run) != 2 || list.Run[1].At != (command.Position{File: "/p/main.jsonnet", Line: 2}) {
		t.Errorf("a list: %+v, %v", list, err)
	}
	for text, want := range map[string]time.Duration{"{expiresIn: 90}": 90 * time.Second, "{expiresIn: 0}": 0, "{audience: 'x'}": 0} {
		if p, err := render(t, text, Options{}); err != nil || p.ExpiresIn != want {
			t.Errorf("%s: %v, %v", text, p, err)
		}
	}
}

func TestAllMistakesAtOnceWithTheirPlaces(t *testing.T) {
	_, err := render(t, `{
  audience: [1],
  expiresIn: 1.5,
  subjekt: 'x',
  id: 7,
  runVars: [],
  runExec: {usr: 'x'},
  run: [
    {id: 'ok'},
    {
      id: 'bad', chek: 'x' },
    {id: 'worse', check: 1},
  ],
  build: 'x',
}`, Options{})
	var all command.Problems
	if !errors.As(err, &all) {
		t.Fatalf("error %v", err)
	}
	lines := map[int]string{2: "audience", 3: "expiresIn", 4: "subject?", 5: "id", 6: "runVars", 7: "runExec", 10: "bad", 12: "worse", 14: "commands"}
	for line, part := range lines {
		if !slices.ContainsFunc(all, func(p command.Problem) bool {
			return p.At.File == "/p/main.jsonnet" && p.At.Line == line && strings.Contains(p.Error(), part)
		}) {
			t.Errorf("nothing about %q at line %d in:\n%v", part, line, err)
		}
	}
	if len(all) != len(lines) {
		t.Errorf("%d problems, want %d:\n%v", len(all), len(lines), err)
	}
	for _, text := range []string{"1", "'x'", "null", "{expiresIn: 'x'}", "{expiresIn: -1}", "{expiresIn: {}}", "{expiresIn: '9999999h'}"} {
		if _, err := render(t, text, Options{}); !errors.As(err, &all) {
			t.Errorf("%s: error %v", text, err)
		}
	}
	_, err = render(t, "{\n run: error 'boom' }", Options{})
	var e *jsonnet.Error
	if !errors.As(err, &e) || e.Line != 2 {
		t.Errorf("an evaluation's error: %v", err)
	}
}

func TestVars(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	level := func(names ...string) map[string]json.RawMessage {
		out := map[string]json.RawMessage{}
		for _, n := range names[1:] {
			out[n] = raw(`"` + names[0] + `"`)
		}
		return out
	}
	o := Options{Config: raw(`{"x": 1, "vars": {"old": 1}}`), Vars: Vars{
		Run: level("run", "a", "b", "c", "d", "test"), Main: level("main", "b", "c", "d"),
		Source: level("source", "c", "d", "source"), Target: level("target", "d"),
		SourceName: "s", TargetName: "t", Test: true, JWT: raw(`{"sub": "x"}`), Sysinfo: &Sysinfo{Hostname: "h"},
	}}
	p, err := render(t, `local c = std.native('getConfig')(), v = c.vars;
{runVars: {got: [c.x, v.a, v.b, v.c, v.d, v.source, v.target, v.test, v.jwt.sub, v.sysinfo.hostname, v.srcDir, v.srcPath, std.objectHas(v, 'old')]}}`, o)
	if err != nil {
		t.Fatal(err)
	}
	var got any
	_ = json.Unmarshal(p.RunVars["got"], &got)
	want := []any{1.0, "run", "main", "source", "target", "s", "t", true, "x", "h", "/p", "/p/main.jsonnet", false}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("vars %v, want %v", got, want)
	}
	if _, err := render(t, "{}", Options{Config: raw("[]")}); err == nil {
		t.Error("a configuration that is no object was accepted")
	}
}

func key(t *testing.T, kind string) token.PrivateKey {
	t.Helper()
	k, err := token.Generate(kind, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestBuildVerifyRenderOnTheNode(t *testing.T) {
	dir := write(t, map[string]string{
		"a/p/main.jsonnet": `local l = import '../lib/l.libsonnet'; local unused = importstr 'u.txt'; local never = if false then import 'never.libsonnet';
{expiresIn: 60, issuer: 'me', runVars: {v: 1, w: 2}, run: [{id: l.id, check: std.native('getEnv')('E', null, true), change: importstr 't.txt'}]}`,
		"a/p/t.txt": "text", "a/p/u.txt": "unused", "a/p/never.libsonnet": "{}", "a/p/other.txt": "not imported",
		"a/lib/l.libsonnet": "{\n id: 'x' }",
	})
	build := Options{Jsonnet: jsonnet.Options{Environ: []string{"E=at build"}}}
	p, err := RenderFile(context.Background(), filepath.Join(dir, "a/p/main.jsonnet"), build)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Claims(Built{Now: now, Version: "v1", Events: []command.Emitted{
		{Name: "buildManifest", Output: "one"}, {Name: "runVar_w", Output: "three"}, {Name: "other"}, {Name: "buildManifest", Output: "two"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range c.Pattern.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"lib/l.libsonnet", "p/main.jsonnet", "p/never.libsonnet", "p/t.txt", "p/u.txt"}) || c.Pattern.Entrypoint != "p/main.jsonnet" {
		t.Errorf("files %v, entrypoint %s", names, c.Pattern.Entrypoint)
	}
	if c.Manifest != "one\ntwo" || string(c.RunVars["v"]) != "1" || string(c.RunVars["w"]) != `"three"` || c.Serial != now.UnixMilli() || c.Expires != now.Unix()+60 || c.ID == "" || c.Issuer != "me" {
		t.Errorf("claims %+v", c)
	}
	signer := key(t, token.KindEd25519)
	tok, err := c.Sign(context.Background(), signer)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "out.jwt")
	if err := WriteArtifact(path, tok); err != nil {
		t.Fatal(err)
	}
	text, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Verify(text, []token.PublicKey{key(t, token.KindP256).Public(), signer.Public()}, now)
	if err != nil || !a.Key.Equal(signer.Public()) || !reflect.DeepEqual(a.Claims, c) {
		t.Fatalf("verified %+v, %v", a, err)
	}
	node, err := a.Claims.Pattern.Render(context.Background(), "/nowhere", Options{Jsonnet: jsonnet.Options{Environ: []string{"E=on the node"}}})
	if err != nil {
		t.Fatal(err)
	}
	if node.Run[0].ID != "x" || node.Run[0].Check != "at build" || node.Run[0].Change != "text" {
		t.Errorf("on the node %+v", node.Run[0])
	}
}

func TestWhatAnArtifactCannotCarry(t *testing.T) {
	dir := write(t, map[string]string{"abs.libsonnet": "{}", "bin": "\xff\xfe"})
	_, err := RenderText(context.Background(), filepath.Join(dir, "m.jsonnet"), "local a = import '"+dir+"/abs.libsonnet';\nlocal b = importbin 'bin';\n{}", Options{})
	var all command.Problems
	if !errors.As(err, &all) || len(all) != 2 || all[0].At.Line+all[1].At.Line != 3 {
		t.Errorf("error %v", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	signer := key(t, token.KindEd25519)
	keys := []token.PublicKey{signer.Public()}
	good := func() map[string]any {
		return map[string]any{
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Unix() + 60, "jti": "x", "etchaSerial": 1,
			"etchaPattern": map[string]any{"entrypoint": "m", "files": map[string]string{"m": "[]"}},
		}
	}
	check := func(name string, change func(map[string]any), at time.Time, want error, code wire.Code) {
		t.Helper()
		claims := good()
		change(claims)
		tok, err := signer.SignArtifact(context.Background(), claims)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Verify([]byte(tok), keys, at)
		if want == nil && code == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
		if want != nil && !errors.Is(err, want) || code != "" && errs.CodeOf(err) != code {
			t.Errorf("%s: %v, want %v %s", name, err, want, code)
		}
	}
	check("good", func(map[string]any) {}, now, nil, "")
	check("leeway", func(map[string]any) {}, now.Add(89*time.Second), nil, "")
	check("expired", func(map[string]any) {}, now.Add(90*time.Second), nil, wire.CodeExpired)
	check("early", func(map[string]any) {}, now.Add(-31*time.Second), nil, wire.CodeClockSkew)
	check("never", func(c map[string]any) { delete(c, "exp") }, now.Add(1e6*time.Hour), nil, "")
	for name, change := range map[string]func(map[string]any){
		"no pattern":    func(c map[string]any) { delete(c, "etchaPattern") },
		"no files":      func(c map[string]any) { c["etchaPattern"] = map[string]any{"entrypoint": "m"} },
		"no entrypoint": func(c map[string]any) { c["etchaPattern"] = map[string]any{"files": map[string]string{"m": ""}} },
		"outside": func(c map[string]any) {
			c["etchaPattern"] = map[string]any{"entrypoint": "../m", "files": map[string]string{"../m": ""}}
		},
		"absolute": func(c map[string]any) {
			c["etchaPattern"] = map[string]any{"entrypoint": "/m", "files": map[string]string{"/m": ""}}
		},
		"backslash": func(c map[string]any) {
			c["etchaPattern"] = map[string]any{"entrypoint": "m", "files": map[string]string{"m": "", `..\x`: ""}}
		},
		"no jti":        func(c map[string]any) { delete(c, "jti") },
		"no iat":        func(c map[string]any) { delete(c, "iat") },
		"no serial":     func(c map[string]any) { delete(c, "etchaSerial") },
		"exp before":    func(c map[string]any) { c["exp"] = now.Unix() },
		"case":          func(c map[string]any) { c["EXP"] = 1 },
		"type":          func(c map[string]any) { c["sub"] = 1 },
		"long":          func(c map[string]any) { c["sub"] = strings.Repeat("x", maxText+1) },
		"fractional":    func(c map[string]any) { c["exp"] = 1.5 },
		"many audience": func(c map[string]any) { c["aud"] = make([]string, maxAud+1) },
	} {
		check(name, change, now, token.ErrInvalid, "")
	}
	if _, err := Verify([]byte("x"), keys, now); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("no token: %v", err)
	}
	tok, err := signer.SignArtifact(context.Background(), good())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify([]byte(tok), []token.PublicKey{key(t, token.KindEd25519).Public()}, now); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("another key: %v", err)
	}
	if u, err := Read([]byte(tok)); err != nil || u.Claims.ID != "x" || !bytes.Contains(u.Payload, []byte("etchaSerial")) {
		t.Errorf("read %+v, %v", u, err)
	}
}

func TestSignRefusesWhatNoNodeAccepts(t *testing.T) {
	p, err := render(t, "[]", Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Claims(Built{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	c.RunVars = map[string]json.RawMessage{"deep": json.RawMessage(strings.Repeat("[", 40) + strings.Repeat("]", 40))}
	if _, err := c.Sign(context.Background(), key(t, token.KindEd25519)); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	p.Subject = strings.Repeat("x", maxText+1)
	if _, err := p.Claims(Built{Now: now}); err == nil {
		t.Error("a subject over the bound was accepted")
	}
}

func TestCompare(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	a := Claims{IssuedAt: 1, ID: "1", Subject: "s", Version: "1", Manifest: "m", RunVars: map[string]json.RawMessage{"a": raw("1"), "b": raw(`{"x": 1, "y": 2}`)}, Pattern: &Source{Entrypoint: "m", Files: map[string]string{"m": "1", "gone": ""}}}
	b := a
	if d := Compare(a, b); !reflect.DeepEqual(d, Comparison{}) || !d.Same(false) {
		t.Errorf("the same differs: %+v", d)
	}
	b.RunVars = map[string]json.RawMessage{"a": raw("1.0"), "b": raw(`{"y":2,"x":1}`)}
	b.ID, b.IssuedAt, b.Version = "2", 2, "2"
	if d := Compare(a, b); !d.Same(true) || d.Same(false) || len(d.Claims) != 2 || d.Claims[1].Name != "jti" {
		t.Errorf("another build: %+v", d)
	}
	b.Pattern = &Source{Entrypoint: "m", Files: map[string]string{"m": "2", "new": ""}, Kept: map[string]json.RawMessage{"k": raw("1")}}
	d := Compare(a, b)
	var got []string
	for _, c := range d.Files {
		got = append(got, string(c.Kind)+" "+c.Name)
	}
	if !slices.Equal(got, []string{"removed gone", "changed m", "added new"}) || len(d.Kept) != 1 || d.Same(true) {
		t.Errorf("other files: %+v", d)
	}
}

func TestCompareCommands(t *testing.T) {
	a := []command.Command{{ID: "same", At: command.Position{Line: 1}}, {ID: "g", Commands: []command.Command{{ID: "c", Change: "1"}, {ID: "gone"}}}, {ID: "twice"}, {ID: "twice", Check: "x"}}
	b := []command.Command{{ID: "new"}, {ID: "same", At: command.Position{Line: 9}}, {ID: "g", Commands: []command.Command{{ID: "c", Change: "2"}}}, {ID: "twice"}, {ID: "twice", Check: "y"}}
	var got []string
	for _, c := range CompareCommands(a, b) {
		got = append(got, string(c.Kind)+" "+c.Name)
	}
	if want := []string{"changed g > c", "removed g > gone", "added new", "changed twice (again)"}; !slices.Equal(got, want) {
		t.Errorf("differences %q, want %q", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"run": [{"id": "x", "commands": []}], "expiresIn": "1h"}`)
	f.Add(`[[null, {"id": 1}]]`)
	f.Add(`{"audience": [null], "runExec": {"env": 1}}`)
	f.Fuzz(func(t *testing.T, text string) {
		// What is not UTF-8 is refused as a file, which has no place in it.
		if len(text) > 1<<10 || !utf8.ValidString(text) || strings.Contains(text, "std.") || strings.Contains(text, "import") {
			t.Skip()
		}
		p, err := RenderText(context.Background(), "/p/m.jsonnet", text, Options{})
		var all command.Problems
		if errors.As(err, &all) && (len(all) == 0 || slices.ContainsFunc(all, func(p command.Problem) bool { return p.At.File == "" })) {
			t.Errorf("problems without a place: %v", err)
		}
		if (p == nil) == (err == nil) {
			t.Errorf("Pattern %v, error %v", p, err)
		}
	})
}

func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"iat":1,"nbf":1,"jti":"x","etchaSerial":1,"etchaPattern":{"entrypoint":"m","files":{"m":""}}}`))
	f.Add([]byte(`{"etchaPattern":{"files":{"../m":""}}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := decodeClaims(payload)
		if err != nil {
			return
		}
		for name := range c.Pattern.Files {
			if !filepath.IsLocal(filepath.FromSlash(name)) {
				t.Errorf("path %q leaves its folder", name)
			}
		}
		again, err := json.Marshal(c)
		if err == nil {
			_, err = decodeClaims(again)
		}
		if err != nil {
			t.Errorf("what was accepted is refused when written again: %v", err)
		}
	})
}
