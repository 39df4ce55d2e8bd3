package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"etcha/go/pty"
	"etcha/go/wire"
)

// server is a keeper at work.
//
// Lock order: server.mu is never held while a session's lock is taken.
type server struct {
	log    *slog.Logger
	dir    string
	linger time.Duration
	now    func() time.Time
	parent *pty.Parent
	groups groups
	pool   buffers

	lock *os.File
	ln   *net.UnixListener
	wg   sync.WaitGroup // accepting, connections, session lives

	mu       sync.Mutex
	held     map[string]*held // nil: being started
	links    map[*link]struct{}
	starting int           // IDs reserved
	stopping bool          // no new sessions
	quiet    chan struct{} // closed when stopping and nothing is starting
	idle     *time.Timer
	vacant   chan struct{} // closed when nobody is left that needs the keeper
	leaving  bool
}

// newServer takes the folder and listens. Nothing is served before serve.
func newServer(o Options, parent *pty.Parent) (*server, error) {
	s := &server{
		log: o.Log, dir: o.StateDir, linger: o.Linger, now: o.Now, parent: parent,
		held: map[string]*held{}, links: map[*link]struct{}{}, vacant: make(chan struct{}), quiet: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.linger == 0 {
		s.linger = defaultLinger
	}
	if s.now == nil {
		s.now = time.Now
	}
	if !filepath.IsAbs(s.dir) {
		return nil, fmt.Errorf("%w: state folder %q is not absolute", ErrInvalid, s.dir)
	}
	var err error
	if s.lock, err = lockFolder(s.dir); err != nil {
		return nil, err
	}
	switch o.Cgroup {
	case "off":
	case "", "auto":
		s.groups = newGroups(s.log)
	default:
		return nil, errors.Join(fmt.Errorf("%w: cgroup %q", ErrInvalid, o.Cgroup), s.lock.Close())
	}
	if s.ln, err = listen(s.dir); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	return s, nil
}

// serve works until a shutdown, the context's end, or until nobody needs it.
func (s *server) serve(ctx context.Context) {
	s.mu.Lock()
	s.checkVacant()
	s.mu.Unlock()
	s.wg.Go(s.accept)
	select {
	case <-s.vacant:
	case <-ctx.Done():
		s.stopAll()
		s.leave()
	}
	s.close()
	s.wg.Wait()
	for _, h := range s.all() {
		h.forget()
	}
}

// close gives everything back that does not belong to a session. The socket
// goes before the lock does, so that the next keeper never loses its own.
func (s *server) close() {
	if err := unlisten(s.ln, s.dir); err != nil {
		s.log.Warn("keeper socket is left", "err", err)
	}
	s.mu.Lock()
	for l := range s.links {
		l.close()
	}
	s.mu.Unlock()
	s.groups.prune()
	_ = s.lock.Close()
}

// all are the sessions that have started, by ID.
func (s *server) all() []*held {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*held, 0, len(s.held))
	for _, h := range s.held {
		if h != nil {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b *held) int { return strings.Compare(a.id, b.id) })
	return all
}

// accept serves connections until the listener is closed.
func (s *server) accept() {
	for {
		conn, err := s.ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors: those that exist go on
			s.log.Error("connection was not accepted", "err", err)
			select {
			case <-s.vacant:
				return
			case <-time.After(retryMax):
			}
			continue
		}
		s.wg.Go(func() { s.welcome(conn) })
	}
}

// welcome checks who connects and serves the connection.
func (s *server) welcome(conn *net.UnixConn) {
	if err := checkPeer(conn); err != nil {
		s.log.Warn("connection was refused", "err", err)
		_ = conn.Close()
		return
	}
	l, err := newLink(conn, &s.pool)
	if err != nil {
		s.log.Warn("connection was refused", "err", err)
		return
	}
	if !s.enter(l) {
		l.close()
		return
	}
	h := s.converse(l)
	if h == nil {
		s.exit(l)
		return
	}
	// A goroutine of its own: the stack that was needed up to here would stay
	// for the session's life.
	s.wg.Go(func() {
		defer s.exit(l)
		s.attend(l, h)
	})
}

// enter registers a connection, unless the keeper leaves.
func (s *server) enter(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return false
	}
	s.links[l] = struct{}{}
	s.checkVacant()
	return true
}

// exit closes a connection.
func (s *server) exit(l *link) {
	l.close()
	l.in.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.links, l)
	s.checkVacant()
}

// checkVacant starts or stops the time after which an unneeded keeper leaves.
// The caller holds mu.
func (s *server) checkVacant() {
	needed := len(s.held) > 0 || len(s.links) > 0
	switch {
	case needed && s.idle != nil:
		s.idle.Stop()
		s.idle = nil
	case needed || s.leaving || s.idle != nil:
	default:
		var t *time.Timer
		t = time.AfterFunc(s.linger, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.idle == t {
				s.leaveLocked()
			}
		})
		s.idle = t
	}
}

// leave lets serve return.
func (s *server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveLocked()
}

func (s *server) leaveLocked() {
	if s.idle != nil {
		s.idle.Stop()
		s.idle = nil
	}
	if !s.leaving {
		s.leaving = true
		close(s.vacant)
	}
}

// find gives a session that runs or is remembered.
func (s *server) find(id string) (*held, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[id]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("session %q: %w", id, ErrNotFound)
}

// reserve takes an ID for a session that is about to start. Either settle or
// vacate follows.
func (s *server) reserve(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || s.leaving {
		return ErrStopping
	}
	if _, taken := s.held[id]; taken {
		return ErrExists
	}
	if len(s.held) >= maxHeld {
		return fmt.Errorf("%w: there are %d sessions already", ErrInvalid, len(s.held))
	}
	s.held[id] = nil
	s.starting++
	return nil
}

// settle puts a session in its reserved place.
func (s *server) settle(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[h.id] = h
	s.startedOne()
}

// vacate gives an ID back whose session did not start.
func (s *server) vacate(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, id)
	s.startedOne()
	s.checkVacant()
}

// startedOne counts a start as done. The caller holds mu.
func (s *server) startedOne() {
	s.starting--
	if s.starting == 0 && s.stopping {
		close(s.quiet)
	}
}

// remove gives up a session that is forgotten.
func (s *server) remove(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[h.id] == h { // not a later one
		delete(s.held, h.id)
	}
	s.checkVacant()
}

// page lists sessions above an ID, as many as an answer holds.
func (s *server) page(after string) listAnswer {
	a := listAnswer{Sessions: []Info{}}
	size := 0
	for _, h := range s.all() {
		if h.id <= after {
			continue
		}
		info, ok := h.info()
		if !ok {
			continue
		}
		if size += maxSmall + 2*len(info.Meta); size > listPageSize && len(a.Sessions) > 0 {
			a.More = true
			break
		}
		a.Sessions = append(a.Sessions, info)
	}
	return a
}

// stop refuses new sessions. What it returns is closed when none is starting.
func (s *server) stop() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		if s.starting == 0 {
			close(s.quiet)
		}
	}
	return s.quiet
}

// stopAll ends every session whole and waits for it, at most stopTime.
func (s *server) stopAll() {
	limit := time.After(stopTime)
	select {
	case <-s.stop():
	case <-limit:
		s.log.Error("a session neither started nor failed")
	}
	all := s.all()
	for _, h := range all {
		h.end(wire.ReasonStopped)
	}
	for i, h := range all {
		select {
		case <-h.gone:
		case <-limit:
			s.log.Error("sessions did not end in time", "count", len(all)-i)
			return
		}
	}
}
