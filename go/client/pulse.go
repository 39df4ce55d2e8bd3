package client

import (
	"context"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// suspended is how late a timer must be for this process to have stood still:
// stopped by its user, or on a machine that slept.
const suspended = 3 * time.Second

// pulse finds out that a link is dead: the stream is silent for too long, or a
// small request has no answer while the stream is silent as well. Time counts
// only while the stream is being read and the process runs.
type pulse struct {
	w    waits
	lose func(error)
	ask  atomic.Pointer[func()] // sends a request, for the sake of its answer

	turns atomic.Uint64 // reads that began and reads that ended: odd while one waits
	since atomic.Int64  // when the present read began, after born
	born  time.Time
	timer *time.Timer
}

func newPulse(w waits, lose func(error)) *pulse {
	p := &pulse{w: w, lose: lose, born: w.now()}
	p.timer = time.AfterFunc(math.MaxInt64, p.silent)
	return p
}

// stop ends the watch. No read begins after it.
func (p *pulse) stop() { p.timer.Stop() }

// reader watches the reads of a stream.
func (p *pulse) reader(body io.Reader) io.Reader { return &pulseReader{p, body} }

type pulseReader struct {
	p    *pulse
	body io.Reader
}

func (r *pulseReader) Read(b []byte) (int, error) {
	p := r.p
	p.since.Store(int64(p.w.now().Sub(p.born)))
	p.turns.Add(1)
	p.timer.Reset(p.w.silence)
	n, err := r.body.Read(b)
	p.timer.Stop()
	p.turns.Add(1)
	return n, err
}

// waiting reports whether the stream is read and brings nothing.
func (p *pulse) waiting() bool { return p.turns.Load()%2 == 1 }

// silent is called when a read has taken too long.
func (p *pulse) silent() {
	if !p.waiting() {
		return
	}
	waited := p.w.now().Sub(p.born) - time.Duration(p.since.Load())
	if waited < p.w.silence+suspended {
		p.lose(errSilent)
		return
	}
	// The node may have spoken all the while, and only nobody listened.
	p.since.Store(int64(p.w.now().Sub(p.born)))
	p.timer.Reset(p.w.silence)
	if ask := p.ask.Load(); ask != nil {
		(*ask)()
	}
}

// doubt watches for the answer to one request.
type doubt struct {
	p     *pulse
	small func() bool // little is under way: an answer is due

	mu    sync.Mutex
	over  bool
	since time.Time
	turn  uint64
	timer *time.Timer
}

// expect watches for an answer. The function that it returns ends that.
func (p *pulse) expect(small func() bool) (answered func()) {
	d := &doubt{p: p, small: small}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.since, d.turn = p.w.now(), p.turns.Load()
	d.timer = time.AfterFunc(p.w.unanswered, d.unanswered)
	return d.end
}

func (d *doubt) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	d.timer.Stop()
}

// unanswered gives the link up when the very read that waited when the request
// left is still waiting; else it watches on.
func (d *doubt) unanswered() {
	little := d.small()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return
	}
	now, turn := d.p.w.now(), d.p.turns.Load()
	if little && turn == d.turn && turn%2 == 1 && now.Sub(d.since) < d.p.w.unanswered+suspended {
		d.p.lose(errUnanswered)
		return
	}
	d.since, d.turn = now, turn
	d.timer.Reset(d.p.w.unanswered)
}

// pause waits for d or until ctx ends.
func (w waits) pause(ctx context.Context, d time.Duration) {
	select {
	case <-w.after(d):
	case <-ctx.Done():
	}
}
