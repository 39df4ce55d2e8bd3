package authz

import (
	"maps"
	"slices"
	"time"

	"etcha/go/errs"
	"etcha/go/rule"
	"etcha/go/token"
	"etcha/go/wire"
)

// Act decides whether id may do op (attach, list, watch, join or kill) with the
// session of this record, and nothing else than that. The source's rule must be
// true for it. When another key opened the session the source must share it too,
// by a rule of its own: one that was written for opening must not let somebody
// watch unawares. A key that the source does not accept gets not_found, whoever
// opened the session.
func (p *Policy) Act(id Identity, op wire.Op, rec Record, x Context) error {
	s, err := p.shell(id.Key, rec.Source)
	if err != nil {
		return err
	}
	switch op {
	case wire.OpAttach, wire.OpList, wire.OpWatch, wire.OpJoin, wire.OpKill:
	default:
		return errs.New(wire.CodeBadRequest, "operation %q is not one on a session", clip(string(op)))
	}
	opener, err := token.ParsePublic(rec.Key)
	if err != nil {
		return errs.New(wire.CodeDenied, "the session's opener is not known").Because(err)
	}
	g, err := rec.grant(opener)
	if err != nil {
		return err
	}
	own := opener.Equal(id.Key)
	if err := s.knows(g, own); err != nil {
		return err
	}
	return s.decide(g.input(s, p.labels), id, op, own, x.Now)
}

// knows refuses to ask a rule about a session of which too little is known: an
// older version opened it, which kept less.
func (s *Source) knows(g Grant, own bool) error {
	if g.asked.whole || s.Shell.Rule == nil && (own || s.Shell.Share == nil) {
		return nil
	}
	return errs.New(wire.CodeDenied, "the session was opened by an older version, which kept too little for the rule of source %q (shell.rule)", s.Name).
		WithHint("open a new session")
}

// Sources is what id may use, in the order of the names: every source that
// accepts its key. Denied is decided for the source's own shell, on a terminal.
func (p *Policy) Sources(id Identity, x Context) []wire.SourceInfo {
	var list []wire.SourceInfo
	for _, name := range slices.Sorted(maps.Keys(p.sources)) {
		s := p.sources[name]
		if id.Key.IsZero() || !slices.ContainsFunc(s.Keys, id.Key.Equal) {
			continue
		}
		info := wire.SourceInfo{Source: name, BreakGlass: s.BreakGlass}
		if s.Shell != nil {
			s.describe(&info)
			if err := s.openable(id, p.labels, x.Now); err != nil {
				info.Denied = err.Text
			}
		}
		list = append(list, info)
	}
	return list
}

func (s *Source) describe(info *wire.SourceInfo) {
	info.Shell, info.Command, info.Detach = true, s.Shell.AllowCommand, s.Shell.DetachFor > 0
	info.Processes = slices.Sorted(maps.Keys(s.Shell.Processes))
	info.Recording, info.Obscure, info.Require = s.Shell.Record, s.Shell.Obscure, s.Shell.Require
}

// openable is why id may not open the source's own shell now; nil: it may.
func (s *Source) openable(id Identity, labels map[string]string, now time.Time) *errs.Error {
	e := rule.Env{Source: s.Name, Args: s.Shell.Exec.Argv, PTY: true, Labels: labels, Opener: ruleKey(id.Key)}
	err := s.decide(e, id, wire.OpOpen, true, now)
	return asRefusal(err)
}
