package authz_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

func newKey(t *testing.T, id string) token.PublicKey {
	t.Helper()
	k, err := token.Generate("ed25519", id)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

// world is a policy with one source of everything, and the key that may use it.
type world struct {
	key    token.PublicKey
	source authz.Source
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key := newKey(t, "alice")
	return &world{key: key, source: authz.Source{
		Name: "debug", Keys: []token.PublicKey{newKey(t, "bob"), key},
		Shell: &authz.Shell{
			Exec: authz.Exec{Argv: []string{"/bin/bash"}, User: "operator", Group: "operator", WorkDir: "/srv", Env: map[string]string{"A": "configured"}},
			Processes: map[string]authz.Exec{
				"worker":  {Argv: []string{"/bin/sh", "-l"}, User: "worker"},
				"console": {Argv: []string{"/bin/zsh"}},
			},
			AcceptEnv: []string{"LANG", "LC_*"}, AllowCommand: true, Umask: 0o27,
			Window: 1 << 20, Scrollback: 1 << 18, ResumeFor: time.Minute, IdleTimeout: time.Hour, MaxAge: 2 * time.Hour,
			Keep: true, MaxSessions: 3,
		},
	}}
}

func (w *world) open(sh wire.Shell) (authz.Grant, error) {
	id := authz.Identity{Key: w.key, Subject: "on call", Addr: netip.MustParseAddr("192.0.2.1")}
	return authz.New([]authz.Source{w.source}, nil).Open(id, wire.Claims{Source: "debug", Shell: &sh}, authz.Context{})
}

func TestOpenDecides(t *testing.T) {
	for _, c := range []struct {
		name string
		sh   wire.Shell
		argv []string
		user string
		term authz.Terminal
	}{
		{"the source's shell", wire.Shell{}, []string{"/bin/bash"}, "operator", authz.Terminal{}},
		{"by its names", wire.Shell{Process: "web"}, []string{"/bin/bash"}, "operator", authz.Terminal{}},
		{"by its other name", wire.Shell{Process: "shell"}, []string{"/bin/bash"}, "operator", authz.Terminal{}},
		{"a process", wire.Shell{Process: "worker"}, []string{"/bin/sh", "-l"}, "worker", authz.Terminal{}},
		{"a command is split", wire.Shell{Command: `ls -l "a b"`}, []string{"ls", "-l", "a b"}, "operator", authz.Terminal{}},
		{"arguments are taken as they are", wire.Shell{Args: []string{"echo", "a b", ""}}, []string{"echo", "a b", ""}, "operator", authz.Terminal{}},
		{"a command as a process' user", wire.Shell{Process: "worker", Command: "id"}, []string{"id"}, "worker", authz.Terminal{}},
		{
			"a terminal",
			wire.Shell{PTY: true, Term: "xterm-256color", Cols: 132, Rows: 43},
			[]string{"/bin/bash"},
			"operator",
			authz.Terminal{On: true, Term: "xterm-256color", Cols: 132, Rows: 43},
		},
		{
			"a terminal by default",
			wire.Shell{PTY: true},
			[]string{"/bin/bash"},
			"operator",
			authz.Terminal{On: true, Term: "xterm", Cols: 80, Rows: 24},
		},
		{"no terminal, whatever its size", wire.Shell{Cols: 9999, Term: "a b"}, []string{"/bin/bash"}, "operator", authz.Terminal{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.sh.Op = wire.OpOpen
			g, err := newWorld(t).open(c.sh)
			if err != nil {
				t.Fatal(err)
			}
			if e := g.Exec(); !slices.Equal(e.Argv, c.argv) || e.User != c.user || g.Terminal() != c.term || !g.Starts() {
				t.Errorf("argv %q, user %q, terminal %+v, starts %v", e.Argv, e.User, g.Terminal(), g.Starts())
			}
		})
	}
}

func TestProcessMayTakeTheShellsName(t *testing.T) {
	w := newWorld(t)
	w.source.Shell.Processes["web"] = authz.Exec{Argv: []string{"/bin/web"}}
	w.source.Shell.Processes[""] = authz.Exec{Argv: []string{"/bin/none"}}
	for process, want := range map[string]string{"web": "/bin/web", "shell": "/bin/bash", "": "/bin/bash"} {
		g, err := w.open(wire.Shell{Op: wire.OpOpen, Process: process})
		if err != nil || g.Exec().Argv[0] != want {
			t.Errorf("process %q: %q, %v", process, g.Exec().Argv, err)
		}
	}
}

func TestGrantCarriesTheSettings(t *testing.T) {
	w := newWorld(t)
	w.source.BreakGlass = true
	g, err := w.open(wire.Shell{Op: wire.OpOpen})
	if err != nil {
		t.Fatal(err)
	}
	e, s := g.Exec(), g.Shell()
	if g.Source() != "debug" || !g.BreakGlass() || !g.Identity().Key.Equal(w.key) || g.Identity().Subject != "on call" ||
		e.Group != "operator" || e.WorkDir != "/srv" || e.Env["A"] != "configured" ||
		s.Umask != 0o27 || s.Window != 1<<20 || s.ResumeFor != time.Minute || s.MaxSessions != 3 || !s.Keep {
		t.Errorf("got %+v %+v", e, s)
	}
}

// TestRefusals has each reason for which an open is refused.
func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", wire.MaxTerm+1)
	many := map[string]string{}
	for i := range wire.MaxEnv + 1 {
		many["V"+strings.Repeat("x", i%100)+string(rune('a'+i%26))+string(rune('a'+i/26))] = ""
	}
	for _, c := range []struct {
		name   string
		change func(*world)
		sh     wire.Shell
		code   wire.Code
		text   string
	}{
		{"unknown source", func(w *world) { w.source.Name = "other" }, wire.Shell{Op: wire.OpOpen}, wire.CodeNotFound, "not found"},
		{"source without a shell", func(w *world) { w.source.Shell = nil }, wire.Shell{Op: wire.OpOpen}, wire.CodeNotFound, "not found"},
		{"key of nobody", func(w *world) { w.source.Keys = w.source.Keys[:1] }, wire.Shell{Op: wire.OpOpen}, wire.CodeNotFound, "not found"},
		{"no keys", func(w *world) { w.source.Keys = nil }, wire.Shell{Op: wire.OpOpen}, wire.CodeNotFound, "not found"},
		{"no key", func(w *world) { w.key = token.PublicKey{} }, wire.Shell{Op: wire.OpOpen}, wire.CodeNotFound, "not found"},
		{"another operation", nil, wire.Shell{Op: wire.OpInput}, wire.CodeBadRequest, `the operation is "input", not "open"`},
		{"no operation", nil, wire.Shell{}, wire.CodeBadRequest, `the operation is "", not "open"`},
		{"unknown process", nil, wire.Shell{Op: wire.OpOpen, Process: "nope"}, wire.CodeBadRequest, `source "debug" has no process "nope"`},
		{"a process without a limit", nil, wire.Shell{Op: wire.OpOpen, Process: strings.Repeat("p", 9999)}, wire.CodeBadRequest, `source "debug" has no process "` + strings.Repeat("p", 64) + `…"`},
		{"a command where none is allowed", func(w *world) { w.source.Shell.AllowCommand = false }, wire.Shell{Op: wire.OpOpen, Command: "id"}, wire.CodeDenied, `source "debug" does not allow commands (shell.allowCommand)`},
		{"arguments where none are allowed", func(w *world) { w.source.Shell.AllowCommand = false }, wire.Shell{Op: wire.OpOpen, Args: []string{""}}, wire.CodeDenied, `source "debug" does not allow commands (shell.allowCommand)`},
		{"command and arguments", nil, wire.Shell{Op: wire.OpOpen, Command: "id", Args: []string{"id"}}, wire.CodeBadRequest, "both a command and arguments are given"},
		{"an open quote", nil, wire.Shell{Op: wire.OpOpen, Command: "sh -c 'id"}, wire.CodeBadRequest, "the command cannot be split into words: a quote is not closed"},
		{"a command without words", nil, wire.Shell{Op: wire.OpOpen, Command: " \t"}, wire.CodeBadRequest, "the command is empty"},
		{"an empty program", nil, wire.Shell{Op: wire.OpOpen, Args: []string{"", "x"}}, wire.CodeBadRequest, "the command is empty"},
		{"too many words", nil, wire.Shell{Op: wire.OpOpen, Command: strings.Repeat("a ", wire.MaxArgs+1)}, wire.CodeBadRequest, "the command has 1025 words; the limit is 1024"},
		{"an assignment", nil, wire.Shell{Op: wire.OpOpen, Command: "DB_PASS=secret ./migrate"}, wire.CodeBadRequest, "the command begins with an assignment, and no shell reads it"},
		{"NUL in an argument", nil, wire.Shell{Op: wire.OpOpen, Args: []string{"a", "b\x00c"}}, wire.CodeBadRequest, "the command holds a NUL byte"},
		{"too many variables", nil, wire.Shell{Op: wire.OpOpen, Env: many}, wire.CodeBadRequest, "129 variables are sent; the limit is 128"},
		{"a variable's name", nil, wire.Shell{Op: wire.OpOpen, Env: map[string]string{"A=B": ""}}, wire.CodeBadRequest, `"A=B" is no name of a variable`},
		{"an empty name", nil, wire.Shell{Op: wire.OpOpen, Env: map[string]string{"": ""}}, wire.CodeBadRequest, `"" is no name of a variable`},
		{"a digit first", nil, wire.Shell{Op: wire.OpOpen, Env: map[string]string{"1A": ""}}, wire.CodeBadRequest, `"1A" is no name of a variable`},
		{"a long name", nil, wire.Shell{Op: wire.OpOpen, Env: map[string]string{strings.Repeat("A", 129): ""}}, wire.CodeBadRequest, `"` + strings.Repeat("A", 64) + `…" is no name of a variable`},
		{"a long value", nil, wire.Shell{Op: wire.OpOpen, Env: map[string]string{"LANG": strings.Repeat("a", wire.MaxEnvValue+1)}}, wire.CodeBadRequest, "the variable LANG has 16385 bytes; the limit is 16384"},
		{"NUL in a value", nil, wire.Shell{Op: wire.OpOpen, Env: map[string]string{"LANG": "a\x00"}}, wire.CodeBadRequest, "the variable LANG holds a NUL byte"},
		{"a long terminal type", nil, wire.Shell{Op: wire.OpOpen, PTY: true, Term: long}, wire.CodeBadRequest, "the terminal type is not a name of at most 64 bytes"},
		{"a terminal type with a path", nil, wire.Shell{Op: wire.OpOpen, PTY: true, Term: "../x"}, wire.CodeBadRequest, "the terminal type is not a name of at most 64 bytes"},
		{"an unprintable terminal type", nil, wire.Shell{Op: wire.OpOpen, PTY: true, Term: "a\x1bb"}, wire.CodeBadRequest, "the terminal type is not a name of at most 64 bytes"},
		{"too many columns", nil, wire.Shell{Op: wire.OpOpen, PTY: true, Cols: 4097, Rows: 1}, wire.CodeBadRequest, "a terminal of 4097 columns and 1 rows; both must be 1 to 4096"},
		{"too many rows", nil, wire.Shell{Op: wire.OpOpen, PTY: true, Cols: 1, Rows: 65535}, wire.CodeBadRequest, "a terminal of 1 columns and 65535 rows; both must be 1 to 4096"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.change != nil {
				c.change(w)
			}
			g, err := w.open(c.sh)
			if errs.CodeOf(err) != c.code || err.Error() != c.text {
				t.Errorf("code %s, %v; want %s, %s", errs.CodeOf(err), err, c.code, c.text)
			}
			if g.Starts() {
				t.Error("a refusal comes with a grant that starts")
			}
		})
	}
}

func TestHints(t *testing.T) {
	w := newWorld(t)
	_, err := w.open(wire.Shell{Op: wire.OpOpen, Process: "nope"})
	if got := errs.HintOf(err); got != "it has console, worker" {
		t.Errorf("hint %q", got)
	}
	w.source.Shell.AllowCommand = false
	if _, err = w.open(wire.Shell{Op: wire.OpOpen, Command: "id"}); errs.HintOf(err) == "" {
		t.Error("a refused command has no hint")
	}
}

// TestEnvironment: what a client may set, where the source accepts everything.
func TestEnvironment(t *testing.T) {
	w := newWorld(t)
	w.source.Shell.AcceptEnv = []string{"*"}
	harmless := map[string]string{
		"LANG": "de_DE.UTF-8", "LC_ALL": "C", "LC_TIME": "en_DK.UTF-8@x", "TZ": "Europe/Berlin", "EDITOR": "vim", "COLORTERM": "truecolor",
		"_x": "/any%thing", "LDAP": "x", "ENVIRONMENT": "x", "TERM": "xterm", "LANGUAGE": "de:en", "PS1": `\u@\h> `,
	}
	env := maps.Clone(harmless)
	for _, name := range []string{
		"LD_PRELOAD", "LD_LIBRARY_PATH", "ld_audit", "DYLD_INSERT_LIBRARIES", "BASH_ENV", "ENV", "IFS", "PATH", "HOME", "SHELL", "USER",
		"LOGNAME", "PS4", "MAILPATH", "VIMINIT", "EXINIT", "PROMPT_COMMAND", "SHELLOPTS", "BASHOPTS", "BASH_FUNC_ls", "PYTHONPATH", "PYTHONSTARTUP", "PERL5OPT", "PERLLIB",
		"NODE_OPTIONS", "GIT_SSH_COMMAND", "GIT_EXEC_PATH", "ETCHA_SESSION", "RUBYOPT", "JAVA_TOOL_OPTIONS", "GCONV_PATH", "GLIBC_TUNABLES",
		"TERMINFO", "KRB5CCNAME", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR", "TMPDIR", "ZDOTDIR", "HOSTALIASES", "NLSPATH", "SUDO_USER", "MAIL", "LESSOPEN",
	} {
		env[name] = "x"
	}
	env["F"] = "() { :; }; id"
	g, err := w.open(wire.Shell{Op: wire.OpOpen, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	if got := g.ClientEnv(); !maps.Equal(got, harmless) {
		t.Errorf("got %q", got)
	}
}

func TestDangerousValues(t *testing.T) {
	w := newWorld(t)
	w.source.Shell.AcceptEnv = []string{"*"}
	for name, values := range map[string][]string{
		"TZ":   {"/etc/shadow", ":/etc/shadow", "../../etc/shadow", "a b", "a\nb"},
		"LANG": {"/tmp/evil", "%n", "C\x1b[2J"}, "LC_ALL": {"../x", "%s"},
		"PS0": {"$(id)"}, "PS1": {"`id`", "$((x))", "${x@P}"}, "PS2": {"$x"},
		"LANGUAGE": {"/x"}, "COLORTERM": {"%"}, "TERM": {"../x", "", strings.Repeat("x", 65)},
	} {
		for _, value := range values {
			g, err := w.open(wire.Shell{Op: wire.OpOpen, Env: map[string]string{name: value}})
			if err != nil || len(g.ClientEnv()) > 0 {
				t.Errorf("%s=%q: %q, %v", name, value, g.ClientEnv(), err)
			}
		}
	}
}

func TestEnvironmentIsAnAllowList(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		accept []string
		want   []string
	}{
		{nil, nil},
		{[]string{"LANG"}, []string{"LANG"}},
		{[]string{"LC_*", "F?O"}, []string{"FOO", "LC_ALL", "LC_TIME"}},
		{[]string{"[", "LANG"}, []string{"LANG"}},
	} {
		w.source.Shell.AcceptEnv = c.accept
		g, err := w.open(wire.Shell{Op: wire.OpOpen, Env: map[string]string{"LANG": "C", "LC_ALL": "C", "LC_TIME": "C", "FOO": "", "BAR": ""}})
		if got := slices.Sorted(maps.Keys(g.ClientEnv())); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("acceptEnv %q: %q, %v", c.accept, got, err)
		}
	}
}

// TestPolicyIsNotShared: neither side can change what the other decides by.
func TestPolicyIsNotShared(t *testing.T) {
	w := newWorld(t)
	p := authz.New([]authz.Source{w.source}, nil)
	id := authz.Identity{Key: w.key}
	g, err := p.Open(id, wire.Claims{Source: "debug", Shell: &wire.Shell{Op: wire.OpOpen}}, authz.Context{})
	if err != nil {
		t.Fatal(err)
	}
	shell, exec := g.Shell(), g.Exec()
	shell.Exec.Argv[0], shell.Processes["worker"].Argv[0], exec.Argv[0], exec.Env["A"] = "evil", "evil", "evil", "evil"
	w.source.Shell.Exec.Argv[0], w.source.Shell.Exec.Env["A"], w.source.Shell.AcceptEnv[0] = "evil", "evil", "*"
	p.Keys("debug")[1] = token.PublicKey{}
	w.source.Keys[1] = token.PublicKey{}
	for _, process := range []string{"", "worker"} {
		again, err := p.Open(id, wire.Claims{Source: "debug", Shell: &wire.Shell{Op: wire.OpOpen, Process: process}}, authz.Context{})
		if err != nil || again.Exec().Argv[0] == "evil" || again.Exec().Env["A"] == "evil" || again.Shell().AcceptEnv[0] == "*" {
			t.Errorf("process %q: %+v, %v", process, again.Exec(), err)
		}
	}
	if g.Exec().Argv[0] == "evil" {
		t.Error("a grant can be changed")
	}
}

func TestPolicyLookups(t *testing.T) {
	w := newWorld(t)
	p := authz.New([]authz.Source{w.source, {Name: "bare"}}, nil)
	if !p.HasSource("bare") || p.HasShell("bare") || !p.HasShell("debug") || p.HasSource("x") || p.HasShell("x") {
		t.Error("sources are mixed up")
	}
	if len(p.Keys("debug")) != 2 || p.Keys("bare") != nil || p.Keys("x") != nil {
		t.Error("keys are mixed up")
	}
}
