package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// Session is one remote session, or one's part in it. Its methods are safe for
// concurrent use.
type Session struct {
	c      *Client
	node   string
	source string
	id     string // empty before the node has told it
	role   wire.Role
	pty    bool
	info   atomic.Pointer[wire.Session] // of the last link
	stdout io.Writer
	stderr io.Writer

	// ctx ends all that the session does. It does not end with the opener's
	// context, which is for opening only. attaching ends the search for a new
	// link only.
	ctx       context.Context
	cancel    context.CancelCauseFunc
	attaching context.Context
	stay      context.CancelFunc // ends attaching

	writing  sync.Mutex // one Write or CloseWrite at a time
	in       *input
	rhythm   rhythm // under in.mu
	orders   *orders
	link     *link         // under in.mu; nil while there is none
	last     *link         // under in.mu; the present one, or the one that was lost
	stopped  bool          // under in.mu; no link is taken any more
	probe    *time.Timer   //
	probing  bool          // under in.mu
	probeIn  time.Duration // under in.mu
	consumed atomic.Uint64 // output bytes written out
	told     atomic.Uint64 // of those, in a request that is under way or was answered
	acked    atomic.Uint64 // of those, answered
	ackEvery uint64
	// Of attaching, by the stream's goroutine.
	back     backoff
	deadline time.Time     // of the last outage
	unheard  time.Time     // when a try without an answer ended
	hurry    chan struct{} // cap 1: somebody types while there is no link

	requests sync.WaitGroup // senders of input, and the tender
	streamed chan struct{}  // closed when the stream's goroutine has ended
	closing  atomic.Bool    // output is not wanted any more
	shutting sync.Once
	shutErr  error
	gone     int // under in.mu; 0: not, 1: an exit is due on this stream, 2: on the next
	goneIn   *time.Timer

	ending sync.Once
	done   chan struct{}
	exit   wire.Exit
	err    error
}

// Open starts a session of source and returns when the node has confirmed it:
// its proof was checked against the pin. Output is written to stdout and stderr
// in order; both may be nil. A writer that blocks slows the program down; one
// that fails ends the session.
//
// ctx is for opening only, as when a connection is dialled. A session is ended
// by [Session.Close] and left by [Session.Detach].
//
// Where the node demands counter-signatures, Options.Approve is asked for them.
func (c *Client) Open(ctx context.Context, source string, sh wire.Shell, stdout, stderr io.Writer) (*Session, error) {
	if err := c.needs("open session", "source", source); err != nil {
		return nil, err
	}
	key, cnf, err := newSessionKey()
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	sh.Op = wire.OpOpen
	s := c.newSession(ctx, wire.RoleOwner, stdout, stderr)
	s.source = source
	err = c.approved(ctx, source, sh, &cnf, func(approvals []string) error {
		return s.enter(ctx, call{
			path: wire.PathShell(source), sh: sh, seal: key, limit: c.o.Timeout,
			sign: func(ctx context.Context) (string, error) {
				return c.opener(ctx, source, "", sh, &cnf, approvals)
			},
		}, sh.PTY)
	})
	if err != nil {
		s.cancel(err)
		return nil, c.explain(err, "open session %q on %s", source, c.target)
	}
	return s, nil
}

// needs checks what a request by the opener's key takes: a key, and a name.
func (c *Client) needs(what, field, value string) error {
	if c.o.Signer == nil {
		return errs.Usage("%s: no key to sign with", what)
	}
	if value == "" {
		return errs.Usage("%s: no %s", what, field)
	}
	return nil
}

// newSessionKey makes the key of one session and the claim that names it.
func newSessionKey() (*seal, wire.Confirmation, error) {
	key, cnf, err := token.NewConfirm()
	if err != nil {
		return nil, cnf, err
	}
	s, err := newSeal(key)
	return s, cnf, err
}

func (c *Client) newSession(ctx context.Context, role wire.Role, stdout, stderr io.Writer) *Session {
	s := &Session{c: c, role: role, stdout: orDiscard(stdout), stderr: orDiscard(stderr)}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	s.attaching, s.stay = context.WithCancel(s.ctx)
	return s
}

// enter makes the first link. On success the session's goroutines run.
func (s *Session) enter(ctx context.Context, q call, terminal bool) error {
	var l *link
	var info wire.Session
	err := s.c.met(ctx, func() error {
		return s.c.fresh(ctx, func() (err error) {
			l, info, err = s.dial(ctx, q)
			return err
		})
	})
	if refusal(err) == wire.CodeNotFound {
		err = s.c.anotherNode(ctx, err)
	}
	if err != nil {
		return err
	}
	s.pty = terminal || info.Cols > 0
	if s.role == wire.RoleJoined && info.Role == wire.RoleViewer { // it may not type
		s.role, l.seal = wire.RoleViewer, nil
	}
	s.begin(l, info, q.sh)
	return nil
}

// anotherNode replaces a refusal that says nothing by the reason, where that is
// another node at the address than the one pinned.
func (c *Client) anotherNode(ctx context.Context, refused error) error {
	var changed *NodeChangedError
	if _, err := c.askNode(ctx); errors.As(err, &changed) {
		return changed
	}
	return refused
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// begin starts the session's goroutines once its stream is confirmed.
func (s *Session) begin(l *link, info wire.Session, sh wire.Shell) {
	s.id, s.source = info.Session, info.Source
	s.in = newInput(info.InputOffset)
	s.orders = newOrders(info.Seq)
	s.orders.cols, s.orders.rows = sh.Cols, sh.Rows
	if s.role == wire.RoleViewer {
		s.in.fail(ErrReadOnly)
		s.orders.fail(ErrReadOnly, ErrReadOnly)
	}
	s.consumed.Store(info.OutputStart)
	s.streamed, s.done, s.hurry = make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
	s.probeIn = s.c.waits.probe
	s.probe = time.AfterFunc(math.MaxInt64, s.askRoom)
	s.goneIn = time.AfterFunc(math.MaxInt64, s.untold)
	s.rhythm.timer = time.AfterFunc(math.MaxInt64, s.tick)
	s.install(l, info)
	go s.run(l)
}

// install makes l the session's link; false when it is not wanted any more.
func (s *Session) install(l *link, info wire.Session) bool {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if s.stopped {
		return false
	}
	s.info.Store(&info)
	s.told.Store(s.consumed.Load())
	s.acked.Store(s.consumed.Load())
	s.ackEvery = wire.AckEvery
	if info.Window > 0 {
		// A small window must not fill up before it is acknowledged.
		s.ackEvery = max(1, min(s.ackEvery, info.Window/4))
	}
	s.link, s.last, s.in.paused = l, l, false
	if s.gone > 0 {
		s.gone = 2
		s.goneIn.Reset(s.c.waits.gone)
	}
	if l.seal == nil {
		return true
	}
	if s.pty {
		s.rhythm.hide(info.Obscure, s.c.waits.now())
	}
	ask := s.orders.wantAnswer
	l.pulse.ask.Store(&ask)
	s.requests.Add(1)
	l.requests.Add(1)
	go s.tend(l)
	s.launch()
	return true
}

// ID is the session's ID.
func (s *Session) ID() string { return s.id }

// Info is what the node said when it confirmed the session, the last time.
func (s *Session) Info() wire.Session { return *s.info.Load() }

// Write sends input. Bytes arrive once and in order, whatever the network does.
// It returns when they are queued, and blocks while the program does not read,
// or the node is lost, and the queue is full. After the session's end it fails
// with [ErrEnded], and on one that is watched with [ErrReadOnly].
func (s *Session) Write(p []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.rhythm.struck(len(p), s.c.waits.now())
	for n < len(p) {
		if s.in.paused && s.pty {
			poke(s.hurry)
		}
		k, err := s.in.add(p[n:])
		if err != nil {
			return n, err
		}
		n += k
		s.launch()
	}
	return n, nil
}

// CloseWrite closes the program's stdin behind everything written. A session
// on a terminal has no such thing: send the terminal's own end-of-file key. Who
// has joined a session cannot close its input.
func (s *Session) CloseWrite() error {
	switch {
	case s.pty:
		return errors.New("close input: the session is on a terminal")
	case s.role == wire.RoleJoined:
		return errors.New("close input: the session is another's")
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if err := s.in.closeWrite(); err != nil {
		return fmt.Errorf("close input: %w", err)
	}
	s.launch()
	return nil
}

// Done is closed when the session has ended, or was left.
func (s *Session) Done() <-chan struct{} { return s.done }

// Wait returns when the session has ended and all its output was written. The
// error is nil when the node told how it ended, holds a [LossError] when that is
// not known, is [ErrDetached] when the session was left, or is that of a failed
// writer.
func (s *Session) Wait() (wire.Exit, error) {
	<-s.done
	s.requests.Wait()
	return s.exit, s.err
}
