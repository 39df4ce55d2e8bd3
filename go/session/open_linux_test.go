package session

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/pty"
	"etcha/go/token"
	"etcha/go/wire"
)

func account(tb testing.TB) pty.Account {
	tb.Helper()
	a, err := pty.LookupAccount("", "")
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// TestOpenErrors: each says what is wrong, in public, and starts nothing.
func TestOpenErrors(t *testing.T) {
	n := newNode(t)
	for _, c := range []struct {
		name   string
		change func(*authz.Shell)
		sh     wire.Shell
		claims wire.Claims
		code   wire.Code
		text   string
	}{
		{"unknown user", func(s *authz.Shell) { s.Exec.User = "nobody-here" }, wire.Shell{}, wire.Claims{}, wire.CodeInternal, `user "nobody-here": no such user`},
		{"unknown group", func(s *authz.Shell) { s.Exec.Group = "nobody-here" }, wire.Shell{}, wire.Claims{}, wire.CodeInternal, `group "nobody-here": no such group`},
		{"configured program", func(s *authz.Shell) { s.Exec.Argv = []string{"/no/such/shell", "secret"} }, wire.Shell{}, wire.Claims{}, wire.CodeInternal, `start "/no/such/shell": no such file or directory`},
		{"client's program", nil, wire.Shell{Args: []string{"/no/such/program", "secret"}}, wire.Claims{}, wire.CodeBadRequest, `start "/no/such/program": no such file or directory`},
		{"work directory", func(s *authz.Shell) { s.Exec.WorkDir = "/no/such/dir" }, wire.Shell{}, wire.Claims{}, wire.CodeInternal, `work directory "/no/such/dir": no such file or directory`},
		{"session key", nil, wire.Shell{}, wire.Claims{Confirm: &wire.Confirmation{}}, wire.CodeBadRequest, ""},
	} {
		shell := *n.source.Shell
		if c.change != nil {
			c.change(n.source.Shell)
		}
		_, err := n.r.Open(testContext(t), n.grant(c.sh), c.claims, []byte(requestToken))
		*n.source.Shell = shell
		if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: code %s, %v", c.name, errs.CodeOf(err), err)
		}
	}
	if len(n.held()) != 0 || n.r.Count() != 0 {
		t.Error("something was started")
	}
}

// TestAccountThatMayNotLogIn: nologin is Debian's shell for services.
func TestAccountThatMayNotLogIn(t *testing.T) {
	if _, err := user.Lookup("daemon"); err != nil {
		t.Skip("NOT TESTED: there is no user daemon")
	}
	n := newNode(t)
	n.source.Shell.Exec.User = "daemon"
	_, err := n.r.Open(testContext(t), n.grant(wire.Shell{}), wire.Claims{}, nil)
	if errs.CodeOf(err) != wire.CodeDenied || !strings.Contains(err.Error(), "permits no login") {
		t.Errorf("got %v", err)
	}
}

// TestRootOnly: without root another user is a clear error. The check needs no
// other user to run as.
func TestRootOnly(t *testing.T) {
	if err := mayBecome(pty.Account{Name: "other", UID: 1234, GID: 1000}, 1000, 1000); errs.CodeOf(err) != wire.CodeInternal || errs.HintOf(err) == "" {
		t.Errorf("another user: %v", err)
	}
	if err := mayBecome(pty.Account{Name: "me", UID: 1000, GID: 50}, 1000, 1000); err == nil {
		t.Error("another group")
	}
	for _, euid := range []int{0, 1000} {
		if err := mayBecome(pty.Account{Name: "me", UID: 1000, GID: 1000}, euid, 1000); err != nil {
			t.Errorf("as %d: %v", euid, err)
		}
	}
}

// TestLoginEnvironment is what a program really gets.
func TestLoginEnvironment(t *testing.T) {
	n := newNode(t)
	n.source.Shell.Exec.Env = map[string]string{"CONFIGURED": "yes", "LANG": "C"}
	s := n.open(wire.Shell{Args: []string{"/usr/bin/env"}, Env: map[string]string{"LANG": "xx", "LD_PRELOAD": "evil"}, PTY: true, Term: "vt100"})
	v := view(t, s, Start{Tok: []byte(requestToken)})
	v.session()
	v.exit()
	a := account(t)
	env := strings.Split(strings.TrimSpace(strings.ReplaceAll(v.text.String(), "\r", "")), "\n")
	for _, want := range []string{
		"HOME=" + a.Home, "USER=" + a.Name, "LOGNAME=" + a.Name, "SHELL=" + a.Shell, "TERM=vt100",
		"CONFIGURED=yes", "LANG=C", "ETCHA_SESSION=" + s.ID(),
	} {
		if !slices.Contains(env, want) {
			t.Errorf("no %q in %q", want, env)
		}
	}
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if !slices.Contains([]string{"HOME", "USER", "LOGNAME", "SHELL", "TERM", "CONFIGURED", "LANG", "ETCHA_SESSION", "PATH", "MAIL"}, name) {
			t.Errorf("%q does not belong there", e)
		}
	}
}

// TestLoginShell: without a configured command the account's own shell is
// started as a login shell.
func TestLoginShell(t *testing.T) {
	n := newNode(t)
	n.source.Shell.Exec.Argv = nil
	s := n.open(wire.Shell{})
	v := view(t, s, Start{Tok: []byte(requestToken)})
	v.session()
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("echo $0\n"), EOF: true})
	if v.exit(); v.text.String() != "-"+filepath.Base(account(t).Shell)+"\n" {
		t.Errorf("read %q", v.text.String())
	}
}

func TestEnviron(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n := &node{tb: t, opener: newKey(t, "alice")}
	n.source = authz.Source{Name: "debug", Keys: []token.PublicKey{n.opener}, Shell: &authz.Shell{AcceptEnv: []string{"*"}}}
	sys := system{root}
	mortal, god := pty.Account{Name: "op", UID: 1000, Home: "/home/op", Shell: "/bin/sh"}, pty.Account{Name: "root", Home: "", Shell: "/bin/sh"}
	inherited := []string{"PATH=/inherited", "FOO=inherited", "HOME=/daemon", "LANG=it", "etcha_run_systemMetricsKey=secret", "ETCHA_X=1", "NOTIFY_SOCKET=/x", "LISTEN_FDS=1", "odd"}
	check := func(name string, a pty.Account, sh wire.Shell, want ...string) {
		t.Helper()
		if got := sys.environ(n.grant(sh), a, inherited); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	check("a bare system", mortal, wire.Shell{}, "HOME=/home/op", "LANG=C.UTF-8", "LOGNAME=op", "PATH="+defaultPath, "SHELL=/bin/sh", "USER=op")
	check("root", god, wire.Shell{}, "HOME=/", "LANG=C.UTF-8", "LOGNAME=root", "PATH="+defaultRootPath, "SHELL=/bin/sh", "USER=root")
	write("/etc/login.defs", "# ENV_PATH x\nENV_SUPATH\tPATH=/sbin:/bin\nENV_PATH PATH=/bin\n")
	write("/etc/default/locale", "# x\nLANG=\"de_DE.UTF-8\"\n")
	if err := os.MkdirAll(filepath.Join(root, "/var/mail"), 0o755); err != nil {
		t.Fatal(err)
	}
	check("a configured system", mortal, wire.Shell{PTY: true, Term: "vt100"},
		"HOME=/home/op", "LANG=de_DE.UTF-8", "LOGNAME=op", "MAIL=/var/mail/op", "PATH=/bin", "SHELL=/bin/sh", "TERM=vt100", "USER=op")
	check("its root", god, wire.Shell{},
		"HOME=/", "LANG=de_DE.UTF-8", "LOGNAME=root", "MAIL=/var/mail/root", "PATH=/sbin:/bin", "SHELL=/bin/sh", "USER=root")
	n.source.Shell.Exec.EnvInherit = true
	check("inherited", mortal, wire.Shell{Env: map[string]string{"LANG": "fr", "BAR": "client"}},
		"BAR=client", "FOO=inherited", "HOME=/home/op", "LANG=fr", "LOGNAME=op", "MAIL=/var/mail/op", "PATH=/inherited", "SHELL=/bin/sh", "USER=op")
	n.source.Shell.Exec.Env = map[string]string{"BAR": "configured", "PATH": "/configured", "TERM": "configured"}
	check("configured", mortal, wire.Shell{Env: map[string]string{"BAR": "client"}, PTY: true},
		"BAR=configured", "FOO=inherited", "HOME=/home/op", "LANG=it", "LOGNAME=op", "MAIL=/var/mail/op", "PATH=/configured", "SHELL=/bin/sh", "TERM=configured", "USER=op")
}

func FuzzRecord(f *testing.F) {
	_, confirm, err := token.NewConfirm()
	if err != nil {
		f.Fatal(err)
	}
	good, err := memo{Grant: authz.Record{Source: "debug"}, User: "op", Confirm: &confirm}.encode()
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range []string{string(good), `{}`, `{"version":1}`, `{"version":1}{}`, `{"version":1,"x":2}`, `{"version":1,"confirm":{}}`, `[]`, ``} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeMemo(b)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeMemo(again)
		if err != nil || back.User != r.User {
			t.Errorf("%q became %q, %v", b, again, err)
		}
		if twice, err := back.encode(); err != nil || string(twice) != string(again) {
			t.Errorf("%q became %q, then %q, %v", b, again, twice, err)
		}
		if key, err := r.confirmKey(); err != nil || key.IsZero() != (r.Confirm == nil) {
			t.Errorf("a record with an unusable key: %v", err)
		}
	})
}

func TestRecordsAreStrict(t *testing.T) {
	for _, b := range []string{`{}`, `{"version":2}`, `{"version":1}x`, `{"version":1,"more":1}`, `{"version":1,"confirm":{"jwk":{}}}`, ``, `null`, "[" + strings.Repeat(" ", keeper.MaxMeta)} {
		if _, err := decodeMemo([]byte(b)); err == nil {
			t.Errorf("%.40q is a record", b)
		}
	}
}
