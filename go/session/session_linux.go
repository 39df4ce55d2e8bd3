package session

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/metrics"
	"etcha/go/token"
	"etcha/go/wire"
)

// Session is a remote shell. Its methods may be called at the same time.
type Session struct {
	r          *Registry
	id         string
	source     string
	opener     authz.Identity
	user       string
	started    time.Time
	terminal   bool // a terminal, not pipes
	breakGlass bool
	opening    proof // for the opening request
	held       *keeper.Session
	log        *slog.Logger
	meter      *metrics.Shell
	place      place

	kick    chan struct{} // cap 1: the owner's stream must look again
	wake    chan struct{} // cap 1: live must look again
	readers readers

	flight   flight
	acks     acks
	typing   typing
	rhythm   rhythm
	controls controls
	// recording is set before the session is known; nil: it is not recorded.
	recording *recording
	// finale is set when the keeper's handle was given up.
	finale atomic.Pointer[finale]
	// lost is set when the keeper died: the exit that stands for the real one.
	lost atomic.Pointer[keeper.Exit]
	// departed is set when another daemon has the session, or will have.
	departed atomic.Bool
	past     struct { // guarded by Registry.mu
		until time.Time
		size  int // bytes of output kept
	}

	// attaching is held while a stream or a client's key takes another's place.
	attaching sync.Mutex
	// saving is held while the keeper's record is replaced.
	saving sync.Mutex
	// observing is held while a happening is told, so that they come in order.
	observing sync.Mutex

	mu        sync.Mutex
	memo      memo
	owner     authz.Identity // who has the session: the opener, or who attached
	reign     Reign
	confirm   token.PublicKey // the session's own key, or none
	shell     authz.Shell     // the present settings
	stream    *stream         // nil: nobody is attached
	viewers   []*Viewer       // who watches or has joined
	detached  time.Time       // since when nobody is attached
	since     time.Time       // of the last attach or detach
	unseen    bool            // nobody ever was, since this daemon has the session
	notices   []wire.Notice   // for the stream
	epitaph   []wire.Notice   // for the stream that comes: why the session ends
	reason    wire.ExitReason // of an end that was asked for
	delivered bool            // the exit was written to a stream
	toldIdle  time.Time       // the activity since which the client was warned
	toldAge   bool            // it was warned of the longest life
}

// newSession makes what the registry knows of a session that the keeper holds.
func newSession(r *Registry, held *keeper.Session, rec memo, shell authz.Shell) (*Session, error) {
	k, err := rec.keys()
	if err != nil {
		return nil, err
	}
	info, now := held.Info(), r.o.Now()
	s := &Session{
		r: r, id: info.ID, source: rec.Grant.Source, opener: k.opener, user: rec.User, started: info.Started, held: held,
		terminal: rec.Grant.Terminal, unseen: true,
		kick: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		memo: rec, owner: k.owner, confirm: k.confirm, shell: shell, detached: now, since: now,
	}
	s.rhythm.born = now
	s.acks = acks{owner: info.State.Acked, recorded: ungated}
	id := s.opener
	s.log = r.o.Log.With("source", s.source, "session", s.id, "peer", id.Addr, "subject", id.Subject, "key", keyName(id.Key))
	s.resumeTyping(rec)
	return s, nil
}

// settings are those of a grant that a running session needs.
func settings(g authz.Grant) authz.Shell {
	shell := g.Shell()
	shell.Exec, shell.Processes, shell.AcceptEnv = authz.Exec{}, nil, nil
	return shell
}

// present are the settings that the newest policy gives the session.
func (s *Session) present() authz.Shell {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shell
}

// metric is how the session appears in metrics.
func (s *Session) metric(restored bool) metrics.Session {
	return metrics.Session{
		Source: s.source, BreakGlass: s.breakGlass, Key: keyName(s.opener.Key),
		Addr: s.opener.Addr, Started: s.started, Restored: restored,
	}
}

// Source is the name of the session's source.
func (s *Session) Source() string { return s.source }

// ID is the session's name: more than 128 random bits in base64url.
func (s *Session) ID() string { return s.id }

// OpenerKey is the key that opened the session.
func (s *Session) OpenerKey() token.PublicKey { return s.opener.Key }

// Record is what a policy decides by about the session.
func (s *Session) Record() authz.Record { return s.remembered().Grant }

// SessionKey is the session's own key; false when it has none.
func (s *Session) SessionKey() (token.PublicKey, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.confirm, !s.confirm.IsZero()
}

// Keys are those that may act in the session: its own, the opener's, the owner's
// and those of everybody who joined. Each is there once.
func (s *Session) Keys() []token.PublicKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []token.PublicKey
	add := func(k token.PublicKey) {
		if !k.IsZero() && !slices.ContainsFunc(all, k.Equal) {
			all = append(all, k)
		}
	}
	add(s.confirm)
	add(s.opener.Key)
	add(s.owner.Key)
	for _, v := range s.viewers {
		add(v.key)
	}
	return all
}

// errNotFound is the refusal of a key that may not act in the session, as if
// there were none.
func errNotFound() error { return errs.New(wire.CodeNotFound, "not found") }

// actor is who acts with a key: nil for the owner, or somebody who joined.
func (s *Session) actor(by token.PublicKey) (*Viewer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.actorLocked(by)
}

// actorLocked is actor while the caller holds mu.
func (s *Session) actorLocked(by token.PublicKey) (*Viewer, error) {
	switch {
	case by.IsZero():
		return nil, errNotFound()
	case !s.confirm.IsZero() && by.Equal(s.confirm), by.Equal(s.owner.Key):
		return nil, nil
	case by.Equal(s.opener.Key):
		return nil, errs.New(wire.CodeDenied, "another key has taken the session over").WithHint("attach to it to have it back")
	}
	for _, v := range s.viewers {
		if !v.key.IsZero() && by.Equal(v.key) {
			return v, nil
		}
	}
	return nil, errNotFound()
}

// stillActs refuses a key that no longer acts as what it was taken for.
func (s *Session) stillActs(by token.PublicKey, j *Viewer) error {
	now, err := s.actor(by)
	if err == nil && now != j {
		return errNotFound()
	}
	return err
}

// state is where the session stands, also after the keeper's handle was given
// up.
func (s *Session) state() keeper.State {
	if f := s.finale.Load(); f != nil {
		return f.state
	}
	st := s.held.State()
	if lost := s.lost.Load(); lost != nil && st.Exit == nil {
		st.Exit = lost
	}
	return st
}

// read copies output as keeper.Session does.
func (s *Session) read(buf []byte, from uint64) (int, keeper.Kind, error) {
	if f := s.finale.Load(); f != nil {
		return f.read(buf, from)
	}
	n, kind, err := s.held.Read(buf, from)
	if f := s.finale.Load(); f != nil && err != nil { // given up at this moment
		return f.read(buf, from)
	}
	return n, kind, err
}

// poke wakes whoever waits on a channel of capacity 1.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// endFor has the session ended; the first reason counts.
func (s *Session) endFor(reason wire.ExitReason) {
	s.mu.Lock()
	if s.reason == "" {
		s.reason = reason
	}
	s.mu.Unlock()
	poke(s.wake)
}

// endByPolicy ends a session that is no longer permitted.
func (s *Session) endByPolicy(why error) {
	s.log.Warn("session is no longer permitted", "err", why)
	text := "the node's configuration no longer permits this session"
	var public *errs.Error // where in a rule it failed is for the log
	if errors.As(why, &public) && public.Text != "" {
		text += ": " + public.Text
	}
	s.farewell(wire.NoticePolicy, text)
	s.endFor(wire.ReasonPolicy)
}
