package session

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/metrics"
	"etcha/go/record"
	"etcha/go/token"
	"etcha/go/wire"
)

// Options is what a registry works with.
type Options struct {
	Keeper *keeper.Keeper
	NodeID string
	// Prove signs the proof that this node received a request.
	Prove       func(wire.ProofClaims) (string, error)
	Metrics     *metrics.Metrics
	Log         *slog.Logger // nil: none
	MaxSessions int          // of the node; 0: wire.MaxSessions
	MaxPerKey   int          // of an opener's key; 0: wire.MaxSessionsPerKey
	Environ     []string     // for programs that inherit; nil: this process' own
	// Recordings says where sessions are recorded; nil: none is, and one that has
	// to be is refused.
	Recordings *record.Options
	// Observe is told what happens, of each session in order, and returns soon;
	// nil: nobody is.
	Observe func(Happening)
	// Event fires the event of this name when a session has started; nil: none.
	Event func(name string, info wire.SessionInfo)
	Now   func() time.Time
	// After calls f in its own goroutine when d has passed, unless stopped
	// before; nil: time.AfterFunc. f returns at once.
	After func(d time.Duration, f func()) (stop func())
}

// EventShell is the event of a session that has started.
const EventShell = "shell"

// Registry is the sessions of a node. Its methods may be called at the same time.
type Registry struct {
	o       Options
	buffers sync.Pool // *[burst]byte

	ctx     context.Context // ends when the registry leaves its sessions
	leave   context.CancelFunc
	lives   sync.WaitGroup
	streams sync.WaitGroup

	sleepers atomic.Int32 // who waits for an exact time

	mu       sync.Mutex
	sessions map[string]*Session // by ID: live, over and remembered
	open     int                 // sessions that count: starting, live
	perKey   map[string]int      // by the opener's key
	perName  map[string]int      // by source
	policy   *authz.Policy       // nil: never told
	closing  bool                // no session starts, no stream begins
	stopping bool                // sessions end
	past     memory
}

// New makes a registry without sessions. [Registry.Drain] or [Registry.Stop]
// ends what it starts.
func New(o Options) *Registry {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxSessions <= 0 {
		o.MaxSessions = wire.MaxSessions
	}
	if o.MaxPerKey <= 0 {
		o.MaxPerKey = wire.MaxSessionsPerKey
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = func(d time.Duration, f func()) func() {
			t := time.AfterFunc(d, f)
			return func() { t.Stop() }
		}
	}
	r := &Registry{
		o: o, sessions: map[string]*Session{},
		perKey: map[string]int{}, perName: map[string]int{},
	}
	r.buffers.New = func() any { return new([burst]byte) }
	r.ctx, r.leave = context.WithCancel(context.Background())
	return r
}

// Find gives a session of a source, also one that has ended, while it is
// remembered.
func (r *Registry) Find(source, id string) (*Session, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.sessions[id]
	if !ok || s.source != source {
		return nil, false
	}
	return s, true
}

// FindByID is Find where the source is not known.
func (r *Registry) FindByID(session string) (*Session, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.sessions[session]
	return s, ok
}

// Count is how many sessions are live or starting.
func (r *Registry) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}

// all are the sessions that are not only remembered.
func (r *Registry) all() []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*Session, 0, len(r.sessions))
	for _, s := range r.sessions {
		if s.finale.Load() == nil {
			all = append(all, s)
		}
	}
	return all
}

// place is a session's share of the limits.
type place struct{ key, source string }

// reserve takes a place before anything is started.
func (r *Registry) reserve(g authz.Grant) (place, error) {
	p := place{g.Identity().Key.Thumbprint(), g.Source()}
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := g.Shell().MaxSessions
	switch {
	case r.closing:
		return place{}, errDraining()
	case r.open >= r.o.MaxSessions:
		return place{}, errs.New(wire.CodeLimited, "the node has %d sessions, which is its limit (run.maxSessions)", r.open)
	case r.perKey[p.key] >= r.o.MaxPerKey:
		return place{}, errs.New(wire.CodeLimited, "this key has %d sessions, which is its limit (run.maxSessionsPerKey)", r.perKey[p.key])
	case limit > 0 && r.perName[p.source] >= limit:
		return place{}, errs.New(wire.CodeLimited, "source %q has %d sessions, which is its limit (shell.maxSessions)", p.source, r.perName[p.source])
	}
	r.take(p)
	return p, nil
}

// take counts a place as taken. The caller holds mu.
func (r *Registry) take(p place) {
	r.open++
	r.perKey[p.key]++
	r.perName[p.source]++
}

// release gives a place back.
func (r *Registry) release(p place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	for m, k := range map[*map[string]int]string{&r.perKey: p.key, &r.perName: p.source} {
		if (*m)[k]--; (*m)[k] == 0 {
			delete(*m, k)
		}
	}
}

// add makes a session known and begins its life; false when the registry has
// been closed meanwhile.
func (r *Registry) add(s *Session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return false
	}
	r.sessions[s.id] = s
	r.lives.Go(s.live)
	return true
}

// remove forgets a session at once.
func (r *Registry) remove(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, s.id)
}

// permits asks the newest policy that the registry was told.
func (r *Registry) permits(rec authz.Record) error {
	r.mu.Lock()
	policy := r.policy
	r.mu.Unlock()
	if policy == nil {
		return nil
	}
	return policy.Permits(rec, r.o.Now())
}

// errDraining means that the daemon is about to leave.
func errDraining() error {
	return errs.New(wire.CodeDraining, "the node is about to stop")
}

// keyName names a key in logs and metrics.
func keyName(k token.PublicKey) string {
	if k.ID() != "" {
		return k.ID()
	}
	return k.Thumbprint()
}
