package jsonnet

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFind(t *testing.T) {
	dir := write(t, map[string]string{
		"main.jsonnet": `local lib = import 'lib.libsonnet';
local shell = { command: 'x',
  umask: '022' };
local make(name, shell='outer') = {
  user: name,
  shell: shell,
};
lib + {
  sources: {
    debug: { shell: shell {
      window: 1,
    } },
    'web.x': make('web', 'y'),
  },
  list: [
    'a',
    { b: 1 },
  ],
  cli+: {
    logLevel:
      'info',
  },
  [if true then 'odd']: { z: 1 },
  either: if std.length('a') == 1 then {
    yes: 1,
  } else {
    no: 2,
  },
  loop: self.loop,
  fromLib: lib.cli,
}
`,
		"lib.libsonnet": "{\n  cli: {\n    noColor: true,\n  },\n}\n",
	})
	if _, err := Evaluate(context.Background(), filepath.Join(dir, "main.jsonnet"), Options{}); err == nil {
		t.Fatal("a loop was evaluated")
	}
	text := strings.Replace(readText(t, filepath.Join(dir, "main.jsonnet")), "loop: self.loop", "loop:: self.loop", 1)
	r, err := EvaluateText(context.Background(), filepath.Join(dir, "main.jsonnet"), text, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path    string
		file    string
		line    int
		matched int
	}{
		{"sources", "main.jsonnet", 9, 1},
		{"sources debug shell", "main.jsonnet", 10, 3},
		{"sources debug shell window", "main.jsonnet", 11, 4},
		{"sources debug shell umask", "main.jsonnet", 3, 4},
		{"sources web.x user", "main.jsonnet", 5, 3},
		{"sources web.x shell", "main.jsonnet", 6, 3},
		{"sources web.x shell command", "main.jsonnet", 6, 3},
		{"sources web.x gone", "main.jsonnet", 13, 2},
		{"list 0", "main.jsonnet", 16, 2},
		{"list 1 b", "main.jsonnet", 17, 3},
		{"list 2", "main.jsonnet", 15, 1},
		{"list x", "main.jsonnet", 15, 1},
		{"cli logLevel", "main.jsonnet", 20, 2},
		{"cli noColor", "lib.libsonnet", 3, 2},
		{"fromLib noColor", "lib.libsonnet", 3, 2},
		{"either yes", "main.jsonnet", 25, 2},
		{"either no", "main.jsonnet", 27, 2},
		{"loop a", "main.jsonnet", 29, 1},
		{"odd z", "", 0, 0},
		{"nothing", "", 0, 0},
	} {
		at, matched := r.Find(strings.Fields(c.path)...)
		if at.File != "" {
			at.File = filepath.Base(at.File)
		}
		if at.File != c.file || at.Line != c.line || matched != c.matched {
			t.Errorf("%s: %s, %d keys; want %s:%d, %d keys", c.path, at, matched, c.file, c.line, c.matched)
		}
	}
	if _, matched := (&Result{}).Find("a"); matched != 0 {
		t.Error("an empty result knows a place")
	}
}

func TestPlaceString(t *testing.T) {
	for want, p := range map[string]Place{
		"f":     {File: "f"},
		"f:1":   {File: "f", Line: 1},
		"f:1:2": {File: "f", Line: 1, Column: 2},
	} {
		if p.String() != want {
			t.Errorf("%+v is %q, want %q", p, p.String(), want)
		}
	}
}
