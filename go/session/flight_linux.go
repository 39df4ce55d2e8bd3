package session

import (
	"sync"
	"time"

	"etcha/go/wire"
)

// Constants of flight control.
const (
	// markStep is the least output between two round-trip marks, bytes.
	markStep = 16 << 10
	// maxMarks bounds the marks that wait for their acknowledgement.
	maxMarks = 64
	// queueNum/queueDen of the shortest round trip, plus queueSlack, is the round
	// trip above which output is standing in a queue.
	queueNum, queueDen = 5, 4
	queueSlack         = 500 * time.Microsecond
	// blockedWithin is how near to its limit the output must be to count as
	// held back by it: a terminal gives at most this at once, bytes.
	blockedWithin = 4 << 10
)

// flight decides how much output may be unacknowledged. It starts at
// wire.InitialFlight and grows to the bandwidth-delay product of the path as TCP
// does in slow start: by what is acknowledged while the limit holds output back,
// but only as long as the round trip shows that nothing is standing in a queue.
// More in flight than the path holds would only be stale when somebody presses
// Ctrl-C. It never shrinks; a new stream, which may be a new path, starts again.
//
// A round trip is from the flush of an output byte to the acknowledgement that
// covers it, and counts only while the limit holds output back: otherwise it
// holds the pauses of whoever types. The shortest one of the stream stands for
// the path, as the first output of a burst meets it empty.
type flight struct {
	mu     sync.Mutex
	limit  uint64
	window uint64
	acked  uint64
	best   time.Duration // shortest round trip; 0: none yet
	marks  []mark
}

// mark remembers when output up to an offset was flushed.
type mark struct {
	offset uint64
	at     time.Time
}

// reset begins a stream and gives the first limit.
func (f *flight) reset(window, acked uint64) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window, f.acked, f.best, f.marks = window, acked, 0, f.marks[:0]
	f.limit = min(wire.InitialFlight, window)
	return f.limit
}

// sent notes that output up to offset was flushed.
func (f *flight) sent(offset uint64, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.marks)
	if n == maxMarks || n > 0 && offset < f.marks[n-1].offset+max(markStep, f.limit/maxMarks) {
		return
	}
	f.marks = append(f.marks, mark{offset, now})
}

// acknowledged takes in what the client has consumed, of what the program has
// written so far, and gives the new limit; grown is false when it is the old one.
func (f *flight) acknowledged(consumed, head uint64, now time.Time) (limit uint64, grown bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	consumed = min(consumed, head)
	if consumed <= f.acked {
		return f.limit, false
	}
	blocked := head+blockedWithin >= f.acked+f.limit
	fresh := consumed - f.acked
	f.acked = consumed
	trip, ok := f.trip(consumed, now)
	if !ok || !blocked || f.queued(trip) || f.limit >= f.window {
		return f.limit, false
	}
	f.limit = min(f.limit+fresh, f.window)
	return f.limit, true
}

// trip is the round trip of the newest mark that is acknowledged.
func (f *flight) trip(consumed uint64, now time.Time) (time.Duration, bool) {
	n := 0
	for n < len(f.marks) && f.marks[n].offset <= consumed {
		n++
	}
	if n == 0 {
		return 0, false
	}
	trip := max(now.Sub(f.marks[n-1].at), 0)
	f.marks = append(f.marks[:0], f.marks[n:]...)
	return trip, true
}

// queued reports whether a round trip shows output standing in a queue. The
// first one shows nothing yet.
func (f *flight) queued(trip time.Duration) bool {
	if f.best == 0 {
		f.best = max(trip, 1)
		return true
	}
	f.best = min(f.best, max(trip, 1))
	return trip > f.best*queueNum/queueDen+queueSlack
}
