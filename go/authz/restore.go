package authz

import (
	"fmt"
	"time"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// Restore decides again about a session that runs: would it be permitted now?
// The grant has the present settings, and starts nothing. The refusal is a
// denial that says what changed.
//
// Permitted is a session whose source has a shell, still accepts the opener's
// key and has the process; that runs as the user and group it would be given
// now; whose command is the configured one, or could be asked for; that was not
// opened to be left where none may be any more; and for which the source's rule
// is true as for opening it now, by its opener, from the address it was opened
// from. A rule over the time of day thus ends sessions whose time is over at the
// next change of the configuration, or restart of the daemon, not before. A
// changed environment, folder or umask is no reason to end what runs.
// Counter-signatures are not asked for again.
func (p *Policy) Restore(rec Record, now time.Time) (Grant, error) {
	key, err := token.ParsePublic(rec.Key)
	if err != nil {
		return Grant{}, fmt.Errorf("restore session of source %q: opener's key: %w", rec.Source, err)
	}
	exec, s, err := p.present(key, rec)
	if err != nil {
		return Grant{}, err
	}
	g, err := rec.grant(key)
	if err != nil {
		return Grant{}, err
	}
	g.breakGlass, g.shell = s.BreakGlass, s.Shell.clone()
	g.exec = Exec{User: exec.User, Group: exec.Group}
	if err := s.knows(g, true); err != nil {
		return Grant{}, err
	}
	if err := s.decide(g.input(s, p.labels), g.id, wire.OpOpen, true, now); err != nil {
		return Grant{}, err
	}
	return g, nil
}

// Permits is nil while [Policy.Restore] would grant.
func (p *Policy) Permits(rec Record, now time.Time) error {
	_, err := p.Restore(rec, now)
	return err
}

func (p *Policy) present(key token.PublicKey, rec Record) (Exec, *Source, error) {
	deny := func(format string, args ...any) (Exec, *Source, error) {
		return Exec{}, nil, errs.New(wire.CodeDenied, format, args...)
	}
	s := p.sources[rec.Source]
	switch {
	case s == nil:
		return deny("source %q is gone", rec.Source)
	case s.Shell == nil:
		return deny("source %q has no shell any more", rec.Source)
	}
	if _, err := p.shell(key, rec.Source); err != nil {
		return deny("source %q does not accept the opener's key any more", rec.Source)
	}
	exec, err := s.process(rec.Process)
	switch {
	case err != nil:
		return deny("source %q has no process %q any more", rec.Source, rec.Process)
	case exec.User != rec.User:
		return deny("source %q runs as another user now", rec.Source)
	case exec.Group != rec.Group:
		return deny("source %q runs as another group now", rec.Source)
	case rec.Command && !s.Shell.AllowCommand:
		return Exec{}, nil, s.deniesCommand()
	case rec.Detach && s.Shell.DetachFor <= 0:
		return Exec{}, nil, s.deniesDetach()
	case !s.Shell.AllowCommand && digest(exec.Argv) != rec.Digest:
		return deny("source %q has another command now", rec.Source)
	}
	return exec, s, nil
}
