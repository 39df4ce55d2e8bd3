package session

import (
	"bufio"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"etcha/go/authz"
	"etcha/go/pty"
)

// What a login has where the system says nothing else.
const (
	defaultPath     = "/usr/local/bin:/usr/bin:/bin"
	defaultRootPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	defaultLang     = "C.UTF-8"
	mailFolder      = "/var/mail"
	// maxSystemFile bounds what is read of a file of the system, bytes.
	maxSystemFile = 64 << 10
)

// system is where the settings of logins are found: "" but in tests.
type system struct{ root string }

// environ is a program's whole environment. Later ones win: what is inherited,
// the login's, the client's, the configured.
func (sys system) environ(g authz.Grant, a pty.Account, inherited []string) []string {
	exec := g.Exec()
	env := map[string]string{}
	if exec.EnvInherit {
		inherit(env, inherited)
	}
	path, hasPath := env["PATH"]
	sys.login(env, a)
	if hasPath {
		env["PATH"] = path
	}
	maps.Copy(env, g.ClientEnv())
	if t := g.Terminal(); t.On {
		env["TERM"] = t.Term
	}
	maps.Copy(env, exec.Env)
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// login sets what a login has.
func (sys system) login(env map[string]string, a pty.Account) {
	env["HOME"], env["SHELL"], env["USER"], env["LOGNAME"] = a.Home, a.Shell, a.Name, a.Name
	if env["HOME"] == "" {
		env["HOME"] = "/"
	}
	env["PATH"] = sys.path(a.UID == 0)
	if _, err := os.Stat(filepath.Join(sys.root, mailFolder)); err == nil {
		env["MAIL"] = filepath.Join(mailFolder, filepath.Base(a.Name))
	}
	if env["LANG"] == "" {
		env["LANG"] = sys.lang()
	}
}

// path is the PATH of login.defs(5).
func (sys system) path(root bool) string {
	key, path := "ENV_PATH", defaultPath
	if root {
		key, path = "ENV_SUPATH", defaultRootPath
	}
	sys.lines("/etc/login.defs", func(line string) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == key {
			if p := strings.TrimPrefix(fields[1], "PATH="); p != "" {
				path = p
			}
		}
	})
	return path
}

// lang is the system's language, locale.conf(5).
func (sys system) lang() string {
	lang := defaultLang
	for _, file := range []string{"/etc/default/locale", "/etc/locale.conf"} {
		sys.lines(file, func(line string) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "LANG="); ok {
				if v = strings.Trim(v, `"'`); v != "" {
					lang = v
				}
			}
		})
	}
	return lang
}

// lines reads a text file, which may be missing.
func (sys system) lines(file string, line func(string)) {
	f, err := os.Open(filepath.Join(sys.root, file))
	if err != nil {
		return
	}
	defer f.Close()
	for s := bufio.NewScanner(io.LimitReader(f, maxSystemFile)); s.Scan(); {
		line(s.Text())
	}
}

// inherit takes over the daemon's variables, but for its configuration, which
// may hold secrets, and for what its service manager meant for it alone.
func inherit(env map[string]string, inherited []string) {
	for _, e := range inherited {
		name, value, ok := strings.Cut(e, "=")
		if ok && name != "" && !private(name) {
			env[name] = value
		}
	}
}

func private(name string) bool {
	upper := strings.ToUpper(name)
	for _, prefix := range []string{"ETCHA_", "LISTEN_", "WATCHDOG_"} {
		if strings.HasPrefix(upper, prefix) {
			return true
		}
	}
	return slices.Contains([]string{
		"NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "INVOCATION_ID", "JOURNAL_STREAM", "MAINPID", "MANAGERPID",
		"MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "SYSTEMD_EXEC_PID", "FDSTORE",
		"CONFIGURATION_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY",
	}, upper)
}
