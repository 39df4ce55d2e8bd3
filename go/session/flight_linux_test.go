package session

import (
	"testing"
	"time"

	"etcha/go/wire"
)

// link is a simulated connection: a sender that is always held back by the
// limit alone, a link of one rate and delay, and a client that acknowledges each
// wire.AckEvery bytes.
type link struct {
	rate  float64 // bytes per second
	delay time.Duration
}

// run sends total bytes and gives the limit at the end and the rate reached.
func (p link) run(f *flight, total uint64) (limit uint64, rate float64) {
	const step = 8 << 10
	start := time.Unix(1_000_000, 0)
	now := start
	limit = f.reset(16<<20, 0)
	var sent, acked uint64
	free := now // when the link is idle again
	type ack struct {
		offset uint64
		at     time.Time
	}
	var acks []ack
	for acked < total {
		if sent < acked+limit {
			sent += step
			f.sent(sent, now)
			free = later(free, now).Add(time.Duration(step / p.rate * float64(time.Second)))
			if sent%wire.AckEvery == 0 {
				acks = append(acks, ack{sent, free.Add(p.delay)})
			}
			continue
		}
		now = later(now, acks[0].at)
		acked = acks[0].offset
		acks = acks[1:]
		limit, _ = f.acknowledged(acked, sent, now)
	}
	return limit, float64(acked) / now.Sub(start).Seconds()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func TestFlightFindsThePath(t *testing.T) {
	for _, c := range []struct {
		name     string
		link     link
		min, max uint64
		rate     float64 // part of the link's rate that must be reached
	}{
		{"loopback", link{150e6, 50 * time.Microsecond}, wire.InitialFlight, wire.InitialFlight + wire.AckEvery, 0.9},
		{"a slow terminal", link{2e6, 50 * time.Microsecond}, wire.InitialFlight, wire.InitialFlight, 0.9},
		{"a slow link", link{1e6, 40 * time.Millisecond}, wire.InitialFlight, wire.InitialFlight, 0.9},
		{"a long fast link", link{100e6, 50 * time.Millisecond}, 4 << 20, 16 << 20, 0.7},
		{"a longer slower link", link{10e6, 200 * time.Millisecond}, 2 << 20, 6 << 20, 0.7},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit, rate := c.link.run(&flight{}, 400<<20)
			if limit < c.min || limit > c.max || rate < c.rate*c.link.rate {
				t.Errorf("limit %d KiB, %.1f of %.1f MB/s; want %d to %d KiB", limit>>10, rate/1e6, c.link.rate/1e6, c.min>>10, c.max>>10)
			}
		})
	}
}

// TestFlightIgnoresTyping: the pause between two keys is no round trip.
func TestFlightIgnoresTyping(t *testing.T) {
	f := &flight{}
	f.reset(16<<20, 0)
	now := time.Unix(1, 0)
	for i := range uint64(10) {
		f.sent(i*markStep, now)
		now = now.Add(300 * time.Millisecond)
		f.acknowledged(i*markStep, i*markStep, now)
	}
	if f.best != 0 {
		t.Errorf("a round trip of %v was measured", f.best)
	}
}

func TestFlightStaysInTheWindow(t *testing.T) {
	f := &flight{}
	if got := f.reset(100, 0); got != 100 {
		t.Errorf("a window of 100 bytes starts at %d", got)
	}
	now := time.Unix(1, 0)
	const window = wire.InitialFlight + 10
	limit := f.reset(window, 0)
	for sent := uint64(0); sent < 4<<20; {
		sent += limit
		f.sent(sent, now)
		now = now.Add(time.Millisecond)
		limit, _ = f.acknowledged(sent, sent, now)
	}
	if limit != window {
		t.Errorf("limit %d, window %d", limit, window)
	}
}

func TestFlightIgnoresOddAcknowledgements(t *testing.T) {
	f := &flight{}
	f.reset(1<<20, 1000)
	now := time.Unix(1, 0)
	f.sent(3000, now)
	for _, consumed := range []uint64{0, 1000, 1 << 40} { // old, again, beyond the head
		if limit, grown := f.acknowledged(consumed, 3000, now.Add(time.Millisecond)); grown || limit != wire.InitialFlight {
			t.Errorf("acknowledging %d gives %d", consumed, limit)
		}
	}
	if f.acked != 3000 {
		t.Errorf("acknowledged %d, the head is 3000", f.acked)
	}
}

func TestFlightForgetsThePathOfAnotherStream(t *testing.T) {
	f := &flight{}
	link{100e6, 50 * time.Millisecond}.run(f, 100<<20)
	if f.reset(1<<20, 0) != wire.InitialFlight || f.best != 0 || len(f.marks) != 0 {
		t.Errorf("the next stream starts with %+v", f)
	}
}

func TestFlightMarksAreBounded(t *testing.T) {
	f := &flight{}
	f.reset(64<<20, 0)
	for i := range uint64(10_000) {
		f.sent(i*markStep, time.Unix(1, 0))
	}
	if len(f.marks) != maxMarks {
		t.Errorf("%d marks", len(f.marks))
	}
}
