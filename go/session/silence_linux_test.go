package session

import (
	"math/rand/v2"
	"testing"
	"time"

	"etcha/go/wire"
)

// TestSilence: whatever else is written, the stream is never silent for longer
// than it may be, says something at random times, and sets no timer per event.
func TestSilence(t *testing.T) {
	const step = 10 * time.Millisecond
	c := newClock()
	r := &Registry{o: Options{Now: c.Now, After: c.After}}
	woken := false
	var q silence
	q.begin(r, func() { woken = true })
	defer q.end()
	gaps, sizes := map[time.Duration]int{}, map[int]int{}
	last := c.Now()
	for range int(time.Hour / step) {
		c.advance(step)
		if c.pending() > 1 {
			t.Fatalf("%d timers wait", c.pending())
		}
		if rand.IntN(700) == 0 { // another event
			q.last, last = c.Now(), c.Now()
		}
		if !woken {
			continue
		}
		woken = false
		text := q.due()
		if text == nil {
			continue
		}
		gap := c.Now().Sub(last)
		if gap < silenceMin || gap > silenceMax+step || gap >= wire.KeepaliveMax {
			t.Fatalf("a silence of %v", gap)
		}
		gaps[gap]++
		sizes[len(text)]++
		q.last, last = c.Now(), c.Now()
	}
	if c.Now().Sub(last) >= wire.KeepaliveMax {
		t.Errorf("silent for %v at the end", c.Now().Sub(last))
	}
	if len(gaps) < 50 || len(sizes) < 50 {
		t.Errorf("%d different gaps, %d different sizes in an hour", len(gaps), len(sizes))
	}
	if q.due() != nil {
		t.Error("due without a timer")
	}
}
