package server

import (
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// systemd tells the service manager where the node stands (sd_notify(3)).
// Without one, all of it does nothing.
type systemd struct{ log *slog.Logger }

func (s systemd) ready()    { s.tell(daemon.SdNotifyReady) }
func (s systemd) stopping() { s.tell(daemon.SdNotifyStopping) }
func (s systemd) alive()    { s.tell(daemon.SdNotifyWatchdog) }

// reloading must be followed by ready.
func (s systemd) reloading() {
	s.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

func (s systemd) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("service manager cannot be told", "err", err)
	}
}

// watchdog is how often alive must be called; 0: never.
func (s systemd) watchdog() time.Duration {
	d, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("watchdog of the service manager is unusable", "err", err)
		return 0
	}
	return d / 2
}
