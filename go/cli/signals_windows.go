package cli

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

const hangup = syscall.SIGHUP

// pollWindow is how often the window's size is looked at: Windows tells nobody.
const pollWindow = 250 * time.Millisecond

// signals are those that concern a session.
type signals struct {
	ending chan os.Signal // the session is to end
	window chan os.Signal // the window's size may have changed
	job    chan os.Signal // never: there is no job control
	done   chan struct{}
}

func catchSignals(terminal bool) *signals {
	s := &signals{
		ending: make(chan os.Signal, 2),
		window: make(chan os.Signal, 1),
		done:   make(chan struct{}),
	}
	signal.Notify(s.ending, os.Interrupt, syscall.SIGTERM) // SIGTERM: the console is closed
	if terminal {
		go s.poll()
	}
	return s
}

func (s *signals) poll() {
	tick := time.NewTicker(pollWindow)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			select {
			case s.window <- os.Interrupt: // any will do
			default:
			}
		case <-s.done:
			return
		}
	}
}

func (s *signals) stop() {
	signal.Stop(s.ending)
	close(s.done)
}

func (*signals) suspendProcess() {}

// signalNumber is a signal's number.
func signalNumber(sig os.Signal) int {
	n, _ := sig.(syscall.Signal)
	return int(n)
}
