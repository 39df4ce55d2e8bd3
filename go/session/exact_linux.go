package session

import (
	"errors"
	"syscall"
	"time"
)

// exactly is how long before a time that must be kept a timer is set: the
// runtime's timers are late by up to a millisecond, by as much as depends on when
// the process last went to sleep, and so on when a key came.
const exactly = 2 * time.Millisecond

// maxSleepers is how many may sleep at once; each takes a thread of the system.
const maxSleepers = 64

// until waits for a time that is about exactly away, to the microsecond. While
// too many do so already it does not.
func (r *Registry) until(at time.Time) {
	defer r.sleepers.Add(-1)
	if r.sleepers.Add(1) > maxSleepers {
		return
	}
	for {
		d := at.Sub(r.o.Now())
		if d <= 0 {
			return
		}
		want := syscall.NsecToTimespec(int64(min(d, exactly)))
		if err := syscall.Nanosleep(&want, nil); !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}
