package authz

import (
	"maps"
	"slices"
	"strings"

	"etcha/go/errs"
	"etcha/go/shellwords"
	"etcha/go/token"
	"etcha/go/wire"
)

// Names of processes that mean the source's own shell, unless the source has a
// process of that name.
const (
	processShell = "shell"
	processWeb   = "web"
)

// Terminals of clients that do not say.
const (
	defaultTerm = "xterm"
	defaultCols = 80
	defaultRows = 24
)

// Open decides whether id may open the session that the claims, whose operation
// is open, ask for: whether the source accepts the key, what would be started,
// whether the session may be opened to be left, whether the source's rule is
// true, and last whether the counter-signatures suffice. Only when everything
// else permits are these used up. An [ApprovalError] says what they lack.
func (p *Policy) Open(id Identity, c wire.Claims, x Context) (Grant, error) {
	s, err := p.shell(id.Key, c.Source)
	if err != nil {
		return Grant{}, err
	}
	g, err := s.grant(id, *c.Shell)
	if err != nil {
		return Grant{}, err
	}
	if err := s.decide(g.input(s, p.labels), id, wire.OpOpen, true, x.Now); err != nil {
		return Grant{}, err
	}
	if g.approvers, err = s.approved(id, c, x); err != nil {
		return Grant{}, err
	}
	g.starts = true
	return g, nil
}

// grant is what the client asks for, as far as the source's settings go. It
// starts nothing yet.
func (s *Source) grant(id Identity, sh wire.Shell) (Grant, error) {
	if sh.Op != wire.OpOpen {
		return Grant{}, errs.New(wire.CodeBadRequest, "the operation is %q, not %q", clip(string(sh.Op)), wire.OpOpen)
	}
	exec, err := s.process(sh.Process)
	if err != nil {
		return Grant{}, err
	}
	argv, command, err := s.argv(exec.Argv, sh)
	if err != nil {
		return Grant{}, err
	}
	env, err := filterEnv(s.Shell.AcceptEnv, sh.Env)
	if err != nil {
		return Grant{}, err
	}
	terminal, err := terminalOf(sh)
	if err != nil {
		return Grant{}, err
	}
	if sh.Detach && s.Shell.DetachFor <= 0 {
		return Grant{}, s.deniesDetach()
	}
	exec = exec.clone()
	exec.Argv = argv
	g := Grant{
		id: id, source: s.Name, breakGlass: s.BreakGlass, process: sh.Process, command: command,
		digest: digest(argv), exec: exec, terminal: terminal, shell: s.Shell.clone(),
		asked: asked{line: sh.Command, args: slices.Clone(argv), env: env, detach: sh.Detach, whole: true},
	}
	return g, g.Record().fits()
}

func (s *Source) deniesDetach() error {
	return errs.New(wire.CodeDenied, "source %q lets no session be opened to be left (shell.detachFor)", s.Name).
		WithHint("whoever runs the node can set shell.detachFor of the source, such as \"12h\"; without it a session outlives its client for shell.resumeFor")
}

// shell is the source, which has a shell and accepts the key. The refusal is
// the one for an unverified request.
func (p *Policy) shell(key token.PublicKey, source string) (*Source, error) {
	s := p.sources[source]
	if s == nil || s.Shell == nil || key.IsZero() || !slices.ContainsFunc(s.Keys, key.Equal) {
		return nil, errs.New(wire.CodeNotFound, "not found")
	}
	return s, nil
}

// process is the program behind the name of a process.
func (s *Source) process(name string) (Exec, error) {
	if e, ok := s.Shell.Processes[name]; ok && name != "" {
		return e, nil
	}
	switch name {
	case "", processShell, processWeb:
		return s.Shell.Exec, nil
	}
	err := errs.New(wire.CodeBadRequest, "source %q has no process %q", s.Name, clip(name))
	if names := slices.Sorted(maps.Keys(s.Shell.Processes)); len(names) > 0 {
		err = err.WithHint("it has %s", strings.Join(names, ", "))
	}
	return Exec{}, err
}

// argv is the configured one, or the client's where the source allows it.
func (s *Source) argv(configured []string, sh wire.Shell) (argv []string, command bool, err error) {
	if sh.Command == "" && len(sh.Args) == 0 {
		return slices.Clone(configured), false, nil
	}
	if !s.Shell.AllowCommand {
		return nil, false, s.deniesCommand()
	}
	if sh.Command != "" && len(sh.Args) > 0 {
		return nil, false, errs.New(wire.CodeBadRequest, "both a command and arguments are given")
	}
	argv = slices.Clone(sh.Args)
	if sh.Command != "" {
		if argv, err = shellwords.Split(sh.Command); err != nil {
			return nil, false, errs.New(wire.CodeBadRequest, "the command cannot be split into words: %s", err)
		}
	}
	return argv, true, checkArgv(argv)
}

func (s *Source) deniesCommand() error {
	return errs.New(wire.CodeDenied, "source %q does not allow commands (shell.allowCommand)", s.Name).
		WithHint("leave the command out to get the source's own shell")
}

func checkArgv(argv []string) error {
	switch {
	case len(argv) == 0 || argv[0] == "":
		return errs.New(wire.CodeBadRequest, "the command is empty")
	case len(argv) > wire.MaxArgs:
		return errs.New(wire.CodeBadRequest, "the command has %d words; the limit is %d", len(argv), wire.MaxArgs)
	case slices.ContainsFunc(argv, hasNUL):
		return errs.New(wire.CodeBadRequest, "the command holds a NUL byte")
	case isAssignment(argv[0]):
		// It would be looked for as a program, and its name, which holds a
		// value meant for the environment, would be in the log.
		return errs.New(wire.CodeBadRequest, "the command begins with an assignment, and no shell reads it").
			WithHint("write env NAME=value …, or sh -c '…'")
	}
	return nil
}

// isAssignment: as in POSIX (XCU 2.9.1), a name and an equals sign.
func isAssignment(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && validName(name)
}

func hasNUL(s string) bool { return strings.IndexByte(s, 0) >= 0 }

// terminalOf is the terminal asked for, with defaults for what is left out.
func terminalOf(sh wire.Shell) (Terminal, error) {
	if !sh.PTY {
		return Terminal{}, nil
	}
	t := Terminal{On: true, Term: sh.Term, Cols: sh.Cols, Rows: sh.Rows}
	if t.Term == "" {
		t.Term = defaultTerm
	}
	if t.Cols == 0 {
		t.Cols = defaultCols
	}
	if t.Rows == 0 {
		t.Rows = defaultRows
	}
	if !validTerm(t.Term) {
		return Terminal{}, errs.New(wire.CodeBadRequest, "the terminal type is not a name of at most %d bytes", wire.MaxTerm)
	}
	return t, CheckSize(t.Cols, t.Rows)
}

// CheckSize refuses a terminal size that no terminal has.
func CheckSize(cols, rows uint16) error {
	if cols == 0 || rows == 0 || cols > wire.MaxCells || rows > wire.MaxCells {
		return errs.New(wire.CodeBadRequest, "a terminal of %d columns and %d rows; both must be 1 to %d", cols, rows, wire.MaxCells)
	}
	return nil
}

// validTerm accepts what the terminfo database names its files: printable,
// without the separators of paths and formats.
func validTerm(term string) bool {
	if len(term) > wire.MaxTerm {
		return false
	}
	for i := range len(term) {
		if c := term[i]; c <= ' ' || c > '~' || c == '/' || c == '%' {
			return false
		}
	}
	return term != "" && term != "." && term != ".."
}

// clipAt bounds a client's text that is quoted back, bytes.
const clipAt = 64

func clip(s string) string {
	if len(s) <= clipAt {
		return s
	}
	return s[:clipAt] + "…"
}
