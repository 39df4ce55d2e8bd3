package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"etcha/go/client"
)

const (
	// lossShownAfter is how long the connection is lost before a person is told:
	// most losses are over sooner.
	lossShownAfter = time.Second
	// lossToldAfter is the same where it is told once, in a line of its own.
	lossToldAfter = 5 * time.Second
	// flashFor is how long a notice stays over a full screen.
	flashFor = 8 * time.Second
)

// statusLine says that the connection is lost while it is, over the program's
// picture. At a prompt it stands on the row below the cursor, for which room is
// made, and leaves nothing behind. Over a program that uses the whole screen it
// is the last row, and the program is asked to draw anew afterwards. Without a
// terminal a long loss is told in a line of its own, and its end in another.
type statusLine struct {
	r    *remote
	wake chan struct{} // cap 1: there is something to show

	mu    sync.Mutex
	off   bool          // the terminal is not ours
	lost  *client.Event // the last about a loss; nil: connected
	since time.Time     // of the loss
	told  bool          // of it, in a line of its own
	said  string        // a notice; empty: none
	until time.Time     // it is shown
	place linePlace     // of what is drawn
}

// linePlace is where the line is.
type linePlace int

const (
	placeNone  linePlace = iota
	placeBelow           // the row below the cursor
	placeLast            // the last row of a full screen
)

func newStatusLine(r *remote) *statusLine {
	return &statusLine{r: r, wake: make(chan struct{}, 1), off: true}
}

// run shows what there is to show until done is closed.
func (l *statusLine) run(done <-chan struct{}) {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		next := l.show(time.Now())
		t.Stop()
		if next > 0 {
			t.Reset(next)
		}
		select {
		case <-l.wake:
		case <-t.C:
		case <-done:
			return
		}
	}
}

func (l *statusLine) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// lose begins the telling of a loss, or brings it up to date.
func (l *statusLine) lose(e client.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil {
		l.since, l.told = time.Now(), false
	}
	l.lost = &e
	l.poke()
}

// back ends it. When it returns the line is gone: the program's output follows.
func (l *statusLine) back() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = nil
	l.erase()
	if l.told {
		l.r.note("connected again")
	}
}

// flash shows a notice over a program that uses the whole screen. It reports
// false where a line of its own is better.
func (l *statusLine) flash(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.off || l.plain() || !l.r.output.fullScreen() {
		return false
	}
	l.said, l.until = text, time.Now().Add(flashFor)
	l.poke()
	return true
}

// enable lets the line be drawn: the terminal is raw and ours.
func (l *statusLine) enable() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.off = false
	l.poke()
}

// clear takes the line away before the terminal is given back.
func (l *statusLine) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
	l.off = true
}

func (l *statusLine) isLost() bool {
	_, lost := l.lostUntil()
	return lost
}

// lostUntil reports whether the connection is lost, and until when the node
// keeps the session; zero: not known.
func (l *statusLine) lostUntil() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil {
		return time.Time{}, false
	}
	return l.lost.Deadline, true
}

// plain reports whether there is no terminal to draw on.
func (l *statusLine) plain() bool {
	term := l.r.app.getenv("TERM")
	return l.r.tty == nil || term == "dumb" || term == ""
}

// show draws what there is and returns when to do it again; 0: when woken.
func (l *statusLine) show(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.r.finished.Load():
	case l.plain():
		return l.tell(now)
	case l.off:
	case l.lost != nil:
		if wait := lossShownAfter - now.Sub(l.since); wait > 0 {
			return wait
		}
		l.draw(l.text(now))
		return time.Second
	case l.said != "":
		if wait := l.until.Sub(now); wait > 0 {
			l.draw("etcha: " + l.said)
			return wait
		}
		l.said = ""
		l.erase()
	}
	return 0
}

// tell says once in a line of its own that the connection is lost.
func (l *statusLine) tell(now time.Time) time.Duration {
	if l.lost == nil || l.told {
		return 0
	}
	if wait := lossToldAfter - now.Sub(l.since); wait > 0 {
		return wait
	}
	l.told = true
	text := "connection to " + l.r.where.String() + " lost (" + lossReason(l.lost.Cause) + "); trying again"
	if left := l.lost.Deadline.Sub(now); left > 0 {
		text += "; the session is kept for " + shortDuration(left.Round(time.Second))
	}
	l.r.note("%s", text)
	return 0
}

// text is the line about the loss that fits the window best.
func (l *statusLine) text(now time.Time) string {
	next, kept, end := "trying now", "", ""
	if wait := l.lost.Next.Sub(now).Round(time.Second); wait > 0 {
		next = "next try in " + shortDuration(wait)
	}
	if left := l.lost.Deadline.Sub(now); left > 0 {
		kept = shortDuration(left.Round(time.Second))
	}
	if !l.r.esc.off {
		end = l.r.esc.name() + ". gives up"
	}
	why := lossReason(l.lost.Cause)
	long := []string{"connection to " + l.r.where.String() + " lost (" + why + ")", next}
	short := []string{"lost (" + why + ")", next}
	if kept != "" {
		long, short = append(long, "the session is kept for "+kept), append(short, "kept for "+kept)
	}
	if end != "" {
		long, short = append(long, end), append(short, end)
	}
	cols, _ := l.r.tty.size()
	if text := "etcha: " + strings.Join(long, "; "); utf8.RuneCountInString(text) < int(cols) {
		return text
	}
	return "etcha: " + strings.Join(short, ", ")
}

// Control sequences of the line. The cursor's place is saved with its colours,
// character set and origin mode (DECSC), and these are as at first meanwhile.
const (
	lineBegin = "\x1b7\x1b[?6l\x1b[m\x0f"
	lineEnd   = "\x1b[m\x1b8"
	eraseRow  = "\x1b[2K"
	roomBelow = "\n\x1b[A" // a row below the cursor, which stays where it is
	rowBelow  = "\x1b[B\r"
)

func lastRow(rows uint16) string { return fmt.Sprintf("\x1b[%d;1H", rows) }

// draw shows text; l.mu is held.
func (l *statusLine) draw(text string) {
	cols, rows := l.r.tty.size()
	bar := "\x1b[7m" + bar(text, int(cols)-1)
	l.r.output.between(func(full bool) string {
		s := ""
		if now := placeFor(full); l.place != now {
			s = eraseAt(l.place, rows)
			if now == placeBelow {
				s += roomBelow
			}
			l.place = now
		}
		if full {
			return s + lineBegin + lastRow(rows) + eraseRow + bar + lineEnd
		}
		return s + lineBeginRelative + rowBelow + eraseRow + bar + lineEnd
	})
}

// lineBeginRelative is lineBegin for a place that is counted from the cursor's:
// changing origin mode would move it.
const lineBeginRelative = "\x1b7\x1b[m\x0f"

func placeFor(full bool) linePlace {
	if full {
		return placeLast
	}
	return placeBelow
}

// erase takes away what is drawn; l.mu is held.
func (l *statusLine) erase() {
	if l.place == placeNone {
		return
	}
	_, rows := l.r.tty.size()
	at := l.place
	l.place = placeNone
	l.r.output.between(func(bool) string { return eraseAt(at, rows) })
	if at == placeLast {
		l.r.redraw()
	}
}

func eraseAt(at linePlace, rows uint16) string {
	switch at {
	case placeBelow:
		return lineBeginRelative + rowBelow + eraseRow + lineEnd
	case placeLast:
		return lineBegin + lastRow(rows) + eraseRow + lineEnd
	case placeNone:
	}
	return ""
}

// bar is text, cut or filled to width characters.
func bar(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n <= width {
		return text + strings.Repeat(" ", width-n)
	}
	return string([]rune(text)[:max(0, width-1)]) + "…"
}

// lossReason says in a few words why there is no connection.
func lossReason(err error) string {
	var refused *client.RefusedError
	var proxy *client.ProxyError
	var number syscall.Errno
	var name *net.DNSError
	var broken *client.StreamError
	switch {
	case errors.As(err, &refused):
		return string(refused.Problem.Code)
	case errors.As(err, &proxy):
		return fmt.Sprintf("a proxy says %d", proxy.Status)
	case errors.As(err, &name):
		return "name not found"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection cut"
	case errors.As(err, &number):
		return number.Error()
	case errors.As(err, &broken), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection cut"
	}
	return "no answer"
}

// redraw makes the program draw its screen anew: it is told of another size and
// of the right one again. A guest cannot.
func (r *remote) redraw() {
	if r.guest() || r.sess == nil || r.finished.Load() {
		return
	}
	r.spawn(func() {
		cols, rows := r.tty.size()
		if rows < 2 {
			return
		}
		err := r.sess.Resize(cols, rows-1)
		if err == nil {
			err = r.sess.Signal("WINCH") // it returns when the node has done both
		}
		if err == nil {
			err = r.sess.Resize(r.tty.size())
		}
		if err != nil {
			r.log.Debug("make the program draw anew", "err", err)
		}
	})
}
