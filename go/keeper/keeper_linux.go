package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// Keeper is a daemon's connection to its keeper. Its methods may be called at
// the same time.
type Keeper struct {
	dir  string
	log  *slog.Logger
	pool buffers
	c    *caller
	wg   sync.WaitGroup // receiving goroutines of this and of the sessions

	mu       sync.Mutex
	sessions map[*Session]struct{}
	closed   bool
}

// Done is closed when the connection is lost: the keeper has died, or left after
// a shutdown, or this handle was closed.
func (k *Keeper) Done() <-chan struct{} { return k.c.done }

// Start starts a session and returns when its program has been executed; what
// could not be done is a [pty.StartError]. When the context ends first the
// session is ended.
func (k *Keeper) Start(ctx context.Context, r StartRequest) (*Session, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("start session: %w", err)
	}
	s, err := k.take(ctx, opStart, r.body())
	if err != nil {
		return nil, err
	}
	// The first frame tells the keeper that the session was taken over.
	if err := s.c.send(opSpace, 0, 0, nil, nil); err != nil {
		s.Release()
		return nil, fmt.Errorf("start session %q: %w: %w", r.ID, ErrLost, err)
	}
	return s, nil
}

// Adopt takes over a session that this or another daemon started. Whoever had
// it loses it, with [ErrReplaced].
func (k *Keeper) Adopt(ctx context.Context, id string) (*Session, error) {
	s, err := k.take(ctx, opAdopt, adoptBody{ID: id})
	if err != nil {
		return nil, fmt.Errorf("adopt session %q: %w", id, err)
	}
	return s, nil
}

// take makes a connection that becomes a session's.
func (k *Keeper) take(ctx context.Context, o op, request any) (*Session, error) {
	c, err := k.dial(ctx)
	if err != nil {
		return nil, err
	}
	c.takeFDs = true
	defer c.closeFDs()
	var body []byte
	if err := c.bounded(ctx, sessionTime, func() error {
		body, err = c.ask(o, request)
		return err
	}); err != nil {
		c.close()
		return nil, err
	}
	c.takeFDs = false
	s, err := newSession(k, c, body)
	if err != nil {
		c.close()
		return nil, err
	}
	return s, k.keep(s)
}

// keep registers a session, and starts to receive what is said of it.
func (k *Keeper) keep(s *Session) error {
	k.mu.Lock()
	closed := k.closed
	if !closed {
		k.sessions[s] = struct{}{}
		k.wg.Go(s.receive)
	}
	k.mu.Unlock()
	if closed {
		s.c.close()
		return errors.Join(ErrReleased, s.view.close())
	}
	return nil
}

// drop forgets a session's handle.
func (k *Keeper) drop(s *Session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.sessions, s)
}

// newSession makes a handle of the keeper's answer and its two descriptors.
func newSession(k *Keeper, c *caller, body []byte) (*Session, error) {
	var info Info
	if err := json.Unmarshal(body, &info); err != nil {
		return nil, fmt.Errorf("session from keeper: %w", err)
	}
	if len(c.fds) != maxFDs {
		return nil, fmt.Errorf("session from keeper: %w: %d descriptors", errFrame, len(c.fds))
	}
	v, err := newView(c.fds[0], c.fds[1])
	if err != nil {
		return nil, fmt.Errorf("session from keeper: %w", err)
	}
	s := &Session{
		k: k, c: c, info: info, view: v,
		changed: make(chan struct{}, 1), over: make(chan struct{}), received: make(chan struct{}),
	}
	s.accepted.Store(v.h.accepted.Load())
	s.echoAt = info.State.Written
	s.eof = v.h.eof.Load() != 0
	return s, nil
}

// List describes all sessions, by ID.
func (k *Keeper) List(ctx context.Context) ([]Info, error) {
	var all []Info
	q := listQuery{}
	for {
		body, err := k.c.callJSON(ctx, opList, q)
		if err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
		var page listAnswer
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
		all = append(all, page.Sessions...)
		if !page.More || len(page.Sessions) == 0 {
			return all, nil
		}
		q.After = page.Sessions[len(page.Sessions)-1].ID
	}
}

// Shutdown ends all sessions whole and then the keeper. It returns when the
// sessions have ended; their handles can still read what is left of the output.
func (k *Keeper) Shutdown(ctx context.Context) error {
	if _, err := k.c.call(ctx, opShutdown, 0, nil); err != nil {
		return fmt.Errorf("shut down keeper: %w", err)
	}
	return nil
}

// Close leaves the keeper and releases the handles of all sessions, which stay
// for as long as each was started to.
func (k *Keeper) Close() error {
	k.mu.Lock()
	k.closed = true
	all := make([]*Session, 0, len(k.sessions))
	for s := range k.sessions {
		all = append(all, s)
	}
	k.mu.Unlock()
	for _, s := range all {
		s.Release()
	}
	k.c.lose(ErrReleased)
	k.c.close()
	k.wg.Wait()
	return nil
}
