package config

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		sample, full, "{}", `{"run": {"labels": {"a.b": "c"}, "stateDir": null}}`, "{ sources: { a: { shell: { window: 1e6 } } } }",
		"{ vars: [] }", "{ targets: { a: { via: 'a' } } }", "{ licenseKey: 1 }", "{ '': {}, ' ': 1 }", "{ cli+: { logLevel:: 1 } }",
	} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		for _, endless := range []string{"tailstrict", "std", "import", "%", "for"} {
			if strings.Contains(text, endless) {
				t.Skip()
			}
		}
		o := LoadOptions{Dir: dir, System: filepath.Join(dir, "none"), Environ: []string{"HOME=/h", "etcha_config=" + text}}
		l, err := Load(context.Background(), o)
		if err != nil {
			var invalid *Invalid
			if !errors.As(err, &invalid) || len(invalid.Problems) == 0 {
				t.Fatalf("%q: error %v, want an Invalid", text, err)
			}
			if l.Config != nil {
				t.Fatalf("%q: a Config beside the error %v", text, err)
			}
			return
		}
		shown, err := l.Masked(false)
		if err != nil || !json.Valid(shown) {
			t.Fatalf("%q is shown as %s, %v", text, shown, err)
		}
		for _, name := range slices.Sorted(func(yield func(string) bool) {
			for name, s := range l.Config.Sources {
				if s.Shell != nil && !yield(name) {
					return
				}
			}
		}) {
			if _, argv, err := l.Config.ExecFor(name, ""); err != nil || len(argv) == 0 {
				t.Fatalf("%q: the shell of %q: %q, %v", text, name, argv, err)
			}
		}
	})
}

func FuzzOverride(f *testing.F) {
	for _, s := range []string{
		"run_stateDir=/x", "targets_web__1_port=4001", `cli={"logLevel":"debug"}`, "sources_a___b_shell=x", "_=", "vars_a=[1,{}]",
		`vars="x"`, "a", "=", "sources__=", "run_timeoutPush=5s", "sources_a_pullPaths=[\"x\"]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		c := &checker{root: schema(), from: map[string]*layer{}}
		for _, o := range append(c.flags([]string{arg}), c.environment([]string{envPrefix + arg})...) {
			if name, ok := OverrideName(o.path...); ok {
				if back, err := splitName(c.root, name); err != nil || !slices.Equal(back, o.path) {
					t.Fatalf("%q is the path %q, whose name %q is the path %q, %v", arg, o.path, name, back, err)
				}
			}
			l, err := o.layer()
			if err != nil {
				continue
			}
			tree := c.layer(l)
			if len(c.problems) == 0 && len(tree) == 0 {
				t.Fatalf("%q sets nothing, and nothing is wrong with it", arg)
			}
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"0", "1MiB", "1 KiB", "9223372036854775807", "1.5GiB", "-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if back, err := ParseSize(n.String()); err != nil || back != n {
			t.Fatalf("%q is %d, written %q, which is %d, %v", s, uint64(n), n, uint64(back), err)
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"0", "90s", "1h0m1s", "-1s", "1.5h", "9223372036854775807ns", "1h1h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDuration(s)
		if err != nil {
			return
		}
		if back, err := time.ParseDuration(formatDuration(d)); err != nil || back != d || d < 0 {
			t.Fatalf("%q is %v, written %q, which is %v, %v", s, d, formatDuration(d), back, err)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,null,true,"x"]}`, `{"a":1,"a":2}`, `[`, `{"a"`, `"\ud800"`, `[1] 2`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := decodeJSON(text)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is read as %v, and is no JSON", text, v)
		}
	})
}
