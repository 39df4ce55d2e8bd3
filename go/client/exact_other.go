//go:build !linux

package client

import "time"

// exactly is how long before a time that must be kept a timer is set.
const exactly = 0

// sleep waits for the rest.
func sleep(d time.Duration) { time.Sleep(d) }
