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
	"sync/atomic"
	"syscall"
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

	version   string        // of the program
	upgrading atomic.Bool   // somebody asked for an upgrade
	frozen    bool          // nobody may enter
	accepting bool          // accept runs
	alone     chan struct{} // closed when frozen and only the asker is left
	exec      func(file string, argv, env []string) error
}

// newServer takes the folder and listens. Nothing is served before serve.
func newServer(o Options, parent *pty.Parent) (*server, error) {
	s, err := prepare(o, parent)
	if err != nil {
		return nil, err
	}
	if s.lock, err = lockFolder(s.dir); err != nil {
		return nil, err
	}
	s.findGroups(o)
	if s.ln, err = listen(s.dir); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	return s, nil
}

// prepare checks the options.
func prepare(o Options, parent *pty.Parent) (*server, error) {
	s := &server{
		log: o.Log, dir: o.StateDir, linger: o.Linger, now: o.Now, parent: parent, version: o.Version, exec: syscall.Exec,
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
	if o.Cgroup != "" && o.Cgroup != "auto" && o.Cgroup != "off" {
		return nil, fmt.Errorf("%w: cgroup %q", ErrInvalid, o.Cgroup)
	}
	return s, nil
}

// findGroups finds where sessions get their cgroups: below the keeper's own,
// once it has left the daemon's.
func (s *server) findGroups(o Options) {
	if o.Cgroup == "off" {
		return
	}
	if o.leave {
		leaveDaemon(s.log, here())
	}
	s.groups = newGroups(s.log)
}

// serve works until a shutdown, the context's end, or until nobody needs it.
func (s *server) serve(ctx context.Context) {
	s.mu.Lock()
	s.checkVacant()
	s.accepting = true
	s.wg.Go(s.accept)
	s.mu.Unlock()
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

// accept serves connections until the listener is closed, or the keeper freezes.
func (s *server) accept() {
	defer s.accepted()
	for {
		conn, err := s.ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
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

// accepted says that accept has ended; a freeze that was undone before begins it
// anew.
func (s *server) accepted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accepting = !s.frozen && !s.leaving; s.accepting {
		s.wg.Go(s.accept)
	}
	s.checkAlone()
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
	if s.leaving || s.frozen {
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
	s.checkAlone()
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
