package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"etcha"
)

// closeGrace is how long a session that ends on this side may take to tell the
// node. Nobody waits longer for a network that is gone; the node then ends the
// session by itself.
const closeGrace = 2 * time.Second

// remote is one session on stdin, stdout and stderr of this process.
type remote struct {
	app   *app
	shell *shell
	where place
	log   *slog.Logger

	pty bool // the program has a terminal
	tty *tty // ours, that is made raw; nil: none
	esc escapes

	opened  [2]uint16 // columns and rows that the session was opened with
	signals *signals
	sess    *etcha.Session
	typed   *typeahead
	output  *output            // the program's stdout
	errors  *output            // and stderr
	suspend chan chan struct{} // asks the watcher to suspend the process; closed when it is back

	sent     atomic.Uint64 // input bytes given to the session
	finished atomic.Bool   // this side has ended the session
	mu       sync.Mutex
	why      error         // what it was ended for
	over     chan struct{} // closed when nothing is waited for any more
	overOnce sync.Once
}

// newRemote decides between terminal and pipes.
func (s *shell) newRemote(set *settings, where place) *remote {
	env := s.app.env
	stdin, stdout := isTerminal(env.Stdin), isTerminal(env.Stdout)
	r := &remote{
		app: s.app, shell: s, where: where, log: set.log, esc: s.esc,
		pty:     !s.noPTY && (s.forcePTY || stdin && stdout && !s.noStdin),
		typed:   newTypeahead(),
		suspend: make(chan chan struct{}),
		over:    make(chan struct{}),
	}
	if r.pty && stdin && !s.noStdin {
		r.tty = &tty{in: env.Stdin, out: env.Stdout}
		if !stdout {
			r.tty.out = env.Stdin
		}
	} else if s.forcePTY && !stdin {
		s.app.say("warning", s.app.paint(yellow, "warning:"), "stdin is not a terminal; the escape sequences and the window's size are off")
	}
	r.output = newOutput(r, env.Stdout, "stdout", r.pty && stdout)
	r.errors = newOutput(r, env.Stderr, "stderr", false)
	return r
}

// run opens the session and stays until it ends.
func (r *remote) run(ctx context.Context, client *etcha.Client) (err error) {
	if r.tty != nil {
		defer r.tty.guard()
	}
	broken := make(chan os.Signal, 1) // a closed pipe is an error of the write, not the end of the process
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	r.signals = catchSignals(r.tty != nil)
	defer r.signals.stop()
	defer r.leave()

	if r.sess, err = r.open(ctx, client); err != nil {
		return r.explain(err)
	}
	if r.tty != nil {
		if err := r.tty.enter(); err != nil {
			return errors.Join(err, r.sess.Close())
		}
		r.app.stderr.raw.Store(true)
	}
	r.output.start()
	r.errors.start()
	stop := r.start()
	err = r.wait(ctx)
	stop()
	r.leave()
	return r.outcome(err)
}

// open asks the node for the session. A signal meanwhile gives it up.
func (r *remote) open(ctx context.Context, client *etcha.Client) (*etcha.Session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opened, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case sig := <-r.signals.ending:
			cancel(signalled(sig))
		case <-opened:
		}
	}()
	sess, err := client.Open(ctx, r.request())
	close(opened)
	<-watched
	if cause := context.Cause(ctx); cause != nil {
		if sess != nil {
			sess.Close()
		}
		return nil, cause
	}
	return sess, err
}

// request says what to start.
func (r *remote) request() etcha.Request {
	q := etcha.Request{
		Source:  r.shell.source,
		Process: r.shell.process,
		Command: r.shell.command,
		Args:    r.shell.args,
		Env:     r.shell.vars,
		PTY:     r.pty,
		Stdout:  r.output,
		Stderr:  r.errors,
	}
	if r.pty {
		q.Term = r.app.getenv("TERM")
		if q.Term == "" {
			q.Term = defaultTerm
		}
		q.Cols, q.Rows = r.size()
		r.opened = [2]uint16{q.Cols, q.Rows}
	}
	return q
}

// size is the window's size; that of the common terminal where there is none.
func (r *remote) size() (cols, rows uint16) {
	for _, f := range []*os.File{r.app.env.Stdout, r.app.env.Stdin, r.app.env.Stderr} {
		if isTerminal(f) {
			return windowSize(f)
		}
	}
	return defaultCols, defaultRows
}

// start starts the goroutines of the session. The function it returns ends
// them; only one that is blocked in a read of stdin stays.
func (r *remote) start() (stop func()) {
	var running sync.WaitGroup
	done := make(chan struct{})
	owned := func(f func()) {
		running.Add(1)
		r.spawn(func() { defer running.Done(); f() })
	}
	owned(func() { r.watch(done) })
	if r.tty != nil {
		owned(func() { r.resize(done) })
		owned(r.send)
	}
	r.spawn(r.input)
	return func() {
		close(done)
		r.typed.close()
		ended := make(chan struct{})
		r.spawn(func() { running.Wait(); close(ended) })
		select {
		case <-ended:
		case <-r.over: // a call that waits for a network that is gone
		}
	}
}

// spawn starts a goroutine whose panic does not leave the terminal raw.
func (r *remote) spawn(f func()) {
	go func() {
		if r.tty != nil {
			defer r.tty.guard()
		}
		f()
	}()
}

// wait waits for the end of the session, or until nobody waits any more.
func (r *remote) wait(ctx context.Context) error {
	ended := make(chan error, 1)
	r.spawn(func() { ended <- r.sess.Wait() })
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		r.finish(ctx.Err())
	case <-r.over:
		return nil
	}
	select {
	case err := <-ended:
		return err
	case <-r.over:
		return nil
	}
}

// finish ends the session from this side, for a reason that becomes the error
// of run; the first one counts. The terminal is given back at once, whatever the
// network does.
func (r *remote) finish(why error) {
	r.mu.Lock()
	first := r.why == nil
	if first {
		r.why = why
	}
	r.mu.Unlock()
	r.finished.Store(true)
	r.leave()
	if !first {
		return
	}
	r.spawn(func() {
		if err := r.sess.Close(); err != nil {
			r.log.Debug("close the session", "err", err)
		}
	})
	time.AfterFunc(closeGrace, r.giveUp)
}

// giveUp ends every wait.
func (r *remote) giveUp() { r.overOnce.Do(func() { close(r.over) }) }

// leave gives the terminal back.
func (r *remote) leave() {
	if r.tty == nil {
		return
	}
	if err := r.tty.leave(); err != nil {
		r.log.Warn("restore the terminal", "err", err)
	}
	r.app.stderr.raw.Store(false)
}

// note tells the person something while the session goes on.
func (r *remote) note(format string, args ...any) {
	lead := ""
	if r.output.midLine() {
		lead = "\n"
	}
	fmt.Fprintf(r.app.stderr, "%s%s %s\n", lead, r.app.paint(dim, "etcha:"), fmt.Sprintf(format, args...))
	r.output.last.Store('\n')
}

// notify is told by the client what the person should know.
func (r *remote) notify(e etcha.Event) { r.note("%s", e.Text) }
