package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// How the time of an orderly end is shared out.
const (
	drainTime = 6 * time.Second  // for streams to say goodbye
	closeTime = 2 * time.Second  // for the last answers
	endTime   = 20 * time.Second // for all sessions to end, when the node is stopped
	tellTime  = time.Second      // for the control socket's last answer

	reconnectMin = 500 * time.Millisecond
	reconnectMax = 30 * time.Second
)

// errServing means that the listener failed; a service manager starts the node again.
var errServing = errors.New("the listener ended")

// stopRequest is how the control socket ends the node, and hears of its end.
type stopRequest struct {
	once *sync.Once
	want chan struct{} // closed: end everything
	done chan struct{} // closed: everything has ended
	err  *error        // what went wrong; set before done is closed
}

func newStopRequest() stopRequest {
	return stopRequest{once: new(sync.Once), want: make(chan struct{}), done: make(chan struct{}), err: new(error)}
}

// ask ends the node and waits until its sessions are gone.
func (s stopRequest) ask(ctx context.Context) error {
	s.once.Do(func() { close(s.want) })
	select {
	case <-s.done:
		return *s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// answer lets those who asked know.
func (s stopRequest) answer(err error) {
	*s.err = err
	close(s.done)
}

// errLeaving is for who asks for the end of everything when it is too late.
var errLeaving = errors.New("it was leaving already, and its sessions stay with the keeper for a while")

// loop is the node's life after it listens.
func (n *node) loop(ctx context.Context, hangup <-chan os.Signal) error {
	t := newTimers(n.settings.config.CLI.ConfigReload, n.systemd.watchdog())
	defer t.stop()
	for {
		select {
		case <-ctx.Done():
			return n.leave()
		case <-n.stop.want:
			return n.end()
		case err := <-n.served:
			return errors.Join(errServing, err, n.leave())
		case <-hangup:
			n.reload(ctx, true)
			t.setReload(n.settings.config.CLI.ConfigReload)
		case <-t.reload.C:
			n.reload(ctx, false)
			t.setReload(n.settings.config.CLI.ConfigReload)
		case <-t.certificate.C:
			n.renew(ctx)
			t.certificate.Reset(certCheck)
		case <-t.prune.C:
			n.prune()
		case <-t.watchdog.C:
			n.systemd.alive()
		case <-n.keeperDied():
			t.reconnect.Reset(n.loseKeeper())
		case <-t.reconnect.C:
			n.findKeeper(ctx, t.reconnect)
		}
	}
}

// timers wake the loop. One that is not needed never fires.
type timers struct {
	reload, watchdog       *time.Ticker
	prune                  *time.Ticker
	certificate, reconnect *time.Timer
	every                  time.Duration // of reload
}

func newTimers(reload, watchdog time.Duration) *timers {
	t := &timers{
		reload: ticker(reload), watchdog: ticker(watchdog), prune: ticker(pruneEvery),
		certificate: time.NewTimer(certFirst), reconnect: time.NewTimer(certFirst), every: reload,
	}
	t.reconnect.Stop()
	return t
}

// ticker is one that never ticks when d is not positive.
func ticker(d time.Duration) *time.Ticker {
	t := time.NewTicker(max(d, time.Millisecond))
	if d <= 0 {
		t.Stop()
	}
	return t
}

func (t *timers) setReload(d time.Duration) {
	if d == t.every {
		return
	}
	t.every = d
	t.reload.Stop()
	if d > 0 {
		t.reload.Reset(d)
	}
}

func (t *timers) stop() {
	t.reload.Stop()
	t.certificate.Stop()
	t.watchdog.Stop()
	t.prune.Stop()
	t.reconnect.Stop()
}

// leave ends the daemon and leaves its sessions to the keeper.
func (n *node) leave() error {
	n.log.Info("node leaves; its sessions go on for their resumeFor", "sessions", n.sessions())
	return n.shutdown(drainTime, errLeaving, func(ctx context.Context, s *shells) error { return s.sessions.Drain(ctx) })
}

// end ends all sessions, the keeper and the daemon.
func (n *node) end() error {
	n.log.Info("node stops and ends its sessions", "sessions", n.sessions())
	return n.shutdown(endTime, nil, func(ctx context.Context, s *shells) error {
		return errors.Join(s.sessions.Stop(ctx), s.keeper.Shutdown(ctx))
	})
}

// shutdown takes no more connections, lets finish deal with the sessions, and
// closes everything. Who asked for the end of everything is told late, or what
// finish says.
func (n *node) shutdown(patience time.Duration, late error, finish func(context.Context, *shells) error) error {
	n.systemd.stopping()
	n.handler.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	closing, closed := n.closeHTTP()
	var err error
	if s := n.handler.shells.Load(); s != nil {
		err = finish(ctx, s)
	}
	impatient := time.AfterFunc(closeTime, closing)
	<-closed
	impatient.Stop()
	n.stop.answer(errors.Join(late, err))
	tell, cancelTell := context.WithTimeout(context.Background(), tellTime)
	defer cancelTell()
	n.release(tell)
	if err != nil {
		return fmt.Errorf("end the node: %w", err)
	}
	n.log.Info("node has left")
	return nil
}

// closeHTTP stops listening at once and waits for what is being answered, until
// now is called. done is closed when nothing is left.
func (n *node) closeHTTP() (now func(), done <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		defer cancel()
		if n.http.Shutdown(ctx) != nil {
			n.http.Close()
		}
	}()
	return cancel, closed
}

// keeperDied is closed when the keeper is gone; nil while there is none.
func (n *node) keeperDied() <-chan struct{} {
	if s := n.handler.shells.Load(); s != nil {
		return s.keeper.Done()
	}
	return nil
}

// loseKeeper gives the sessions up, which died with the keeper, and says when
// to look for another one.
func (n *node) loseKeeper() time.Duration {
	n.metrics.KeeperUp(false)
	s := n.handler.shells.Swap(nil)
	n.log.Error("keeper died and its sessions with it", "sessions", s.sessions.Count())
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	n.note("let the sessions of a dead keeper go", s.sessions.Drain(ctx))
	n.note("leave a dead keeper", s.keeper.Close())
	n.reconnects = 0
	return 0
}

// findKeeper finds or starts another keeper.
func (n *node) findKeeper(ctx context.Context, again *time.Timer) {
	if err := n.openShells(ctx); err != nil {
		n.reconnects++
		pause := min(reconnectMin<<min(n.reconnects, 10), reconnectMax)
		n.log.Error("there is no keeper; sessions cannot be opened", "err", err, "duration", pause)
		again.Reset(pause)
		return
	}
	n.log.Info("another keeper was found")
}
