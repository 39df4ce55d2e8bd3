package record

import (
	"errors"
	"io"
	"math"
	"strings"
	"time"
)

// Screen is what a recording is shown on.
type Screen interface {
	io.Writer
	// Reset makes the screen as it was before the recording: empty, no modes.
	Reset() error
}

// PlayOptions say how a recording is shown.
type PlayOptions struct {
	Speed     float64       // 1: as it was; 0: as fast as possible
	IdleLimit time.Duration // the longest wait between two events; 0: none
	Unsafe    bool          // everything reaches the screen, not only what [Filter] lets through
	Now       func() time.Time
}

// Player shows a recording. It waits for nothing and starts nothing: the caller
// asks [Player.Wait] how long there is nothing to do and calls [Player.Advance]
// then. Positions are times of the playback at speed 1, that is with the waits
// that the idle limit has shortened. It has one user at a time.
type Player struct {
	src    io.ReaderAt
	screen Screen
	o      PlayOptions
	meta   Meta
	cut    bool // the recording's last line is not complete

	reader  *Reader
	filter  *Filter
	shown   int           // events that were shown
	next    Event         // the one after them, its time that of the playback
	atEnd   bool          // there is none
	skipped time.Duration // by the idle limit, before next
	drawn   time.Duration // of the event shown last

	paused bool
	pos    time.Duration // at since
	since  time.Time
}

// NewPlayer reads the beginning of a recording. Nothing is shown before
// [Player.Advance].
func NewPlayer(src io.ReaderAt, screen Screen, o PlayOptions) (*Player, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Player{src: src, screen: screen, o: o}
	if err := p.rewind(); err != nil {
		return nil, err
	}
	p.meta = p.reader.Meta()
	p.since = o.Now()
	return p, nil
}

// Meta is what the recording says of itself.
func (p *Player) Meta() Meta { return p.meta }

// Paused reports whether time stands still.
func (p *Player) Paused() bool { return p.paused }

// AtEnd reports whether everything was shown.
func (p *Player) AtEnd() bool { return p.atEnd }

// Cut reports whether the recording ends within a line, as one that is still
// being written may; known at the end.
func (p *Player) Cut() bool { return p.cut }

// Speed is how fast it is: 1 is as it was, 0 as fast as possible.
func (p *Player) Speed() float64 { return p.o.Speed }

// Position is where the playback is.
func (p *Player) Position() time.Duration {
	switch {
	case p.atEnd:
		return p.drawn
	case p.paused:
		return p.pos
	case p.o.Speed == 0:
		return p.drawn
	}
	played := float64(p.o.Now().Sub(p.since)) * p.o.Speed
	return min(p.pos+time.Duration(min(played, float64(maxTime))), p.next.Time)
}

// Wait is how long nothing is to be shown; ok is false when that lasts until
// somebody does something: it is paused or at its end.
func (p *Player) Wait() (d time.Duration, ok bool) {
	if p.paused || p.atEnd {
		return 0, false
	}
	if p.o.Speed == 0 {
		return 0, true
	}
	left := float64(p.next.Time-p.pos)/p.o.Speed - float64(p.o.Now().Sub(p.since))
	return time.Duration(min(max(left, 0), float64(maxTime))), true
}

// advanceEvents is how many events are shown at once at most, so that a key is
// heard meanwhile.
const advanceEvents = 1000

// Advance shows what is due.
func (p *Player) Advance() error {
	w := &batch{w: p.screen}
	for range advanceEvents {
		if d, ok := p.Wait(); !ok || d > 0 {
			break
		}
		if err := p.show(w); err != nil {
			return errors.Join(err, w.flush())
		}
	}
	return w.flush()
}

// Pause makes time stand still.
func (p *Player) Pause() {
	p.hold(p.Position())
}

// hold pauses at a position.
func (p *Player) hold(at time.Duration) { p.pos, p.paused = at, true }

// Play goes on.
func (p *Player) Play() {
	if p.paused {
		p.since, p.paused = p.o.Now(), false
	}
}

// SetSpeed makes it faster or slower from here on.
func (p *Player) SetSpeed(speed float64) {
	p.pos, p.since = p.Position(), p.o.Now()
	p.o.Speed = max(speed, 0)
}

// Step shows the next event that draws something, and pauses after it.
func (p *Player) Step() error {
	for !p.atEnd {
		drew := p.next.Code == Output
		if err := p.show(p.screen); err != nil {
			return err
		}
		if drew {
			break
		}
	}
	p.hold(p.drawn)
	return nil
}

// Seek goes to a position, forwards or backwards.
func (p *Player) Seek(to time.Duration) error {
	to = max(to, 0)
	if p.shown > 0 && p.drawn > to {
		if err := p.restart(); err != nil {
			return err
		}
	}
	if err := p.until(func() bool { return p.next.Time > to }); err != nil {
		return err
	}
	p.pos, p.since = to, p.o.Now()
	return nil
}

// Redraw shows the picture again, after something else was drawn over it.
func (p *Player) Redraw() error {
	at, shown := p.Position(), p.shown
	if err := p.goTo(shown); err != nil {
		return err
	}
	p.pos, p.since = at, p.o.Now()
	return nil
}

// goTo shows the picture after so many events, from the beginning.
func (p *Player) goTo(shown int) error {
	if err := p.restart(); err != nil {
		return err
	}
	return p.until(func() bool { return p.shown >= shown })
}

// restart makes the screen empty and begins from the beginning.
func (p *Player) restart() error {
	if err := p.screen.Reset(); err != nil {
		return err
	}
	return p.rewind()
}

// until shows events without waiting, until stop or the end. The screen gets
// them in large writes.
func (p *Player) until(stop func() bool) error {
	w := &batch{w: p.screen}
	for !p.atEnd && !stop() {
		if err := p.show(w); err != nil {
			return errors.Join(err, w.flush())
		}
	}
	return w.flush()
}

// rewind begins the recording from its beginning.
func (p *Player) rewind() error {
	reader, err := NewReader(io.NewSectionReader(p.src, 0, math.MaxInt64))
	if err != nil {
		return err
	}
	p.reader, p.filter = reader, &Filter{}
	p.shown, p.skipped, p.drawn, p.atEnd, p.next = 0, 0, 0, false, Event{}
	return p.read()
}

// read takes the next event from the recording.
func (p *Player) read() error {
	e, err := p.reader.Next()
	switch {
	case errors.Is(err, io.EOF):
		p.atEnd = true
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		p.atEnd, p.cut = true, true
		return nil
	case err != nil:
		return err
	}
	e.Time -= p.skipped
	if wait := e.Time - p.next.Time; p.o.IdleLimit > 0 && wait > p.o.IdleLimit {
		p.skipped += wait - p.o.IdleLimit
		e.Time -= wait - p.o.IdleLimit
	}
	p.next = e
	return nil
}

// show shows the next event.
func (p *Player) show(w io.Writer) error {
	e := p.next
	p.shown++
	p.drawn = e.Time
	if e.Code == Output {
		if b := p.text(e.Data); len(b) > 0 {
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
	}
	return p.read()
}

// text is what of output reaches the screen.
func (p *Player) text(data string) []byte {
	if p.meta.Pipes { // the terminal would have seen it so: ONLCR
		data = strings.ReplaceAll(data, "\n", "\r\n")
	}
	if p.o.Unsafe {
		return []byte(data)
	}
	return p.filter.Append(nil, data)
}

// batchSize is from where a batch is written, bytes.
const batchSize = 64 << 10

// batch collects writes.
type batch struct {
	w io.Writer
	b []byte
}

func (b *batch) Write(p []byte) (int, error) {
	b.b = append(b.b, p...)
	if len(b.b) < batchSize {
		return len(p), nil
	}
	return len(p), b.flush()
}

func (b *batch) flush() error {
	if len(b.b) == 0 {
		return nil
	}
	_, err := b.w.Write(b.b)
	b.b = b.b[:0]
	return err
}
