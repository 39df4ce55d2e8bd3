package cli

import (
	"os"
	"syscall"
)

// watch handles signals and asks to be suspended until done is closed.
func (r *remote) watch(done <-chan struct{}) {
	interrupted := false
	for {
		select {
		case sig := <-r.signals.ending:
			if sig == os.Interrupt && r.tty == nil && !interrupted && !r.viewer() && !r.line.isLost() {
				interrupted = true
				r.interrupt()
				continue
			}
			if r.finished.Load() && sig != hangup { // asked twice: a hangup comes on top of a read that fails
				r.giveUp()
			}
			r.finish(signalled(sig))
		case <-r.signals.job:
			r.back()
		case back := <-r.suspend:
			r.suspendNow()
			close(back)
		case <-done:
			return
		}
	}
}

// interrupt hands Ctrl-C on to the program, which has no terminal of its own to
// get it from. The second one ends the session.
func (r *remote) interrupt() {
	r.spawn(func() {
		if err := r.sess.Signal("INT"); err != nil {
			r.log.Debug("hand on the interrupt", "err", err)
		}
	})
}

// suspendAndWait suspends the process and returns when it is back.
func (r *remote) suspendAndWait() {
	back := make(chan struct{})
	select {
	case r.suspend <- back:
		<-back
	case <-r.over:
	}
}

// suspendNow gives the terminal back, stops, and takes it again. The session
// waits meanwhile, as a program does whose terminal was stopped.
func (r *remote) suspendNow() {
	r.leave()
	r.signals.suspendProcess()
	r.back()
}

// back takes the terminal again after the process was stopped.
func (r *remote) back() {
	if r.finished.Load() || r.tty == nil {
		return
	}
	if err := r.tty.enter(); err != nil {
		r.finish(err)
		return
	}
	r.app.stderr.raw.Store(true)
	r.line.enable()
	select {
	case r.signals.window <- syscall.SIGINT: // any will do: the size may be another
	default:
	}
}

// resize tells the program of each change of the window's size. Changes while
// the node is told are one change.
func (r *remote) resize(done <-chan struct{}) {
	cols, rows := r.opened[0], r.opened[1]
	for {
		if c, w := r.tty.size(); c != cols || w != rows {
			cols, rows = c, w
			if err := r.sess.Resize(cols, rows); err != nil {
				r.log.Debug("resize", "err", err)
			}
		}
		select {
		case <-r.signals.window:
		case <-done:
			return
		}
	}
}
