package config

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestSplitName(t *testing.T) {
	root := schema()
	for name, want := range map[string][]string{
		"cli":                        {"cli"},
		"cli_logLevel":               {"cli", "logLevel"},
		"targets_web__1_port":        {"targets", "web_1", "port"},
		"targets_server1.a.com_port": {"targets", "server1.a.com", "port"},
		"targets___a_port":           {"targets", "_a", "port"},
		"targets_a___port":           {"targets", "a_", "port"},
		"targets_____a_____port":     {"targets", "__a__", "port"},
		"vars_a___b":                 {"vars", "a_", "b"},
		"vars_a_b_c":                 {"vars", "a", "b", "c"},
		"run_labels_a__b":            {"run", "labels", "a_b"},
		"sources_a_processes_p_user": {"sources", "a", "processes", "p", "user"},
		"nothing_here":               {"nothing"},
		"targets____port":            {"targets", "_", "port"},
		"run_labels___":              {"run", "labels", "_"},
	} {
		if got, err := splitName(root, name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"", "_", "cli_", "cli__x", "targets__a", "_cli", "targets_", "targets_a_", "targets_a_port_x", "cli_logLevel_x"} {
		if got, err := splitName(root, name); err == nil {
			if _, ok := root.at(got[:len(got)-1]).child(got[len(got)-1]); ok {
				t.Errorf("%q is the path %q, want none", name, got)
			}
		}
	}
}

func TestOverrideNameRefuses(t *testing.T) {
	for _, path := range [][]string{{"vars", "a", "_b"}, {"targets", "a=b"}, {"targets", ""}, {"targets", "a\x00"}, {"nothing", "x"}, {"cli", "logLevel", "x"}} {
		if name, ok := OverrideName(path...); ok {
			t.Errorf("%q has the name %q, want none", path, name)
		}
	}
}

// Whatever the key of a map is, it goes through the environment and -x and comes
// out the same. A key with an equals sign has no name, by nature of both.
func TestAnyKeySurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringOfN(rapid.OneOf(
			rapid.SampledFrom([]rune("__..-ab1 \"'{[\\/ü")), rapid.Rune(),
		), 1, 12, -1).Filter(func(s string) bool {
			return !strings.ContainsFunc(s, func(r rune) bool { return r == '=' || unicode.IsControl(r) })
		}).Draw(t, "key")
		place := rapid.SampledFrom([][]string{{"run", "labels", ""}, {"exec", "env", ""}, {"sources", "", "breakGlass"}, {"sources", "s", "processes", "", "user"}, {"vars", ""}}).Draw(t, "place")
		path := slices.Clone(place)
		path[slices.Index(path, "")] = key
		name, ok := OverrideName(path...)
		if !ok {
			t.Fatalf("%q has no name", path)
		}
		for _, form := range []struct {
			environ, flags []string
			json           string
		}{
			{environ: []string{envPrefix + name + "=true"}},
			{flags: []string{name + "=true"}},
		} {
			c := &checker{root: schema(), from: map[string]*layer{}}
			all := append(c.environment(form.environ), c.flags(form.flags)...)
			if len(all) != 1 || !slices.Equal(all[0].path, path) {
				t.Fatalf("%q as %q comes out as %+v, problems %v", path, name, all, c.problems)
			}
			l, err := all[0].layer()
			if err != nil {
				t.Fatal(err)
			}
			var at any = c.layer(l)
			for _, k := range path {
				at = members(at)[k]
			}
			if len(c.problems) > 0 || at != true && at != "true" {
				t.Fatalf("%q as %q: value %v, problems %v", path, name, at, c.problems)
			}
		}
	})
}

func TestAnySourceSurvivesLoading(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[a-z_.\-]{1,10}`).Filter(func(s string) bool { return s != "." && s != ".." }).Draw(t, "key")
		name, ok := OverrideName("sources", key, "shell")
		if !ok {
			t.Fatalf("%q has no name", key)
		}
		environ := []string{"HOME=/h", "etcha_config=" + `{"sources": {` + jsonString(key) + `: {"breakGlass": true}}}`}
		l, err := Load(context.Background(), LoadOptions{Dir: dir, System: dir + "/none", Environ: environ, Overrides: []string{name + "=/bin/sh"}})
		if err != nil {
			t.Fatal(err)
		}
		s := l.Config.Sources[key]
		if len(l.Config.Sources) != 1 || !s.BreakGlass || s.Shell == nil || !reflect.DeepEqual(s.Shell.Command, "/bin/sh") {
			t.Fatalf("sources %+v, want %q with what both layers say", l.Config.Sources, key)
		}
	})
}
