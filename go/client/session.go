package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// closeTimeout bounds how long closing a session takes, whatever the network does.
const closeTimeout = 5 * time.Second

// Session is one remote session. Its methods are safe for concurrent use.
type Session struct {
	c      *Client
	node   string
	source string
	pty    bool
	info   wire.Session
	url    *url.URL
	seal   *seal
	stdout io.Writer
	stderr io.Writer

	// ctx ends the stream and all requests. It does not end with the opener's
	// context, which is for opening only.
	ctx    context.Context
	cancel context.CancelCauseFunc

	writing  sync.Mutex // one Write or CloseWrite at a time
	in       *input
	orders   *orders
	probe    *time.Timer
	probing  bool          // under in.mu
	probeIn  time.Duration // under in.mu
	consumed atomic.Uint64 // output bytes written out
	told     atomic.Uint64 // of those, in a request that is under way or was answered
	acked    atomic.Uint64 // of those, answered
	ackEvery uint64

	requests sync.WaitGroup // senders of input, and the tender
	streamed chan struct{}  // closed when the stream's goroutine has ended
	closing  atomic.Bool    // output is not wanted any more
	shutting sync.Once
	shutErr  error
	gone     sync.Once
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
// by [Session.Close].
func (c *Client) Open(ctx context.Context, source string, sh wire.Shell, stdout, stderr io.Writer) (*Session, error) {
	if c.o.Signer == nil {
		return nil, errNoSigner()
	}
	if source == "" {
		return nil, errs.Usage("open session: no source")
	}
	key, cnf, err := token.NewConfirm()
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	s := &Session{c: c, source: source, pty: sh.PTY, stdout: orDiscard(stdout), stderr: orDiscard(stderr)}
	if s.seal, err = newSeal(key); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	err = c.met(ctx, func() error {
		return c.fresh(ctx, func() error { return s.open(ctx, sh, &cnf) })
	})
	if refusal(err) == wire.CodeNotFound {
		err = c.anotherNode(ctx, err)
	}
	if err != nil {
		return nil, c.explain(err, "open session %q on %s", source, c.target)
	}
	return s, nil
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
func (s *Session) begin(st *stream) {
	s.url = s.c.route(wire.PathSession(s.source, s.info.Session))
	s.in = newInput(s.info.InputOffset)
	s.orders = newOrders(s.info.Seq)
	s.consumed.Store(s.info.OutputStart)
	s.told.Store(s.info.OutputStart)
	s.acked.Store(s.info.OutputStart)
	s.ackEvery = wire.AckEvery
	if s.info.Window > 0 {
		// A small window must not fill up before it is acknowledged.
		s.ackEvery = max(1, min(s.ackEvery, s.info.Window/4))
	}
	s.streamed, s.done = make(chan struct{}), make(chan struct{})
	s.probeIn = s.c.waits.probe
	s.probe = time.AfterFunc(math.MaxInt64, s.askRoom)
	s.goneIn = time.AfterFunc(math.MaxInt64, func() {
		s.finish(wire.Exit{}, &LossError{errors.New("the node has ended the session without saying how")})
	})
	s.requests.Add(1)
	go s.tend()
	go s.read(st)
}

// ID is the session's ID.
func (s *Session) ID() string { return s.info.Session }

// Info is what the node said when it confirmed the session.
func (s *Session) Info() wire.Session { return s.info }

// Write sends input. Bytes arrive once and in order, whatever the network does.
// It returns when they are queued, and blocks while the program does not read
// and the node's room and the queue are full. After the session's end it fails
// with [ErrEnded].
func (s *Session) Write(p []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	for n < len(p) {
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
// on a terminal has no such thing: send the terminal's own end-of-file key.
func (s *Session) CloseWrite() error {
	if s.pty {
		return errors.New("close input: the session is on a terminal")
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

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Wait returns when the session has ended and all its output was written. The
// error is nil when the node told how it ended, holds a [LossError] when that is
// not known, or is that of a failed writer.
func (s *Session) Wait() (wire.Exit, error) {
	<-s.done
	s.requests.Wait()
	return s.exit, s.err
}

// Close ends the session and what it started, now; output not yet written is
// dropped. It takes a bounded time, and is harmless after the end. The error
// is that of telling the node, which else ends the session by itself after its
// resumeFor.
func (s *Session) Close() error {
	err := s.shut()
	s.requests.Wait()
	select {
	case <-s.streamed:
	case <-time.After(closeTimeout): // a writer that does not return
	}
	return err
}

// shut tells the node to end the session and waits for its end, for a bounded time.
func (s *Session) shut() error {
	s.shutting.Do(func() {
		s.closing.Store(true)
		ctx, cancel := context.WithTimeout(s.ctx, closeTimeout)
		defer cancel()
		err := s.tellClose(ctx)
		if err == nil {
			select {
			case <-s.done:
			case <-ctx.Done():
			}
		}
		if !s.over() {
			s.shutErr = err
		}
		s.finish(wire.Exit{}, &LossError{ErrClosed})
	})
	return s.shutErr
}

// tellClose ends the input and tells the node to end the session.
func (s *Session) tellClose(ctx context.Context) error {
	if s.over() {
		return nil
	}
	s.in.fail(ErrClosed)
	if err := s.sendClose(ctx); err != nil {
		return s.c.explain(err, "close session on %s", s.c.target)
	}
	return nil
}

// over reports whether the session has ended.
func (s *Session) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// finish ends the session: the first call counts.
func (s *Session) finish(exit wire.Exit, err error) {
	s.ending.Do(func() {
		if err != nil {
			lost := errs.Transport(clean(err), "session on %s", s.c.target)
			if s.info.ResumeFor > 0 && !s.closing.Load() {
				lost = lost.WithHint("the program may run on there for %s more", seconds(s.info.ResumeFor))
			}
			err = lost
		}
		s.exit, s.err = exit, err
		s.in.fail(ErrEnded)
		s.orders.fail(ErrEnded, err)
		s.probe.Stop()
		s.goneIn.Stop()
		s.cancel(ErrEnded)
		close(s.done)
	})
}

func seconds(n float64) time.Duration {
	return time.Duration(n * float64(time.Second)).Round(time.Second)
}

// ended books that the node no longer knows the session: its exit must follow
// on the stream.
func (s *Session) ended() {
	s.gone.Do(func() { s.goneIn.Reset(s.c.waits.gone) })
}
