package server

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"

	"etcha/go/authz"
	"etcha/go/config"
	"etcha/go/errs"
	"etcha/go/metrics"
	"etcha/go/pty"
	"etcha/go/rule"
	"etcha/go/session"
	"etcha/go/token"
	"etcha/go/wire"
)

// settings is what a configuration means to the handler. A reload replaces it
// whole; a request sees one from its beginning to its end.
type settings struct {
	config     *config.Config
	policy     *authz.Policy
	candidates *candidates
	sources    []metrics.Source
	proxies    proxies
	allow      allowance
	names      []string // of this machine
	metricsKey [sha256.Size]byte
	metricsOn  bool
	warnings   []string // for the log, once
}

// newSettings prepares a configuration that go/config has checked, and checks
// it against this machine. It changes nothing.
func newSettings(c *config.Config) (*settings, error) {
	s := &settings{config: c, names: ownNames("").dns}
	var err error
	if s.proxies, err = parseProxies(c.HTTPServer.TrustedProxies); err != nil {
		return nil, err
	}
	if s.allow, err = allowanceOf(c.HTTPServer.RateLimit); err != nil {
		return nil, err
	}
	if key := c.Run.SystemMetricsKey.Reveal(); key != "" {
		s.metricsKey, s.metricsOn = sha256.Sum256([]byte(key)), true
	}
	all, err := s.readSources(c)
	if err != nil {
		return nil, err
	}
	s.policy = authz.New(all, c.Run.Labels)
	s.candidates, err = newCandidates(all)
	return s, err
}

// Check finds what would keep a node with this configuration, which go/config has
// checked, from starting on this machine as this user: accounts, keys,
// certificates. It changes nothing. The warnings are about what would not do what
// it looks like.
func Check(c *config.Config) (warnings []string, err error) {
	s, err := newSettings(c)
	if err != nil {
		return nil, err
	}
	_, err = readTLS(c.HTTPServer)
	return s.warnings, err
}

// readSources makes the sources in the order of their names, so that the first
// of several errors is always the same.
func (s *settings) readSources(c *config.Config) ([]authz.Source, error) {
	shared, err := parseKeys("run.verifyKeys", c.Run.VerifyKeys)
	if err != nil {
		return nil, err
	}
	var all []authz.Source
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		src := c.Sources[name]
		own, err := parseKeys("sources."+name+".verifyKeys", src.VerifyKeys)
		if err != nil {
			return nil, err
		}
		out := authz.Source{Name: name, BreakGlass: src.BreakGlass, Keys: union(shared, own)}
		if src.Shell != nil {
			if out.Shell, err = s.readShell(c, name, src); err != nil {
				return nil, fmt.Errorf("source %q: %w", name, err)
			}
			s.sources = append(s.sources, metrics.Source{Name: name, BreakGlass: src.BreakGlass})
			if n := out.Shell.Require; n > 0 && len(out.Keys) <= n {
				s.warn("source %q asks for %d counter-signatures by others than the opener, and only %d keys may use it: nobody can open it", name, n, len(out.Keys))
			}
			if len(out.Keys) == 0 {
				s.warn("source %q has a shell but no key may open it: set run.verifyKeys or its verifyKeys", name)
			}
		}
		all = append(all, out)
	}
	return all, nil
}

func (s *settings) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

func parseKeys(setting string, texts []string) ([]token.PublicKey, error) {
	var keys []token.PublicKey
	for i, text := range texts {
		k, err := token.ParsePublic(text)
		if err != nil {
			return nil, fmt.Errorf("%s, entry %d: %w", setting, i+1, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// union joins two lists without the doubles, which would cost a check each.
func union(a, b []token.PublicKey) []token.PublicKey {
	var keys []token.PublicKey
	for _, k := range slices.Concat(a, b) {
		if !slices.ContainsFunc(keys, k.Equal) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (s *settings) readShell(c *config.Config, name string, src config.Source) (*authz.Shell, error) {
	sh := src.Shell
	out := &authz.Shell{
		AcceptEnv: sh.AcceptEnv, AllowCommand: sh.AllowCommand, Umask: 0o022,
		Window: uint64(sh.Window), Scrollback: uint64(sh.Scrollback),
		ResumeFor: sh.ResumeFor, IdleTimeout: sh.IdleTimeout, MaxAge: c.Run.TimeoutShell,
		Discard: sh.Detached == "discard", Keep: sh.Keep, MaxSessions: sh.MaxSessions,
		Require: sh.Require, DetachFor: sh.DetachFor, Obscure: wire.Obscure(sh.Obscure),
		MustRecord: sh.RecordRequired,
	}
	if sh.Record != "off" {
		out.Record = sh.Record
	}
	if sh.Umask != nil {
		out.Umask = uint32(*sh.Umask)
	}
	if out.Window == 0 || out.Window > wire.MaxWindow {
		out.Window = min(max(out.Window, wire.DefaultWindow), wire.MaxWindow)
	}
	var err error
	if out.Rule, err = compile("shell.rule", sh.Rule); err != nil {
		return nil, err
	}
	if out.Share, err = compile("shell.share", sh.Share); err != nil {
		return nil, err
	}
	if out.Exec, err = s.readExec(c, name, ""); err != nil {
		return nil, err
	}
	for _, process := range slices.Sorted(maps.Keys(src.Processes)) {
		x, err := s.readExec(c, name, process)
		if err != nil {
			return nil, fmt.Errorf("process %q: %w", process, err)
		}
		if out.Processes == nil {
			out.Processes = map[string]authz.Exec{}
		}
		out.Processes[process] = x
	}
	return out, nil
}

// compile makes a rule; none is nil.
func compile(setting, text string) (*rule.Rule, error) {
	if text == "" {
		return nil, nil
	}
	r, err := rule.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return r, nil
}

// readExec merges one exec and checks it against this machine.
func (s *settings) readExec(c *config.Config, source, process string) (authz.Exec, error) {
	x, argv, err := c.ExecFor(source, process)
	if err != nil {
		return authz.Exec{}, err
	}
	if err := checkAccount(x.User, x.Group); err != nil {
		return authz.Exec{}, err
	}
	out := authz.Exec{
		Argv: argv, User: x.User, Group: x.Group, WorkDir: x.WorkDir,
		Env: x.Env, EnvInherit: x.EnvInherit != nil && *x.EnvInherit,
	}
	// A program or a folder may come later, so that is no reason not to start.
	if why := session.Check(out); why != nil {
		s.warn("source %q: its shell cannot be started as things are: %v", source, why)
	}
	return out, nil
}

// checkAccount refuses users and groups that do not exist, and such that only
// root could become.
func checkAccount(name, group string) error {
	acct, err := pty.LookupAccount(name, group)
	if err != nil {
		return err
	}
	euid := os.Geteuid()
	if euid == 0 {
		return nil
	}
	if int(acct.UID) != euid {
		return needsRoot("user", cmp.Or(name, acct.Name))
	}
	if group != "" && !hasGroup(acct.GID) {
		return needsRoot("group", group)
	}
	return nil
}

func needsRoot(setting, value string) error {
	me := fmt.Sprint(os.Geteuid())
	if u, err := user.LookupId(me); err == nil {
		me = u.Username
	}
	return &errs.Error{
		Text: fmt.Sprintf("%s %q needs a node that runs as root, this one runs as %s", setting, value, me),
		Hint: strings.TrimSpace("run the node as root, or remove " + setting),
	}
}

// hasGroup reports whether this process may become a member of the group, as
// its own primary group, without privileges.
func hasGroup(gid uint32) bool { return os.Getegid() == int(gid) }
