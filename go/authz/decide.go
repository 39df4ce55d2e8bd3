package authz

import (
	"slices"
	"strings"
	"time"

	"etcha/go/errs"
	"etcha/go/rule"
	"etcha/go/token"
	"etcha/go/wire"
)

// asked is what a session was opened with, as it was decided: what the rules of
// later are about.
type asked struct {
	line   string            // the client's command line; empty: none, or args is the client's own
	args   []string          // the program and its arguments
	env    map[string]string // the client's variables that passed the filter
	detach bool
	whole  bool // all of it is known
}

// command is the word of the same name in rules.
func (a asked) command(given bool) string {
	switch {
	case !given:
		return ""
	case a.line != "":
		return a.line
	default:
		return strings.Join(a.args, " ")
	}
}

// input is what the rules of the grant's source are asked about, but for who
// asks and when.
func (g Grant) input(s *Source, labels map[string]string) rule.Env {
	return rule.Env{
		Source: g.source, Process: s.ruleProcess(g.process), Command: g.asked.command(g.command), Args: g.asked.args,
		PTY: g.terminal.On, Detach: g.asked.detach, Env: g.asked.env, Labels: labels, Opener: ruleKey(s.named(g.id.Key)),
	}
}

// ruleProcess is the name of a process as rules know it: all names of the
// source's own shell are one, or a client could choose the one that a rule does
// not name.
func (s *Source) ruleProcess(name string) string {
	if _, ok := s.Shell.Processes[name]; !ok && (name == processShell || name == processWeb) {
		return ""
	}
	return name
}

// named is a key as the configuration names it now: who has been known for
// longer may have come under a name that means something else by now.
func (s *Source) named(k token.PublicKey) token.PublicKey {
	if i := slices.IndexFunc(s.Keys, k.Equal); i >= 0 {
		return s.Keys[i]
	}
	return k
}

func ruleKey(k token.PublicKey) rule.Key { return rule.Key{ID: k.ID(), Thumbprint: k.Thumbprint()} }

// decide asks the source's rule whether id may do op, and for another one's
// session whether it is shared.
func (s *Source) decide(e rule.Env, id Identity, op wire.Op, own bool, now time.Time) error {
	e.Op, e.Key, e.Sub, e.Own, e.Now = string(op), ruleKey(s.named(id.Key)), id.Subject, own, now.Local()
	if id.Addr.IsValid() {
		e.Addr = id.Addr.Unmap().String()
	}
	if s.Shell.Rule != nil {
		if yes, err := s.Shell.Rule.True(e); !yes {
			return deniedBy(err, "denied by the rule of source %q (shell.rule)", s.Name).
				WithHint("it decides by key, address, request and time; whoever runs the node knows what it wants")
		}
	}
	if own {
		return nil
	}
	if s.Shell.Share == nil {
		return errs.New(wire.CodeDenied, "the session is another one's, and source %q shares none (shell.share)", s.Name).
			WithHint("whoever runs the node can allow it by a rule in shell.share of the source")
	}
	if yes, err := s.Shell.Share.True(e); !yes {
		return deniedBy(err, "denied by the share rule of source %q (shell.share)", s.Name).
			WithHint("it decides who may %s the sessions of others; whoever runs the node knows what it wants", op)
	}
	return nil
}

// deniedBy is a refusal by a rule. That it could not be evaluated is for the log.
func deniedBy(cause error, format string, args ...any) *errs.Error {
	e := errs.New(wire.CodeDenied, format, args...)
	if cause != nil {
		return e.Because(cause)
	}
	return e
}
