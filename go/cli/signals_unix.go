//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package cli

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

const hangup = syscall.SIGHUP

// orphanWait is how long a process waits to be stopped by the signal it sent
// itself. A process group without a shell above it is never stopped.
const orphanWait = 100 * time.Millisecond

// signals are those that concern a session.
type signals struct {
	ending chan os.Signal // the session is to end
	window chan os.Signal // the window's size changed
	job    chan os.Signal // continued after it was stopped
}

// catchSignals catches the signals of a session, and where it has a terminal
// those that change it. One that the process was told to ignore (nohup, a
// background job) stays ignored. SIGTSTP is left alone: the runtime does not
// give its default action back once it was caught.
func catchSignals(terminal bool) *signals {
	s := &signals{
		ending: make(chan os.Signal, 2),
		window: make(chan os.Signal, 1),
		job:    make(chan os.Signal, 1),
	}
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(sig) {
			signal.Notify(s.ending, sig)
		}
	}
	if terminal {
		signal.Notify(s.window, syscall.SIGWINCH)
		signal.Notify(s.job, syscall.SIGCONT)
	}
	return s
}

func (s *signals) stop() {
	signal.Stop(s.ending)
	signal.Stop(s.window)
	signal.Stop(s.job)
}

// suspendProcess stops the process group, as Ctrl-Z does outside of raw mode,
// and returns when it is continued. Only the whole group will do: a script or
// etcha demo that waits for this process must give the terminal back too.
func (s *signals) suspendProcess() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	if syscall.Kill(0, syscall.SIGTSTP) != nil {
		return
	}
	select {
	case <-continued:
	case <-time.After(orphanWait):
	}
}

// signalNumber is a signal's number.
func signalNumber(sig os.Signal) int {
	n, _ := sig.(syscall.Signal)
	return int(n)
}
