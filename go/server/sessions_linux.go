package server

import (
	"net/http"
	"strings"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/metrics"
	"etcha/go/session"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// Requests about sessions by others than their own client. They name no source:
// whoever holds a key of any source may ask, and is told what policy permits.

// sessions answers with the list of sessions, once or live.
func (q *request) sessions() {
	live, id, _, ok := q.asked(wire.OpList)
	if !ok {
		return
	}
	if strings.Contains(q.r.Header.Get("Accept"), wire.TypeEventStream) {
		q.feed(live, id)
		return
	}
	q.json(http.StatusOK, wire.TypeJSON, q.list(live, id))
}

// list is the sessions that somebody may see.
func (q *request) list(live *shells, id authz.Identity) wire.SessionList {
	all := live.sessions.List(q.h.settings.Load().policy, id, q.h.journal.Now())
	return wire.SessionList{Node: q.h.identity.ID(), Sessions: all}
}

// sources answers with what the key may use.
func (q *request) sources() {
	_, id, _, ok := q.asked(wire.OpSources)
	if !ok {
		return
	}
	q.json(http.StatusOK, wire.TypeJSON, wire.SourceList{
		Node: q.h.identity.ID(), Sources: q.policy().Sources(id, q.context()),
	})
}

// oneSession answers watch, join and kill.
func (q *request) oneSession() {
	q.session = q.r.PathValue("session")
	live, id, c, ok := q.asked(wire.OpWatch, wire.OpJoin, wire.OpKill)
	if !ok {
		return
	}
	s, ok := live.sessions.FindByID(q.session)
	if !ok {
		q.notFound(metrics.RefusedNoSession, errNoSession)
		return
	}
	q.source = s.Source()
	op := c.Shell.Op
	if err := q.policy().Act(id, op, s.Record(), q.context()); err != nil {
		q.denied(metrics.RefusedNoSession, err)
		return
	}
	if op == wire.OpKill {
		if err := s.Kill(id); err != nil {
			q.fail(err)
			return
		}
		q.json(http.StatusOK, wire.TypeJSON, struct{}{})
		return
	}
	q.view(s, id, c)
}

// view answers with a session's events for somebody beside its owner.
func (q *request) view(s *session.Session, id authz.Identity, c wire.Claims) {
	v, err := s.Admit(q.r.Context(), id, c)
	if err != nil {
		q.denied(metrics.RefusedNoSession, err)
		return
	}
	q.events(func(w *sse.Writer) error {
		return v.Stream(q.r.Context(), w, session.Start{From: c.Shell.Offset, Tok: q.body})
	})
}

var errNoSession = errs.New(wire.CodeNotFound, "no such session")

// asked verifies a request that any key of the node may make, for one of these
// operations, and uses it up. When it reports false, the request was answered.
func (q *request) asked(ops ...wire.Op) (*shells, authz.Identity, wire.Claims, bool) {
	claims, by, ok := q.verify(q.set.candidates.any(), metrics.RefusedToken)
	if !ok {
		return nil, authz.Identity{}, claims, false
	}
	live, err := q.live()
	if err == nil {
		err = permitted(claims.Shell.Op, ops)
	}
	if err == nil {
		err = q.once(claims, by)
	}
	if err != nil {
		q.fail(err)
		return nil, authz.Identity{}, claims, false
	}
	return live, q.identity(by, claims), claims, true
}

// permitted refuses an operation that the route does not have.
func permitted(op wire.Op, ops []wire.Op) error {
	for _, one := range ops {
		if op == one {
			return nil
		}
	}
	return errs.New(wire.CodeBadRequest, "operation %q does not belong here", shorten(string(op)))
}

func (q *request) identity(by token.PublicKey, c wire.Claims) authz.Identity {
	return authz.Identity{Key: by, Subject: c.Subject, Addr: q.peer}
}

// policy is the newest one: a request may have waited for its verification.
func (q *request) policy() *authz.Policy { return q.h.settings.Load().policy }

// context is where and when a policy decides.
func (q *request) context() authz.Context {
	return authz.Context{Node: q.h.identity.ID(), Now: q.h.journal.Now(), Once: q.h.approvals.Use, Used: q.h.approvals.Used}
}
