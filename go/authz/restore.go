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
// now; and whose command is the configured one, or could be asked for. A changed
// environment, folder or umask is no reason to end what runs.
func (p *Policy) Restore(rec Record, now time.Time) (Grant, error) {
	key, err := token.ParsePublic(rec.Key)
	if err != nil {
		return Grant{}, fmt.Errorf("restore session of source %q: opener's key: %w", rec.Source, err)
	}
	exec, s, err := p.present(key, rec)
	if err != nil {
		return Grant{}, err
	}
	return Grant{
		id:     Identity{Key: key, Subject: rec.Subject, Addr: rec.Addr},
		source: rec.Source, breakGlass: s.BreakGlass,
		process: rec.Process, command: rec.Command, digest: rec.Digest,
		exec:     Exec{User: exec.User, Group: exec.Group},
		terminal: Terminal{On: rec.Terminal},
		shell:    s.Shell.clone(),
	}, nil
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
	case !s.Shell.AllowCommand && digest(exec.Argv) != rec.Digest:
		return deny("source %q has another command now", rec.Source)
	}
	return exec, s, nil
}
