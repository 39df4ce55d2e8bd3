package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestExecFor(t *testing.T) {
	l := load(t, options(t, `{
  exec: { user: 'main', workDir: '/main', env: { A: 'main', B: 'main', C: 'main' }, envInherit: true, containerVolumes: ['m'] },
  sources: {
    debug: {
      exec: { user: 'source', group: 'source', env: { B: 'source', C: 'source' }, command: '/bin/sh -c', envInherit: false },
      shell: { command: "/bin/bash --rcfile '/a b'", group: 'shell', env: { C: 'shell' } },
      processes: { top: { command: 'top -b', user: 'proc' }, plain: 'vmstat 1' },
    },
    none: { exec: { user: 'x' } },
  },
}`))
	yes, no := true, false
	env := func(c string) map[string]string { return map[string]string{"A": "main", "B": "source", "C": c} }
	for _, c := range []struct {
		process string
		want    Exec
		argv    []string
	}{
		{"", Exec{User: "source", Group: "shell", Command: "/bin/bash --rcfile '/a b'", Env: env("shell")}, []string{"/bin/bash", "--rcfile", "/a b"}},
		{"top", Exec{User: "proc", Group: "source", Command: "top -b", Env: env("source")}, []string{"top", "-b"}},
		{"plain", Exec{User: "source", Group: "source", Command: "vmstat 1", Env: env("source")}, []string{"vmstat", "1"}},
	} {
		c.want.WorkDir, c.want.AllowOverride, c.want.EnvInherit, c.want.ContainerVolumes = "/main", &yes, &no, []string{"m"}
		got, argv, err := l.Config.ExecFor("debug", c.process)
		if err != nil || !reflect.DeepEqual(got, c.want) || !reflect.DeepEqual(argv, c.argv) {
			t.Errorf("process %q: %+v, %q, %v; want %+v, %q", c.process, got, argv, err, c.want, c.argv)
		}
	}
	script, argv, err := l.Config.ScriptFor("debug")
	if err != nil || script.User != "source" || strings.Join(argv, " ") != "/bin/sh -c" {
		t.Errorf("scripts: %+v, %q, %v", script, argv, err)
	}
	if _, argv, err := l.Config.ScriptFor("none"); err != nil || strings.Join(argv, " ") != "/usr/bin/bash -e -o pipefail -c" {
		t.Errorf("scripts of a source without a command: %q, %v", argv, err)
	}
}

func TestExecForSharesNothing(t *testing.T) {
	l := load(t, options(t, `{ exec: { env: { A: '1' } }, sources: { a: { shell: 'sh' } } }`))
	e, _, err := l.Config.ExecFor("a", "")
	if err != nil {
		t.Fatal(err)
	}
	e.Env["A"] = "changed"
	if l.Config.Exec.Env["A"] != "1" {
		t.Error("a merged environment is the configuration's own")
	}
}

func TestExecForErrors(t *testing.T) {
	no := false
	c := &Config{
		Exec: Exec{Command: "sh -c"},
		Sources: map[string]Source{
			"none":   {},
			"a":      {Shell: &Shell{Exec: Exec{Command: "sh"}}},
			"empty":  {Shell: &Shell{}},
			"quote":  {Shell: &Shell{Exec: Exec{Command: "sh '"}}},
			"nulled": {Shell: &Shell{Exec: Exec{Command: "''"}}},
			"closed": {Exec: Exec{AllowOverride: &no}, Shell: &Shell{Exec: Exec{Command: "sh", User: "x"}}},
			"opened": {Exec: Exec{AllowOverride: &no}, Shell: &Shell{Exec: Exec{Command: "sh"}}},
		},
	}
	for _, v := range []struct{ source, process, want string }{
		{"gone", "", `source "gone": not configured`},
		{"none", "", `source "none": no shell is configured`},
		{"a", "web", `source "a": no process "web" is configured`},
		{"empty", "", "sources.empty.shell: which program?"},
		{"quote", "", "sources.quote.shell.command: a quote is not closed"},
		{"nulled", "", "sources.nulled.shell: which program?"},
		{"closed", "", "sources.closed.shell.user: sources.closed.exec.allowOverride does not permit to set it here"},
		{"opened", "", ""},
	} {
		_, _, err := c.ExecFor(v.source, v.process)
		if v.want == "" && err != nil || v.want != "" && (err == nil || !strings.HasPrefix(err.Error(), v.want)) {
			t.Errorf("%s %s: error %v, want %q", v.source, v.process, err, v.want)
		}
	}
	if _, _, err := c.ScriptFor("gone"); err == nil {
		t.Error("scripts of a source that is not there")
	}
	c.Exec.Command = ""
	if _, _, err := c.ScriptFor("a"); err == nil || !strings.Contains(err.Error(), "no command to run scripts with") {
		t.Errorf("scripts without a command: error %v", err)
	}
}

// Every field of an exec takes part in merging and in what counts as set.
func TestEveryFieldOfAnExecMerges(t *testing.T) {
	yes := true
	fields := reflect.TypeFor[Exec]()
	for i := range fields.NumField() {
		var over Exec
		f := reflect.ValueOf(&over).Elem().Field(i)
		switch f.Interface().(type) {
		case string:
			f.SetString("over")
		case *bool:
			f.Set(reflect.ValueOf(&yes))
		case []string:
			f.Set(reflect.ValueOf([]string{"over"}))
		case map[string]string:
			f.Set(reflect.ValueOf(map[string]string{"over": "1"}))
		default:
			t.Fatalf("a field of type %s: teach with and this test about it", f.Type())
		}
		name := fields.Field(i).Tag.Get("koanf")
		if got := (Exec{}).with(over); !reflect.DeepEqual(reflect.ValueOf(got).Field(i).Interface(), f.Interface()) {
			t.Errorf("%s is not merged: %+v", name, got)
		}
		if keys := setKeys(over); !reflect.DeepEqual(keys, []string{name}) {
			t.Errorf("set keys %v, want %s", keys, name)
		}
	}
}
