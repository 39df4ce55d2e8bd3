package authz

import (
	"path"
	"slices"
	"strings"
	"unicode"

	"etcha/go/errs"
	"etcha/go/wire"
)

// neverAccepted are variables that a client must not set whatever the source
// accepts: they make the loader, a shell, an interpreter or a library run code,
// or the program believe in another user. A name that ends in "*" is a prefix.
// The list is that of sudo(8) and of OpenSSH's sshd_config(5) warnings, and more.
func neverAccepted() []string {
	return []string{
		// The loader and the C library.
		"LD_*", "_RLD*", "DYLD_*", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "NLSPATH", "PATH_LOCALE", "MALLOC_*",
		"LOCALDOMAIN", "RES_OPTIONS", "HOSTALIASES", "GETCONF_DIR", "RESOLV_*", "NIS_PATH", "TZDIR",
		"TERMINFO", "TERMINFO_DIRS", "TERMCAP", "TERMPATH",
		// Shells.
		"BASH_ENV", "BASH_FUNC_*", "BASHOPTS", "SHELLOPTS", "ENV", "IFS", "CDPATH", "GLOBIGNORE", "PS4", "MAILPATH",
		"PROMPT_COMMAND", "BASH_XTRACEFD", "BASH_LOADABLES_PATH", "INPUTRC", "HISTFILE", "ZDOTDIR", "FPATH", "NULLCMD", "READNULLCMD", "TMPPREFIX",
		// Who the user is and where things are.
		"PATH", "HOME", "SHELL", "USER", "LOGNAME", "USERNAME", "MAIL", "PWD", "OLDPWD", "UID", "EUID", "TMPDIR",
		"XDG_RUNTIME_DIR", "DBUS_*", "SUDO_*", "SSH_*", "KRB5*", "ETCHA_*",
		// Interpreters and tools that load what a variable names.
		"PYTHON*", "PERL*", "RUBY*", "GEM_*", "BUNDLE_*", "LUA_*", "PHP*", "TCL*", "NODE_*", "NPM_*",
		"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_*", "CLASSPATH", "GIT_*", "OPENSSL_*", "SSLKEYLOGFILE",
		"GTK_MODULES", "GTK_PATH", "QT_PLUGIN_PATH", "LESSOPEN", "LESSCLOSE", "LESSKEY*", "EXINIT", "VIMINIT", "GVIMINIT",
	}
}

// filterEnv keeps the variables that are accepted and harmless, and drops the
// others without a word, as an SSH server does. Only what is no environment at
// all is an error.
func filterEnv(accept []string, env map[string]string) (map[string]string, error) {
	if len(env) > wire.MaxEnv {
		return nil, errs.New(wire.CodeBadRequest, "%d variables are sent; the limit is %d", len(env), wire.MaxEnv)
	}
	never := neverAccepted()
	kept := make(map[string]string, len(env))
	for name, value := range env {
		if err := checkVariable(name, value); err != nil {
			return nil, err
		}
		if accepted(accept, name) && !refused(never, name) && harmless(name, value) {
			kept[name] = value
		}
	}
	return kept, nil
}

func checkVariable(name, value string) error {
	switch {
	case !validName(name):
		return errs.New(wire.CodeBadRequest, "%q is no name of a variable", clip(name))
	case len(value) > wire.MaxEnvValue:
		return errs.New(wire.CodeBadRequest, "the variable %s has %d bytes; the limit is %d", name, len(value), wire.MaxEnvValue)
	case hasNUL(value):
		return errs.New(wire.CodeBadRequest, "the variable %s holds a NUL byte", name)
	}
	return nil
}

// validName accepts a name of POSIX (XBD 8.1), lower case too.
func validName(name string) bool {
	if name == "" || len(name) > wire.MaxEnvName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// accepted: a pattern that is malformed accepts nothing.
func accepted(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}

// refused compares without case: some programs read either.
func refused(never []string, name string) bool {
	name = strings.ToUpper(name)
	return slices.ContainsFunc(never, func(n string) bool {
		prefix, wild := strings.CutSuffix(n, "*")
		return name == n || wild && strings.HasPrefix(name, prefix)
	})
}

// harmless refuses values that do something where their variable is read: a
// function or an expansion to a shell, a path or a format to the C library.
func harmless(name, value string) bool {
	if strings.HasPrefix(value, "() {") {
		return false
	}
	switch {
	case name == "TZ":
		return harmlessZone(value)
	case name == "TERM":
		return validTerm(value)
	case name == "LANG", name == "LANGUAGE", name == "COLORTERM", strings.HasPrefix(name, "LC_"):
		return !strings.ContainsAny(value, "/%") && !strings.ContainsFunc(value, unicode.IsControl)
	case name == "PS0", name == "PS1", name == "PS2": // a shell expands its prompts
		return !strings.ContainsAny(value, "$`")
	}
	return true
}

// harmlessZone refuses a time zone that is a file of the client's choice.
func harmlessZone(zone string) bool {
	name := strings.TrimPrefix(zone, ":")
	if strings.HasPrefix(name, "/") || strings.Contains(name, "..") {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}
