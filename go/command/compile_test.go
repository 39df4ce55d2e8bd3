package command

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// lines gives each command the line that its number among all is.
func lines() func([]string, string) Position {
	n := 0
	return func([]string, string) Position { n++; return Position{"main.jsonnet", n} }
}

func TestDecode(t *testing.T) {
	var asked []string
	cmds, err := Decode([]byte(`[{"id":"a","check":"c","change":"d","remove":"r","stdin":"s","always":true,"changeIgnore":true,"removeAfter":true,
		"envPrefix":"P","onChange":"b","onFail":["b","etcha:x"],"onRemove":[],
		"exec":{"allowOverride":false,"command":"sh -c","env":{"A":"1"},"envInherit":true,"user":"u","group":"g","sudo":true,"workDir":"/w",
		"containerImage":"i","containerEntrypoint":"e","containerNetwork":"n","containerPrivileged":true,"containerPull":"always",
		"containerUser":"cu","containerVolumes":["/a:/b"],"containerWorkDir":"/cw"}},
		[[{"id":"b"}],{"id":"g","commands":[[{"id":"c"},{"id":"h","commands":[{"id":"d"}]}]]}], null, {"id":"e","commands":[]}]`),
		func(path []string, id string) Position {
			asked = append(asked, strings.Join(append(path[:len(path):len(path)], id), "/"))
			return Position{"f", len(asked)}
		})
	if err != nil {
		t.Fatal(err)
	}
	at := func(n int) Position { return Position{"f", n} }
	want := []Command{
		{
			ID: "a", Check: "c", Change: "d", Remove: "r", Stdin: "s", Always: true, ChangeIgnore: true, RemoveAfter: true, EnvPrefix: "P",
			OnChange: []string{"b"}, OnFail: []string{"b", "etcha:x"}, At: at(1),
			Exec: &Exec{
				AllowOverride: &no, Command: "sh -c", Env: map[string]string{"A": "1"}, EnvInherit: &yes, User: "u", Group: "g", Sudo: &yes, WorkDir: "/w",
				ContainerImage: "i", ContainerEntrypoint: "e", ContainerNetwork: "n", ContainerPrivileged: &yes, ContainerPull: "always",
				ContainerUser: "cu", ContainerVolumes: []string{"/a:/b"}, ContainerWorkDir: "/cw",
			},
		},
		{ID: "b", At: at(2)},
		{ID: "g", At: at(3), Commands: []Command{{ID: "c", At: at(4)}, {ID: "h", At: at(5), Commands: []Command{{ID: "d", At: at(6)}}}}},
		{ID: "e", At: at(7), Commands: []Command{}},
	}
	if !reflect.DeepEqual(cmds, want) {
		t.Errorf("%+v\nwant %+v", cmds, want)
	}
	if got := strings.Join(asked, " "); got != "a b g g/c g/h g/h/d e" {
		t.Errorf("asked for %s", got)
	}
}

func TestDecodeProblems(t *testing.T) {
	for _, c := range []struct{ list, want string }{
		{`{"id":"a"}`, "commands: must be a list, not an object"},
		{`[1, "x", {"id":"a","onchange":"b"}, true]`, "command 1: must be a command or a list, not a number\n" +
			"command 1: must be a command or a list, not a string\n" +
			"main.jsonnet:1: a: onchange: no such field (did you mean \"onChange\"?)\n" +
			"command 2: must be a command or a list, not true or false"},
		{`[{"id":1,"check":["x"],"always":"yes","onFail":{},"commands":{},"exec":"bash"}]`, "main.jsonnet:1: #1: always: must be true or false, not a string\n" +
			"main.jsonnet:1: #1: check: must be a string, not a list of these values\n" +
			"main.jsonnet:1: #1: id: must be a string, not a number\n" +
			"main.jsonnet:1: #1: onFail: must be a string or a list of strings, not an object\n" +
			"main.jsonnet:1: #1: exec: must be an object, not a string (to set the command, write {command: \"…\"})\n" +
			"main.jsonnet:1: #1: commands: must be a list, not an object (write it as [ … ])"},
		{`[{"id":"a","exec":{"comand":"x","env":{"A":1},"containerVolumes":"v","sudo":1}}]`, "main.jsonnet:1: a: exec.comand: no such field (did you mean \"command\"?)\n" +
			"main.jsonnet:1: a: exec.containerVolumes: must be a list of strings, not a string\n" +
			"main.jsonnet:1: a: exec.env: must be an object of strings, not an object\n" +
			"main.jsonnet:1: a: exec.sudo: must be true or false, not a number"},
		{`[{"id":"a","onChange":["b",null]}]`, "main.jsonnet:1: a: onChange: must be a string or a list of strings, not a list of these values"},
		{`[{"id":"a","zzzzzz":1}]`, "main.jsonnet:1: a: zzzzzz: no such field (known are always, change, changeIgnore, check, commands, envPrefix, exec, id, onChange, onFail, onRemove, remove, removeAfter, stdin)"},
		{`[{"id":"g","commands":[{"id":"a","chek":""}]}]`, "main.jsonnet:2: g > a: chek: no such field (did you mean \"check\"?)"},
		{strings.Repeat("[", 200) + strings.Repeat("]", 200), "lists and groups are nested deeper than 100"},
	} {
		_, err := Decode([]byte(c.list), lines())
		var p Problems
		if err == nil || err.Error() != c.want || !errors.As(err, &p) {
			t.Errorf("%.80s: %v\nwant %s", c.list, err, c.want)
		}
	}
	for _, list := range []string{"", "[", "[]x", "[{]", "nul"} {
		var p Problems
		if _, err := Decode([]byte(list), nil); err == nil || errors.As(err, &p) {
			t.Errorf("%q: %v", list, err)
		}
	}
}

func TestCompileProblems(t *testing.T) {
	for _, c := range []struct{ name, list, want string }{
		{
			"all at once", `[
			{"check":"x"},
			{"id":"b","envPrefix":"1x","onChange":["nobody","b","a b","z)("]},
			{"id":"a b","onChange":"b","onFail":"^b$","onRemove":"d"},
			{"id":"g","commands":[{"id":"c","onChange":"b","onRemove":["c",""]},{}]},
			{"id":"d","onChange":"etcha:","exec":{"command":"x '"}}]`,
			"main.jsonnet:1: #1: missing id (add id: \"…\")\n" +
				"main.jsonnet:2: b: onChange \"nobody\": matches no sibling (name a command of the same list or group)\n" +
				"main.jsonnet:2: b: onChange \"b\": is the command itself (name another command)\n" +
				"main.jsonnet:2: b: onChange \"z)(\": no sibling has this id, and it is no regular expression (name a command of the same list or group)\n" +
				"main.jsonnet:2: b: envPrefix \"1x\": must match [A-Za-z_][A-Za-z0-9_]* (letters, digits and underscores, no digit first)\n" +
				"main.jsonnet:3: a b: onChange \"b\": b stands before it (main.jsonnet:2) (move \"b\" after this command)\n" +
				"main.jsonnet:3: a b: onRemove \"d\": d stands after it (main.jsonnet:7) (move \"d\" before this command)\n" +
				"main.jsonnet:3: a b: onFail \"^b$\": b stands before it (main.jsonnet:2) (move \"b\" after this command)\n" +
				"main.jsonnet:5: g > c: onChange \"b\": matches no sibling (it has no siblings; targets are looked for in the same list or group only)\n" +
				"main.jsonnet:5: g > c: onRemove \"c\": is the command itself (name another command)\n" +
				"main.jsonnet:5: g > c: onRemove: an empty target (name a sibling's id, or leave the field out)\n" +
				"main.jsonnet:6: g > #2: missing id (add id: \"…\")\n" +
				"main.jsonnet:7: d: onChange \"etcha:\": the event has no name (write \"etcha:NAME\")\n" +
				"main.jsonnet:7: d: exec.command \"x '\": a quote is not closed (quote it like in a shell)",
		},
		{"a near name", `[{"id":"a","onChange":"restrat"},{"id":"restart"}]`, "main.jsonnet:1: a: onChange \"restrat\": matches no sibling (did you mean \"restart\"?)"},
		{"alone", `[{"id":"a","onChange":"b"}]`, "main.jsonnet:1: a: onChange \"b\": matches no sibling (it has no siblings; targets are looked for in the same list or group only)"},
		{"an expression that matches only itself", `[{"id":"abc","onChange":"b"},{"id":"x"}]`, "main.jsonnet:1: abc: onChange \"b\": is the command itself (name another command)"},
		{
			"a group's targets", `[{"id":"z"},{"id":"g","onChange":"z","onRemove":"y","commands":[]},{"id":"y"}]`,
			"main.jsonnet:2: g: onChange \"z\": z stands before it (main.jsonnet:1) (move \"z\" after this command)\n" +
				"main.jsonnet:2: g: onRemove \"y\": y stands after it (main.jsonnet:3) (move \"y\" before this command)",
		},
		{
			"NUL", `[{"id":"a","check":"\u0000","exec":{"env":{"A=B":"x","C":"\u0000","":"x"}}}]`,
			"main.jsonnet:1: a: check: holds a NUL byte (scripts are text)\n" +
				"main.jsonnet:1: a: exec.env: \"\" is no name of a variable\n" +
				"main.jsonnet:1: a: exec.env: \"A=B\" is no name of a variable\n" +
				"main.jsonnet:1: a: exec.env: the value of C holds a NUL byte",
		},
	} {
		cmds, err := Decode([]byte(c.list), lines())
		if err != nil {
			t.Fatal(err)
		}
		_, err = Compile(cmds)
		var p Problem
		if err == nil || err.Error() != c.want || !errors.As(err, &p) || p.At.Line == 0 {
			t.Errorf("%s:\n%v\nwant\n%s", c.name, err, c.want)
		}
	}
}

func TestCompileAccepts(t *testing.T) {
	for _, list := range []string{
		`[{"id":"a"},{"id":"a"}]`,
		`[{"id":"a","envPrefix":"_a9"}]`,
		`[{"id":"a"},{"id":"b","onRemove":"a","onChange":"etcha:a","onFail":"c"},{"id":"c"}]`,
		`[{"id":"g","envPrefix":"1","onFail":"nobody","commands":[]}]`,
	} {
		cmds, err := Decode([]byte(list), nil)
		if err == nil {
			_, err = Compile(cmds)
		}
		if err != nil {
			t.Errorf("%s: %v", list, err)
		}
	}
}

func TestPositions(t *testing.T) {
	for want, p := range map[string]Position{"": {}, "a": {File: "a"}, "a:3": {"a", 3}} {
		if p.String() != want {
			t.Errorf("%q, want %q", p, want)
		}
	}
	if text := (Problem{Text: "x"}).Error(); text != "x" {
		t.Error(text)
	}
}

func TestMergeSharesNothing(t *testing.T) {
	a := Exec{Env: map[string]string{"A": "1"}, ContainerVolumes: []string{"x"}, Sudo: &yes}
	m, err := Merge(Level{"a", a}, Level{"b", Exec{Env: map[string]string{"B": "2"}, Sudo: &no}})
	if err != nil {
		t.Fatal(err)
	}
	m.Env["A"], m.ContainerVolumes[0] = "9", "y"
	*m.Sudo, *m.AllowOverride = true, false
	if a.Env["A"] != "1" || a.ContainerVolumes[0] != "x" || no || !yes || m.Env["B"] != "2" || m.Command != DefaultCommand {
		t.Errorf("%+v", m)
	}
	if again, err := Merge(); err != nil || !*again.AllowOverride || again.Env == nil {
		t.Errorf("%+v, %v", again, err)
	}
}

// Every field counts as an override and is replaced.
func TestEveryFieldMerges(t *testing.T) {
	typ := reflect.TypeFor[Exec]()
	for f := range typ.Fields() {
		var e Exec
		v := reflect.ValueOf(&e).Elem().FieldByIndex(f.Index)
		switch v.Kind() {
		case reflect.String:
			v.SetString("x")
		case reflect.Pointer:
			v.Set(reflect.ValueOf(&yes))
		case reflect.Map:
			v.Set(reflect.ValueOf(map[string]string{"A": "x"}))
		case reflect.Slice:
			v.Set(reflect.ValueOf([]string{"x"}))
		}
		m, err := Merge(Level{"top", Exec{}}, Level{"low", e})
		if err != nil || !reflect.DeepEqual(reflect.ValueOf(m).FieldByIndex(f.Index).Interface(), v.Interface()) {
			t.Errorf("%s: %+v, %v", f.Name, m, err)
		}
		_, err = Merge(Level{"top", Exec{AllowOverride: &no}}, Level{"mid", Exec{}}, Level{"low", e})
		if !errors.Is(err, ErrOverride) || err.Error() != "low: "+jsonName(f)+": top.allowOverride does not permit to set it here" {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`[]`, `[[{"id":"a","onChange":["b"],"exec":{"env":{"A":"b"}}}]]`, `[{"commands":[{}]}]`, `[1,null]`, `[{"id":"a","onChange":"("}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cmds, err := Decode(data, lines())
		if err != nil {
			if json.Valid(data) && !errors.As(err, new(Problems)) {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		if _, err := Compile(cmds); err != nil && !errors.As(err, new(Problems)) {
			t.Errorf("%q: %v", data, err)
		}
	})
}
