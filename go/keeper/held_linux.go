package keeper

import (
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"etcha/go/pty"
	"etcha/go/wire"
)

// held is one session in the keeper. What the next program in this process needs
// to go on (sessionState) is record, the ring's memory file (its header holds
// every counter), the input queue, and the process's descriptors.
//
// Goroutines: one per output stream (pump), one for the session's life, both
// ended by life; one writes input while the program does not take it at once;
// the daemon's connection is served by its own (serve).
//
// Lock order: input.mu before mu; server.mu after both.
type held struct {
	record
	s        *server
	proc     *pty.Process // nil when it had ended before an upgrade
	in       input
	clearing *teardown

	ending chan struct{} // closed when the session is to end
	gone   chan struct{} // closed when everything of it has ended
	pause  *parking      // never nil; another one after each thaw

	mu    sync.Mutex
	moved sync.Cond // output may go on, or must stop
	ring  *ring     // nil when freed

	// The daemon, if one is connected.
	link     *link
	left     chan struct{} // closed when link has been given up
	page     region
	ctl      *control // nil: no daemon
	attached bool     // somebody reads
	taken    bool     // some daemon has sent a frame
	armed    uint64   // control.armed of the last poke
	unpoked  int      // bytes of output since the last poke
	echoed   uint64   // control.echo of the last poke for it
	told     uint64   // input written at that poke

	waiting   int    // pumps that wait for room
	blockSeq  uint64 // as in the header
	scratch   []byte // where output goes that is thrown away
	stopped   bool   // pumps must return
	frozen    bool   // so must everything else, to go on elsewhere
	thawing   bool   // frozen, and about to go on here
	seq       uint64
	reason    wire.ExitReason // of an end that was asked for
	exited    bool
	ended     bool
	forgotten bool

	resume     *time.Timer   // runs while there is no daemon
	resumes    uint64        // timers so far
	expires    time.Time     // when resume ends
	resumeLeft time.Duration // of resume, when taken over from an earlier program
	trimmer    *time.Timer   // runs while memory may be given back
	quiet      time.Duration
	seen       uint64 // head when trimmer was set
}

// record is what does not change, but for Meta, from a session's start on.
type record struct {
	id         string
	meta       []byte
	started    time.Time
	pid        int // of the program
	terminal   bool
	window     uint64
	scrollback uint64
	resumeFor  time.Duration
	discard    bool
	keep       bool
	flight     uint64 // of the first daemon; 0: window
	reportEcho bool
}

// newHeld starts the program.
func newHeld(s *server, r StartRequest) (*held, error) {
	h := &held{
		record: record{
			id: r.ID, meta: r.Meta, started: s.now(), terminal: r.Spec.Terminal,
			window: r.Window, scrollback: r.Scrollback, resumeFor: r.Resume,
			discard: r.Discard, keep: r.Keep, flight: r.Flight, reportEcho: r.ReportEcho,
		},
	}
	h.init(s)
	var err error
	if h.ring, err = newRing(r.Window, r.Scrollback, !r.Spec.Terminal); err != nil {
		return nil, err
	}
	h.ring.h.activity.Store(h.started.UnixNano())
	r.Spec.Session, r.Spec.Cgroup = r.ID, string(s.groups)
	if h.proc, err = s.parent.Start(r.Spec); err != nil {
		return nil, errors.Join(err, h.ring.close())
	}
	h.pid = h.proc.Pid()
	h.in.init(h)
	s.wg.Go(h.live)
	return h, nil
}

// init prepares what every session needs.
func (h *held) init(s *server) {
	h.s, h.ending, h.gone, h.pause = s, make(chan struct{}), make(chan struct{}), newParking()
	h.moved.L = &h.mu
	h.clearing = &teardown{h: h}
}

// info describes the session; not ok when it is forgotten.
func (h *held) info() (i Info, ok bool) {
	h.in.mu.Lock()
	accepted, written := h.in.accepted, h.in.written
	h.in.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ring == nil || h.forgotten {
		return Info{}, false
	}
	h.syncAcked()
	v := view{h: h.ring.h, ctl: &control{}}
	i = Info{
		ID: h.id, Meta: h.meta, Started: h.started, Terminal: h.terminal, PID: h.pid,
		Window: h.window, Scrollback: h.scrollback, State: v.state(h.s.now()),
	}
	i.State.Accepted, i.State.Written = accepted, written
	i.State.Room = wire.InputWindow - (accepted - written)
	return i, true
}

// attach gives the session to a connection. An earlier daemon is sent away
// first, after all that it has put into its socket was taken.
func (h *held) attach(l *link) error {
	page, err := newRegion("etcha-control", int(unsafe.Sizeof(control{})))
	if err != nil {
		return err
	}
	for !h.tryAttach(l, page) {
		h.mu.Lock()
		old, left, forgotten := h.link, h.left, h.forgotten
		h.mu.Unlock()
		if forgotten {
			return errors.Join(fmt.Errorf("session %q: %w", h.id, ErrNotFound), page.close())
		}
		if old != nil {
			h.sendAway(old, left)
		}
	}
	return nil
}

// tryAttach attaches when nobody else is.
func (h *held) tryAttach(l *link, page region) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link != nil || h.forgotten {
		return false
	}
	h.stopResume()
	h.link, h.left = l, make(chan struct{})
	h.page, h.ctl = page, controlOf(page.mem)
	h.ctl.acked.Store(h.ring.acked)
	h.ctl.flight.Store(h.window)
	if h.flight != 0 && !h.taken {
		h.ctl.flight.Store(h.flight)
	}
	h.ctl.echo.Store(1) // a daemon wants to be told of the first
	h.attached, h.armed, h.unpoked = true, 0, 0
	h.echoed, h.told = 0, h.ring.h.written.Load()
	return true
}

// sendAway waits until an earlier daemon's connection has been served to its
// end. What was written into it counts, what comes later fails there.
func (h *held) sendAway(old *link, left <-chan struct{}) {
	_ = old.send(opReplaced, 0, 0, nil, nil)
	_ = old.conn.CloseRead()
	select {
	case <-left:
		return
	case <-time.After(takeoverTime):
		old.close()
	}
	<-left
}

// introduce answers with the session's state and its memory.
func (h *held) introduce(l *link, id uint32) error {
	info, ok := h.info()
	if !ok {
		return errors.Join(ErrNotFound, l.send(opAnswer, flagFailed, id, fail(ErrNotFound), nil))
	}
	body, err := encode(opAnswer, info)
	if err != nil {
		return err
	}
	fd, err := h.ring.region.readOnly()
	if err != nil {
		return errors.Join(err, l.send(opAnswer, flagFailed, id, fail(err), nil))
	}
	defer unix.Close(fd)
	if err := l.sendFDs(opAnswer, id, body, fd, h.page.fd); err != nil {
		return err
	}
	return h.page.closeFile()
}

// detach takes the session from a connection that has ended. It reports whether
// no daemon ever said that it had taken the session over.
func (h *held) detach(l *link) (untaken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link != l {
		return false
	}
	h.syncAcked()
	h.link, h.ctl, h.attached = nil, nil, false
	if err := h.page.close(); err != nil {
		h.s.log.Error("control page is left", "session", h.id, "err", err)
	}
	close(h.left)
	h.moved.Broadcast()
	h.startResume()
	h.free()
	return !h.taken
}

// abandon ends a session that nobody knows of.
func (h *held) abandon() {
	h.end(wire.ReasonClosed)
	h.forget()
}

// syncAcked takes over what the daemon acknowledged. The caller holds mu.
func (h *held) syncAcked() {
	if h.ctl != nil {
		h.ring.ack(h.ctl.acked.Load())
	}
}

// startResume starts the time that the session outlives its daemon. The caller
// holds mu.
func (h *held) startResume() {
	if h.forgotten || h.resume != nil || h.link != nil {
		return
	}
	h.setResume(h.resumeFor)
}

// setResume starts it with what is left of it. The caller holds mu.
func (h *held) setResume(left time.Duration) {
	h.resumes++
	count := h.resumes
	h.expires = time.Now().Add(left)
	h.resume = time.AfterFunc(left, func() { h.expire(count) })
}

// stopResume stops it. The caller holds mu.
func (h *held) stopResume() {
	if h.resume != nil {
		h.resume.Stop()
		h.resume = nil
	}
}

// expire ends a session that no daemon came back for, and forgets one that had
// ended. The count tells whether the timer was stopped too late.
func (h *held) expire(count uint64) {
	h.mu.Lock()
	if h.resume == nil || h.resumes != count || h.frozen {
		h.mu.Unlock()
		return
	}
	h.resume = nil
	over := h.ended
	h.mu.Unlock()
	if over {
		h.forget()
		return
	}
	h.end(wire.ReasonLost)
}

// forget gives the session up once it has ended and nobody is connected.
func (h *held) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgotten = true
	h.free()
}

// free unmaps what nobody needs any more. The caller holds mu.
func (h *held) free() {
	if !h.forgotten || !h.ended || h.link != nil || h.ring == nil {
		return
	}
	h.stopResume()
	h.stopTrim()
	if err := h.ring.close(); err != nil {
		h.s.log.Error("output memory is left", "session", h.id, "err", err)
	}
	h.ring = nil
	h.s.remove(h)
}

// poke tells the daemon that something other than output changed. The caller
// holds mu.
func (h *held) poke() {
	h.unpoked = 0
	if h.link != nil {
		_ = h.link.send(opPoke, 0, 0, nil, nil) // its own goroutine sees the break
	}
}

// setMeta replaces the daemon's record.
func (h *held) setMeta(meta []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.meta = append([]byte(nil), meta...)
}
