package session

import (
	"log/slog"
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
	r       *Registry
	id      string
	source  string
	opener  token.PublicKey
	user    string
	started time.Time
	// terminal tells a terminal from pipes.
	terminal bool
	opening  proof // for the opening request
	held     *keeper.Session
	log      *slog.Logger
	meter    *metrics.Shell
	place    place

	kick chan struct{} // cap 1: the stream must look again
	wake chan struct{} // cap 1: live must look again

	flight flight
	typing typing
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

	mu        sync.Mutex
	record    record
	confirm   token.PublicKey // the session's own key, or none
	shell     authz.Shell     // the present settings
	stream    *stream         // nil: nobody is attached
	detached  time.Time       // since when nobody is attached
	unseen    bool            // nobody ever was, since this daemon has the session
	notices   []wire.Notice   // for the stream
	reason    wire.ExitReason // of an end that was asked for
	delivered bool            // the exit was written to a stream
	toldIdle  time.Time       // the activity since which the client was warned
	toldAge   bool            // it was warned of the longest life
}

func newSession(r *Registry, held *keeper.Session, g authz.Grant, rec record, confirm token.PublicKey) *Session {
	info := held.Info()
	id := g.Identity()
	s := &Session{
		r: r, id: info.ID, source: g.Source(), opener: id.Key, user: rec.User, started: info.Started, held: held,
		terminal: rec.Grant.Terminal, unseen: true,
		kick: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		record: rec, confirm: confirm, shell: settings(g), detached: r.o.Now(),
	}
	s.log = r.o.Log.With("source", s.source, "session", s.id, "peer", id.Addr, "subject", id.Subject, "key", keyName(id.Key))
	return s
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
func (s *Session) metric(g authz.Grant, restored bool) metrics.Session {
	return metrics.Session{
		Source: s.source, BreakGlass: g.BreakGlass(), Key: keyName(s.opener),
		Addr: g.Identity().Addr, Started: s.started, Restored: restored,
	}
}

// Source is the name of the session's source.
func (s *Session) Source() string { return s.source }

// ID is the session's name: more than 128 random bits in base64url.
func (s *Session) ID() string { return s.id }

// OpenerKey is the key that opened the session.
func (s *Session) OpenerKey() token.PublicKey { return s.opener }

// SessionKey is the session's own key; false when it has none.
func (s *Session) SessionKey() (token.PublicKey, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.confirm, !s.confirm.IsZero()
}

// allow refuses a key that may not act in the session, as if there were none.
func (s *Session) allow(by token.PublicKey) error {
	own, ok := s.SessionKey()
	if by.IsZero() || !by.Equal(s.opener) && (!ok || !by.Equal(own)) {
		return errs.New(wire.CodeNotFound, "not found")
	}
	return nil
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

// notify tells the attached client something; without one nobody is told.
func (s *Session) notify(code wire.NoticeCode, message string) {
	s.mu.Lock()
	if s.stream != nil {
		s.notices = append(s.notices, wire.Notice{Code: code, Message: message})
	}
	s.mu.Unlock()
	poke(s.kick)
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
	s.notify(wire.NoticePolicy, "the node's configuration no longer permits this session: "+why.Error())
	s.endFor(wire.ReasonPolicy)
}
