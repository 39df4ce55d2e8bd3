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

// sleep waits for the rest, of about that length, to the microsecond.
func sleep(d time.Duration) {
	for d > 0 {
		left := syscall.Timespec{}
		want := syscall.NsecToTimespec(int64(d))
		if err := syscall.Nanosleep(&want, &left); !errors.Is(err, syscall.EINTR) {
			return
		}
		d = time.Duration(left.Nano())
	}
}
