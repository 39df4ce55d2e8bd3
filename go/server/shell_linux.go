package server

import (
	"errors"
	"net/http"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/metrics"
	"etcha/go/session"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// errHanded is the refusal of a session that this daemon does not have any more.
var errHanded = errors.New("the node leaves, and its sessions go to the next one")

// errNoKeeper is the refusal while there is no keeper.
var errNoKeeper = errs.New(wire.CodeUnready, "the process that holds the sessions is not available")

// open starts a session of a source; the answer is its output.
func (q *request) open() {
	q.source = q.r.PathValue("source")
	keys, otherwise := q.opener()
	claims, by, ok := q.verify(keys, otherwise)
	if !ok {
		return
	}
	if claims.Shell.Op != wire.OpOpen {
		q.fail(errs.New(wire.CodeBadRequest, "operation %q is not one that opens a session", shorten(string(claims.Shell.Op))))
		return
	}
	live, err := q.live()
	if err == nil {
		err = q.once(claims, by)
	}
	if err != nil {
		q.fail(err)
		return
	}
	grant, err := q.policy().Open(q.identity(by, claims), claims, q.context())
	if err != nil {
		q.denied(metrics.RefusedToken, err)
		return
	}
	s, err := live.sessions.Open(q.r.Context(), grant, claims, q.body)
	if err != nil {
		q.fail(err)
		return
	}
	q.session = s.ID()
	if err := q.writeDown(s, grant); err != nil {
		q.fail(err)
		return
	}
	q.stream(s, session.Start{Tok: q.body})
}

// writeDown has the audit log say that the session was opened. Nobody knows the
// session's name yet, so one that must be answered for and is not written down
// can be ended without anybody having typed.
func (q *request) writeDown(s *session.Session, g authz.Grant) error {
	must := g.Shell().MustRecord || q.set.config.Run.Ship.Required
	err := q.h.witness.opened(q.r.Context(), s.ID(), q.set.config.Run.Ship.Required)
	if err == nil || !must {
		return nil
	}
	err = errs.New(wire.CodeUnready, "the audit log cannot take this session down, and it has to").Because(err)
	if killed := s.Kill(authz.Identity{}); killed != nil {
		return errors.Join(err, killed)
	}
	return err
}

// opener is the keys that may open a session of the source, and why one that
// none of them signed is refused.
func (q *request) opener() ([]token.PublicKey, metrics.Refusal) {
	reason := metrics.RefusedToken
	switch {
	case !q.set.policy.HasSource(q.source):
		reason = metrics.RefusedNoSource
	case !q.set.policy.HasShell(q.source):
		reason = metrics.RefusedNoShell
	}
	return q.set.candidates.open(q.source), reason
}

// live is the sessions, unless the node is about to stop or has no keeper.
func (q *request) live() (*shells, error) {
	if q.h.draining.Load() {
		return nil, errs.New(wire.CodeDraining, "the node is about to stop")
	}
	if s := q.h.shells.Load(); s != nil {
		return s, nil
	}
	return nil, errNoKeeper
}

// denied answers a refusal of the policy or of a session. Not found, which they
// say when they do not accept the key any more, looks as if nobody had signed.
func (q *request) denied(reason metrics.Refusal, err error) {
	if errs.CodeOf(err) == wire.CodeNotFound {
		q.notFound(reason, err)
		return
	}
	q.fail(err)
}

// inSession answers an operation in a session.
func (q *request) inSession() {
	q.source, q.session = q.r.PathValue("source"), q.r.PathValue("session")
	live := q.h.shells.Load()
	if live == nil {
		// Not found would end what another keeper may still hold.
		q.early(wire.CodeUnready, errNoKeeper)
		return
	}
	var keys []token.PublicKey
	s, ok := live.sessions.Find(q.source, q.session)
	if !ok && q.h.draining.Load() {
		// It may be with the keeper already, and the next daemon finds it.
		q.early(wire.CodeDraining, errHanded)
		return
	}
	if ok {
		// Others may attach, where policy permits it.
		keys = union(s.Keys(), q.set.policy.Keys(q.source))
	}
	claims, by, ok := q.verify(q.set.candidates.session(keys...), metrics.RefusedNoSession)
	if !ok {
		return
	}
	switch claims.Shell.Op {
	case wire.OpAttach:
		q.attach(s, by, claims)
	case wire.OpInput, wire.OpResize, wire.OpSignal, wire.OpAck, wire.OpClose:
		q.operate(s, by, *claims.Shell)
	default:
		q.fail(errs.New(wire.CodeBadRequest, "operation %q is not one inside a session", shorten(string(claims.Shell.Op))))
	}
}

func (q *request) operate(s *session.Session, by token.PublicKey, sh wire.Shell) {
	a, err := s.Do(q.r.Context(), by, sh)
	if err != nil {
		q.denied(metrics.RefusedNoSession, err)
		return
	}
	q.json(http.StatusOK, wire.TypeJSON, a)
}

func (q *request) attach(s *session.Session, by token.PublicKey, c wire.Claims) {
	_, err := q.live()
	if err == nil {
		err = q.once(c, s.OpenerKey())
	}
	if err == nil {
		err = q.mayAttach(s, by, c)
	}
	var reign session.Reign
	if err == nil {
		reign, err = s.Attach(q.r.Context(), q.identity(by, c), c)
	}
	if err != nil {
		q.denied(metrics.RefusedNoSession, err)
		return
	}
	q.stream(s, session.Start{From: c.Shell.Offset, Tok: q.body, Attach: true, Reign: reign})
}

// mayAttach asks policy, unless it is the session's own client that comes back.
func (q *request) mayAttach(s *session.Session, by token.PublicKey, c wire.Claims) error {
	if own, ok := s.SessionKey(); ok && own.Equal(by) {
		return nil
	}
	return q.policy().Act(q.identity(by, c), wire.OpAttach, s.Record(), q.context())
}

// stream answers with a session's events until it ends or the client goes.
func (q *request) stream(s *session.Session, st session.Start) {
	q.events(func(w *sse.Writer) error { return s.Stream(q.r.Context(), w, st) })
}

// events answers with an event stream.
func (q *request) events(write func(*sse.Writer) error) {
	w := &streamWriter{q: q, contentType: wire.TypeEventStream}
	defer w.end()
	err := write(sse.NewWriter(w, q.rc.Flush))
	if err != nil && q.status == 0 {
		q.fail(err)
		return
	}
	q.h.log.Debug("stream ended", "req", q.num, "source", q.source, "session", q.session, "err", err, "bytes", w.n)
}

// streamWriter is the body of an answer that may be long: each write has a deadline. It is
// moved so rarely that it costs nothing, and so often that a write always has
// most of its time; a keepalive comes long before it could fire on silence.
type streamWriter struct {
	q           *request
	contentType string
	armed       time.Time // when the deadline was last moved
	n           int64     // bytes written
}

// errLost ends the stream of a client that is gone without a word.
var errLost = errors.New("the client has acknowledged nothing for too long")

// rearms is how many times the deadline moves at most in its own time.
const rearms = 6

func (w *streamWriter) Write(p []byte) (int, error) {
	if w.q.status == 0 {
		h := w.q.Header()
		h.Set("Content-Type", w.contentType)
		h.Set("Cache-Control", "no-store, no-transform")
		h.Set("X-Accel-Buffering", "no")
		h.Set("X-Content-Type-Options", "nosniff")
	}
	if now := time.Now(); now.Sub(w.armed) >= w.q.h.writeTime/rearms {
		if connOf(w.q.r.Context()).lost() {
			return 0, errLost
		}
		if err := w.q.rc.SetWriteDeadline(now.Add(w.q.h.writeTime)); err != nil {
			return 0, err
		}
		w.armed = now
	}
	n, err := w.q.Write(p)
	w.n += int64(n)
	return n, err
}

// end lifts the deadline: the connection may have more requests to come.
func (w *streamWriter) end() {
	if !w.armed.IsZero() {
		_ = w.q.rc.SetWriteDeadline(time.Time{})
	}
}
