package config

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

	"etcha/go/errs"
	"etcha/go/jsonnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sample is what the design says must load exactly as written.
const sample = `{
  "sources": {
    "debug": {
      "exec": { "group": "operator", "user": "operator", },
      "shell": "/bin/bash",
    },
  }
}
`

// write makes files below a new folder, and gives the folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// options are for a file of that text, away from this machine's own.
func options(t *testing.T, text string) LoadOptions {
	t.Helper()
	dir := write(t, map[string]string{FileName: text})
	return LoadOptions{Dir: dir, System: filepath.Join(dir, "none"), Environ: []string{"HOME=/home/op"}}
}

func load(t *testing.T, o LoadOptions) *Loaded {
	t.Helper()
	l, err := Load(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSampleLoadsAsWritten(t *testing.T) {
	l := load(t, options(t, sample))
	e, argv, err := l.Config.ExecFor("debug", "")
	if err != nil {
		t.Fatal(err)
	}
	if e.User != "operator" || e.Group != "operator" || !reflect.DeepEqual(argv, []string{"/bin/bash"}) {
		t.Errorf("shell %v as %s:%s, want /bin/bash as operator:operator", argv, e.User, e.Group)
	}
	if allow := e.AllowOverride; allow == nil || !*allow {
		t.Errorf("allowOverride %v, want the default, true", allow)
	}
	s := l.Config.Sources["debug"].Shell
	umask := FileMode(0o022)
	want := &Shell{
		Exec:      Exec{Command: "/bin/bash"},
		AcceptEnv: []string{"LANG", "LC_*", "TERM", "COLORTERM", "TZ"}, AllowCommand: true, Detached: "block",
		IdleTimeout: 30 * time.Minute, Obscure: "chaff", Record: "off", ResumeFor: 5 * time.Minute,
		Scrollback: 256 << 10, Umask: &umask, Window: 1 << 20,
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("shell %+v, want %+v", s, want)
	}
}

func TestRepositorysOwnFileLoads(t *testing.T) {
	l := load(t, LoadOptions{Path: filepath.Join("..", "..", FileName)})
	if _, _, err := l.Config.ExecFor(l.Config.CLI.DefaultSource, ""); err != nil {
		t.Errorf("its default source: %v", err)
	}
}

func TestDefaults(t *testing.T) {
	dir := t.TempDir()
	l := load(t, LoadOptions{Dir: dir, System: filepath.Join(dir, "none"), Environ: []string{"XDG_STATE_HOME=/state"}})
	c := l.Config
	if l.Path != "" || len(l.Files) != 0 {
		t.Errorf("path %q, files %v without any file", l.Path, l.Files)
	}
	for _, v := range []struct {
		key       string
		got, want any
	}{
		{"cli.logFormat", c.CLI.LogFormat, "human"},
		{"cli.logLevel", c.CLI.LogLevel, "info"},
		{"exec.command", c.Exec.Command, "/usr/bin/bash -e -o pipefail -c"},
		{"exec.allowOverride", *c.Exec.AllowOverride, true},
		{"httpClient.trust", c.HTTPClient.Trust, "pin"},
		{"httpServer.listenAddress", c.HTTPServer.ListenAddress, ":4000"},
		{"run.timeoutPush", c.Run.TimeoutPush, 10 * time.Minute},
		{"run.timeoutWebhook", c.Run.TimeoutWebhook, 10 * time.Minute},
		{"run.timeoutShell", c.Run.TimeoutShell, time.Duration(0)},
		{"run.maxSessions", c.Run.MaxSessions, 1024},
		{"run.maxSessionsPerKey", c.Run.MaxSessionsPerKey, 64},
		{"sources", len(c.Sources), 0},
	} {
		if v.got != v.want {
			t.Errorf("%s is %v, want %v", v.key, v.got, v.want)
		}
	}
	if c.Build.PushMaxWorkers < 16 || c.Build.PushMaxWorkers%16 != 0 {
		t.Errorf("build.pushMaxWorkers is %d, want 16 for each CPU", c.Build.PushMaxWorkers)
	}
}

func TestStateDir(t *testing.T) {
	env := map[string]string{}
	for _, c := range []struct {
		name string
		h    host
		env  map[string]string
		want string
	}{
		{name: "root", h: host{root: true}, env: map[string]string{"XDG_STATE_HOME": "/x"}, want: "/var/lib/etcha"},
		{name: "xdg", env: map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/h"}, want: "/x/etcha"},
		{name: "relative xdg is none", env: map[string]string{"XDG_STATE_HOME": "x", "HOME": "/h"}, want: "/h/.local/state/etcha"},
		{name: "home", env: map[string]string{"HOME": "/h"}, want: "/h/.local/state/etcha"},
		{name: "account", h: host{home: func() string { return "/a" }}, want: "/a/.local/state/etcha"},
		{name: "nothing", h: host{home: func() string { return "" }}, want: ""},
		{name: "windows", h: host{goos: "windows"}, env: map[string]string{"LOCALAPPDATA": "/l"}, want: "/l/etcha"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env = c.env
			c.h.env = func(name string) string { return env[name] }
			if got := filepath.ToSlash(c.h.stateDir()); got != c.want {
				t.Errorf("stateDir %q, want %q", got, c.want)
			}
		})
	}
}

// Each layer sets one key more than the one above it.
func TestLayers(t *testing.T) {
	o := options(t, `{ run: { labels: { a: 'file', b: 'file', c: 'file', d: 'file' } } }`)
	o.Environ = append(o.Environ,
		`etcha_config={run: {labels: {b: 'whole', c: 'whole', d: 'whole'}}}`,
		`etcha_run_labels={"c":"env","d":"env"}`,
		`etcha_run_labels_d=`, `etcha_run_labels_d=env`)
	o.Overrides = []string{"run_labels_d=x", "run_maxSessions=7", "cli_noColor=true", `cli={"logLevel":"debug"}`, `exec_command="{ x"`}
	l := load(t, o)
	want := map[string]string{"a": "file", "b": "whole", "c": "env", "d": "x"}
	if got := l.Config.Run.Labels; !reflect.DeepEqual(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
	if c := l.Config; c.Run.MaxSessions != 7 || !c.CLI.NoColor || c.CLI.LogLevel != "debug" || c.Exec.Command != "{ x" {
		t.Errorf("overrides gave %+v, %+v, %q", c.Run, c.CLI, c.Exec.Command)
	}
}

func TestOverridesShortestFirst(t *testing.T) {
	o := options(t, "{}")
	o.Overrides = []string{"run_labels_a=deep", `run={"labels":{"a":"shallow","b":"shallow"}}`, "run_labels_a=deeper"}
	l := load(t, o)
	if got, want := l.Config.Run.Labels, map[string]string{"a": "deeper", "b": "shallow"}; !reflect.DeepEqual(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
}

func TestShortFormsMergeAsObjects(t *testing.T) {
	o := options(t, `{ sources: { a: { shell: '/bin/sh', processes: { top: 'top -b' }, pullPaths: ['x', { path: 'y', skipVerify: true }], webhookPaths: '/w' } } }`)
	o.Overrides = []string{"sources_a_shell_idleTimeout=1m", "sources_a_shell_acceptEnv=X", "sources_b_shell=/bin/bash"}
	l := load(t, o)
	a := l.Config.Sources["a"]
	if a.Shell.Command != "/bin/sh" || a.Shell.IdleTimeout != time.Minute || !reflect.DeepEqual(a.Shell.AcceptEnv, []string{"X"}) {
		t.Errorf("shell %+v", a.Shell)
	}
	if want := []PullPath{{Path: "x"}, {Path: "y", SkipVerify: true}}; !reflect.DeepEqual(a.PullPaths, want) {
		t.Errorf("pullPaths %v, want %v", a.PullPaths, want)
	}
	if a.Processes["top"].Command != "top -b" || !reflect.DeepEqual(a.WebhookPaths, []string{"/w"}) {
		t.Errorf("processes %v, webhookPaths %v", a.Processes, a.WebhookPaths)
	}
	if b := l.Config.Sources["b"].Shell; b == nil || b.Command != "/bin/bash" || b.Window != 1<<20 {
		t.Errorf("a shell from -x alone: %+v", b)
	}
}

func TestOddKeysSurviveEveryLayer(t *testing.T) {
	keys := []string{"server1.example.com", "web_1", "_a", "b_", "a__b", "with-dash", "ü", "a b", `"q"`, "1"}
	var text strings.Builder
	o := options(t, "{}")
	for i, key := range keys {
		name, ok := OverrideName("sources", key, "breakGlass")
		if !ok {
			t.Fatalf("%q has no name", key)
		}
		switch i % 3 {
		case 0:
			text.WriteString(", " + jsonString(key) + ": { breakGlass: true }")
		case 1:
			o.Environ = append(o.Environ, "etcha_"+name+"=true")
		case 2:
			o.Overrides = append(o.Overrides, name+"=true")
		}
		text.WriteString(", " + jsonString(key+"+") + ": {}")
	}
	if err := os.WriteFile(filepath.Join(o.Dir, FileName), []byte("{ sources: {"+text.String()[1:]+"} }"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := load(t, o)
	for _, key := range keys {
		if !l.Config.Sources[key].BreakGlass {
			t.Errorf("source %q: what was set for it is gone", key)
		}
	}
	if len(l.Config.Sources) != 2*len(keys) {
		t.Errorf("%d sources, want %d", len(l.Config.Sources), 2*len(keys))
	}
}

func TestVarsKeepWhatIsInThem(t *testing.T) {
	l := load(t, options(t, `{ vars: { n: 1.5, big: 12345678901, no: null, list: [null, { x: null }], 'a.b': { c_d: [] } } }`))
	got, err := encode(l.Config.Vars, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a.b":{"c_d":[]},"big":12345678901,"list":[null,{"x":null}],"n":1.5,"no":null}`; strings.TrimSpace(string(got)) != want {
		t.Errorf("vars %s, want %s", got, want)
	}
}

func TestNullIsNotWritten(t *testing.T) {
	l := load(t, options(t, `{ cli: null, run: { maxSessions: null }, sources: { a: { shell: null } } }`))
	if l.Config.Run.MaxSessions != 1024 || l.Config.Sources["a"].Shell != nil || l.Config.CLI.LogLevel != "info" {
		t.Errorf("null changed something: %+v", l.Config)
	}
}

func TestSearch(t *testing.T) {
	dir := write(t, map[string]string{
		"etcha.jsonnet":     `{ cli: { defaultSource: 'top' } }`,
		"a/b/c/x":           "",
		"d/etcha.jsonnet":   `{ cli: { defaultSource: 'd' } }`,
		"e/etcha.jsonnet/x": "", // a folder of that name is passed over
		"named":             `{ cli: { defaultSource: 'named' } }`,
	})
	system := filepath.Join(write(t, map[string]string{"s": `{ cli: { defaultSource: 'system' } }`}), "s")
	for _, c := range []struct{ name, path, dir, want string }{
		{"parents", "", "a/b/c", "top"},
		{"this folder", "", "d", "d"},
		{"not a folder", "", "e", "top"},
		{"named", "named", "d", "named"},
	} {
		o := LoadOptions{Dir: filepath.Join(dir, c.dir), System: system}
		if c.path != "" {
			o.Path = filepath.Join(dir, c.path)
		}
		if got := load(t, o).Config.CLI.DefaultSource; got != c.want {
			t.Errorf("%s: loaded the file of %q, want %q", c.name, got, c.want)
		}
	}
	if got := load(t, LoadOptions{Dir: t.TempDir(), System: system}).Config.CLI.DefaultSource; got != "system" {
		t.Errorf("nothing in the parents: loaded the file of %q, want the system's", got)
	}
	if path, err := FindUp(filepath.Join(dir, "a", "b"), "named"); err != nil || path != filepath.Join(dir, "named") {
		t.Errorf("FindUp: %q, %v", path, err)
	}
	_, err := Load(context.Background(), LoadOptions{Path: filepath.Join(dir, "gone")})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a named file that is not there: error %v, want fs.ErrNotExist", err)
	}
}

func TestImportsAndNatives(t *testing.T) {
	dir := write(t, map[string]string{
		FileName:          `(import 'lib/l.libsonnet') + { build: { signingKey: std.native('getEnv')('KEY', null, false) } }`,
		"lib/l.libsonnet": `{ cli: { defaultSource: importstr 't' } }`,
		"lib/t":           "from-text",
		"whole.libsonnet": `{ cli: { defaultTarget: 'whole' } }`,
	})
	o := LoadOptions{Dir: dir, Environ: []string{"KEY=canary", "etcha_config=import 'whole.libsonnet'"}}
	l := load(t, o)
	if c := l.Config; c.CLI.DefaultSource != "from-text" || c.CLI.DefaultTarget != "whole" || c.Build.SigningKey.Reveal() != "canary" {
		t.Errorf("loaded %+v, %+v", c.CLI, c.Build)
	}
	if len(l.Files) != 4 {
		t.Errorf("files %v, want four", l.Files)
	}
	o.Overrides = []string{"run_statedir=x"}
	if err := os.WriteFile(filepath.Join(dir, "lib", "l.libsonnet"), []byte("{\n\n cli: { logo: 1 } }"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(context.Background(), o)
	want := filepath.Join(dir, "lib", "l.libsonnet") + ":3: cli.logo: unknown key; the nearest known one is cli.logFormat\n" +
		"-x run_statedir: unknown key; did you mean run_stateDir?"
	if err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
}

func TestPassedInFunctionsReachNatives(t *testing.T) {
	o := options(t, `{ cli: { defaultSource: std.native('getCmd')('x', null, false) } }`)
	o.Jsonnet = jsonnet.Options{Run: func(_ context.Context, c string) (string, error) { return "ran " + c, nil }}
	if got := load(t, o).Config.CLI.DefaultSource; got != "ran x" {
		t.Errorf("getCmd gave %q", got)
	}
}

func TestKeyCheck(t *testing.T) {
	o := options(t, "{\n run: { verifyKeys: ['good', 'bad'] },\n sources: { a: { verifyKeys: [\n 'bad',\n 'good'] } } }")
	o.KeyCheck = func(key string) error {
		if key == "bad" {
			return errors.New("not a key")
		}
		return nil
	}
	file := filepath.Join(o.Dir, FileName)
	_, err := Load(context.Background(), o)
	want := file + ":2: run.verifyKeys[1]: not a key\n" + file + ":4: sources.a.verifyKeys[0]: not a key"
	if err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
	if problems := Check(context.Background(), o); len(problems) != 2 {
		t.Errorf("Check gave %v, want two problems", problems)
	}
	o.KeyCheck = nil
	if problems := Check(context.Background(), o); problems != nil {
		t.Errorf("Check without KeyCheck gave %v", problems)
	}
}

func TestExitStatus(t *testing.T) {
	o := options(t, "{}")
	o.Overrides = []string{"nothing=1"}
	_, err := Load(context.Background(), o)
	if errs.ExitOf(err) != errs.ExitUsage {
		t.Errorf("a bad -x: exit status %d, want %d", errs.ExitOf(err), errs.ExitUsage)
	}
	var invalid *Invalid
	if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Origin.Kind != FromOverride {
		t.Errorf("error %v: want an Invalid of one problem of -x", err)
	}
	o.Environ = append(o.Environ, "etcha_nothing=1")
	if _, err := Load(context.Background(), o); errs.ExitOf(err) != errs.ExitOther {
		t.Errorf("a bad variable: exit status %d, want %d", errs.ExitOf(err), errs.ExitOther)
	}
}

func jsonString(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}
