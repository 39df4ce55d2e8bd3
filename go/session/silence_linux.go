package session

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"etcha/go/wire"
)

// A silence lasts between silenceMin and silenceMax, at random; what is left
// until wire.KeepaliveMax is for a slow machine.
const (
	silenceMin = 3 * time.Second
	silenceMax = wire.KeepaliveMax - time.Second
	// keepaliveMax bounds the text of a keepalive, bytes.
	keepaliveMax = 256
)

// silence decides when a stream has said nothing for long enough. It belongs to
// the stream's goroutine; only the timer's callback runs elsewhere.
//
// The timer is not moved with every event, which would cost in the path of an
// echo: it goes off, the stream sees when the last event was, and sets it again.
type silence struct {
	now   func() time.Time
	after func(time.Duration, func()) (stop func())
	wake  func()

	last  time.Time     // of the last event
	long  time.Duration // how long this silence may last
	stop  func()
	fired atomic.Bool
}

// begin starts the first silence; wake is called when the stream must look.
func (q *silence) begin(r *Registry, wake func()) {
	q.now, q.after, q.wake = r.o.Now, r.o.After, wake
	q.last = q.now()
	q.draw()
	q.arm(q.long)
}

// end stops the timer.
func (q *silence) end() { q.stop() }

// draw chooses the length of the next silence.
func (q *silence) draw() { q.long = silenceMin + rand.N(silenceMax-silenceMin) }

func (q *silence) arm(d time.Duration) {
	q.stop = q.after(d, func() {
		q.fired.Store(true)
		q.wake()
	})
}

// due is the text that breaks the silence, nil while none must.
func (q *silence) due() []byte {
	if !q.fired.CompareAndSwap(true, false) {
		return nil
	}
	rest := q.long - q.now().Sub(q.last)
	if rest > 0 {
		q.arm(rest)
		return nil
	}
	q.draw()
	q.arm(q.long)
	return keepalive()
}

// keepalive is random text of random length: neither size nor content tells it
// from something else.
func keepalive() []byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	text := make([]byte, 1+rand.IntN(keepaliveMax))
	for i := range text {
		text[i] = letters[rand.IntN(len(letters))]
	}
	return text
}
