package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"etcha/go/client"
	"etcha/go/wire"
)

// closeGrace is how long a session that ends on this side may take to tell the
// node. Nobody waits longer for a network that is gone; the node then ends the
// session by itself.
const closeGrace = 2 * time.Second

// detachGrace is the same for a session that is left: what was typed last is
// delivered first.
const detachGrace = 2*closeGrace + time.Second

// remote is one session, or one's part in it, on stdin, stdout and stderr of
// this process.
type remote struct {
	remoteOptions
	app   *app
	enter func(context.Context, *client.Client) (*client.Session, error)
	tty   *tty // ours, that is made raw; nil: none

	opened  [2]uint16 // columns and rows that the session was opened with
	signals *signals
	sess    *client.Session
	typed   *typeahead
	output  *output            // the program's stdout
	errors  *output            // and stderr
	line    *statusLine        // about the connection
	suspend chan chan struct{} // asks the watcher to suspend the process; closed when it is back
	smaller sync.Once          // says that the owner's terminal is larger
	stale   bool               // the picture begins in the middle: the program has to draw it anew

	sent     atomic.Uint64 // input bytes given to the session
	finished atomic.Bool   // this side has ended the session
	mu       sync.Mutex
	why      error         // what it was ended for
	over     chan struct{} // closed when nothing is waited for any more
	overOnce sync.Once
}

// remoteOptions is what a session on this terminal is made from.
type remoteOptions struct {
	log       *slog.Logger
	where     place
	esc       escapes
	noStdin   bool
	endStatus int       // of the escape sequence for the end
	noDetach  bool      // the node does not outlive the session
	pty       bool      // the program has a terminal
	role      wire.Role // that is asked for; empty: the owner's
}

// newRemote prepares a session; remote.enter is to be set.
func (a *app) newRemote(o remoteOptions) *remote {
	env := a.env
	stdout := isTerminal(env.Stdout)
	r := &remote{
		remoteOptions: o, app: a,
		typed:   newTypeahead(),
		suspend: make(chan chan struct{}),
		over:    make(chan struct{}),
	}
	if o.pty && isTerminal(env.Stdin) && !o.noStdin {
		r.tty = &tty{in: env.Stdin, out: env.Stdout}
		if !stdout {
			r.tty.out = env.Stdin
		}
	}
	r.output = newOutput(r, env.Stdout, "stdout", o.pty && stdout)
	r.errors = newOutput(r, env.Stderr, "stderr", false)
	r.line = newStatusLine(r)
	return r
}

// warnNoTerminal says what a session on a terminal lacks here.
func (a *app) warnNoTerminal() {
	a.say("warning", a.paint(yellow, "warning:"), "stdin is not a terminal; the escape sequences and the window's size are off")
}

// run opens the session and stays until it ends.
func (r *remote) run(ctx context.Context, c *client.Client) (err error) {
	if r.tty != nil {
		defer r.tty.guard()
	}
	broken := make(chan os.Signal, 1) // a closed pipe is an error of the write, not the end of the process
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	defer r.leave()

	if err := r.begin(ctx, c); err != nil {
		return err
	}
	defer r.signals.stop()
	if r.tty != nil {
		if err := r.tty.enter(); err != nil {
			return errors.Join(err, r.sess.Close())
		}
		r.app.stderr.raw.Store(true)
		r.line.enable()
	}
	r.tellRecording()
	r.compareSizes(r.sess.Info().Cols, r.sess.Info().Rows)
	r.output.start()
	r.errors.start()
	stop := r.start()
	if r.stale {
		r.redraw()
	}
	exit, err := r.wait(ctx)
	stop()
	r.leave()
	return r.outcome(exit, err)
}

// begin enters the session and catches signals from then on.
func (r *remote) begin(ctx context.Context, c *client.Client) (err error) {
	r.signals = catchSignals(r.tty != nil)
	if r.pty {
		r.opened[0], r.opened[1] = r.size()
	}
	if r.sess, err = r.open(ctx, c); err != nil {
		r.signals.stop()
		return r.explain(err)
	}
	return nil
}

// open asks the node for the session. A signal meanwhile gives it up.
func (r *remote) open(ctx context.Context, c *client.Client) (*client.Session, error) {
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
	sess, err := r.enter(ctx, c)
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
	owned(func() { r.line.run(done) })
	if r.tty != nil && !r.viewer() {
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
func (r *remote) wait(ctx context.Context) (wire.Exit, error) {
	var exit wire.Exit
	ended := make(chan error, 1)
	r.spawn(func() {
		e, err := r.sess.Wait()
		exit = e
		ended <- err
	})
	select {
	case err := <-ended:
		return exit, err
	case <-ctx.Done():
		r.finish(ctx.Err())
	case <-r.over:
		return wire.Exit{}, nil
	}
	select {
	case err := <-ended:
		return exit, err
	case <-r.over:
		return wire.Exit{}, nil
	}
}

// finish ends the session from this side, for a reason that becomes the error
// of run; the first one counts. The terminal is given back at once, whatever the
// network does; while there is none, nobody waits for it.
func (r *remote) finish(why error) {
	r.mu.Lock()
	first := r.why == nil
	if first {
		r.why = why
	}
	r.mu.Unlock()
	r.finished.Store(true)
	lost := r.line.isLost()
	r.leave()
	if !first {
		return
	}
	if lost {
		r.giveUp()
		return
	}
	grace := closeGrace
	if errors.Is(why, errDetached) {
		grace = detachGrace
	}
	r.spawn(func() { r.end(why) })
	time.AfterFunc(grace, r.giveUp)
}

// end tells the node. What was typed before the session is left is delivered.
func (r *remote) end(why error) {
	end := r.sess.Close
	if errors.Is(why, errDetached) {
		r.typed.drained(closeGrace)
		end = r.sess.Detach
	}
	if err := end(); err != nil {
		r.log.Debug("end the session", "err", err)
	}
}

// giveUp ends every wait.
func (r *remote) giveUp() { r.overOnce.Do(func() { close(r.over) }) }

// leave gives the terminal back.
func (r *remote) leave() {
	if r.tty == nil {
		return
	}
	r.line.clear()
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
func (r *remote) notify(e client.Event) {
	switch e.Kind {
	case client.EventLost:
		r.line.lose(e)
	case client.EventBack:
		r.line.back()
	case client.EventResize:
		r.compareSizes(e.Cols, e.Rows)
	case client.EventNotice, client.EventGap:
		if !r.line.flash(e.Text) {
			r.note("%s", e.Text)
		}
	default:
		r.note("%s", e.Text)
	}
}

// viewer reports whether the session is only watched.
func (r *remote) viewer() bool { return r.role == wire.RoleViewer }

// guest reports whether the session is another's, whose terminal counts.
func (r *remote) guest() bool { return r.viewer() || r.role == wire.RoleJoined }

// tellRecording tells a person that the session is recorded. What scripts write
// to stderr is left alone.
func (r *remote) tellRecording() {
	if what := r.sess.Info().Recording; what != "" && isTerminal(r.app.env.Stderr) {
		r.note("this session is recorded: %s", recordedText(what))
	}
}

// recordedText says for people what is recorded.
func recordedText(recording string) string {
	switch recording {
	case "output":
		return "what it shows"
	case "full":
		return "what it shows and what is typed"
	default:
		return recording
	}
}

// compareSizes says once when a guest's terminal is too small for the picture.
func (r *remote) compareSizes(cols, rows uint16) {
	if !r.guest() || r.tty == nil || cols == 0 || rows == 0 {
		return
	}
	if c, w := r.tty.size(); c < cols || w < rows {
		r.smaller.Do(func() {
			r.note("the session's terminal has %d × %d characters, this one only %d × %d", cols, rows, c, w)
		})
	}
}

// attachArgs are those of etcha attach for this session.
func (r *remote) attachArgs() string {
	id := ""
	if r.sess != nil {
		id = r.sess.ID()
	}
	if strings.HasPrefix(id, "-") {
		id = "-- " + id
	}
	return id + " " + r.where.argument()
}
