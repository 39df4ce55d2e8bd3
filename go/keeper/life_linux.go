package keeper

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"etcha/go/pty"
	"etcha/go/wire"
)

// live sees a session through: the program's end, the rest of its output, the
// exit, the end of everything else. A freeze parks it anywhere in between; it can
// begin anew from there, here or in the next program.
func (h *held) live() {
	if !h.hasExited() && !h.run() || !h.clear() {
		close(h.pause.parked)
	}
}

// run sees to the program and its output until the exit. False: frozen before it.
func (h *held) run() bool {
	files := h.files()
	pumped := h.startPumps(files)
	if h.awaitExit() {
		h.drain(files, pumped)
	}
	if h.pause.isAsked() {
		<-pumped // the freeze wakes them
		return false
	}
	h.stopPumps(files, pumped)
	h.in.close()
	h.publishExit()
	return true
}

// hasExited reports whether the exit is published.
func (h *held) hasExited() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.exited
}

// startPumps starts one pump for each stream. What it returns is closed when all
// have ended.
func (h *held) startPumps(files []*os.File) <-chan struct{} {
	pumped := make(chan struct{})
	var left atomic.Int32
	left.Store(int32(len(files)))
	for kind, f := range files {
		go func() {
			h.pump(f, Kind(kind))
			if left.Add(-1) == 0 {
				close(pumped)
			}
		}()
	}
	return pumped
}

// files are the streams of output, by kind.
func (h *held) files() []*os.File {
	files := []*os.File{h.proc.Output()}
	if f := h.proc.Stderr(); f != nil {
		files = append(files, f)
	}
	return files
}

// teardown ends everything of a session, in its own goroutine, once.
type teardown struct {
	h         *held
	done      chan struct{} // nil until begun
	survivors int
}

func (t *teardown) begin() {
	if t.done != nil {
		return
	}
	t.done = make(chan struct{})
	go func() {
		defer close(t.done)
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		var err error
		if t.survivors, err = t.h.proc.End(ctx, wire.HangupGrace); err != nil {
			t.h.s.log.Error("session did not end whole", "session", t.h.id, "err", err)
		}
	}()
}

// awaitExit waits for the program's end, which it brings about when the session
// is to end. False: the keeper leaves first, or freezes.
func (h *held) awaitExit() bool {
	ending := h.ending
	for {
		select {
		case <-h.proc.Done():
			return true
		case <-ending:
			h.clearing.begin()
			ending = nil
		case <-h.s.vacant:
			return false
		case <-h.pause.asked:
			return false
		}
	}
}

// drain lets the pumps read the rest of the output. Without anybody else on the
// terminal or pipes that ends by itself. Otherwise it ends when wire.DrainGrace
// has passed and nothing is readable, or when so much came that what the program
// itself wrote must have been among it. Time in which the output waits for its
// reader does not count.
func (h *held) drain(files []*os.File, pumped <-chan struct{}) {
	h.mu.Lock()
	begin := h.ring.head
	h.mu.Unlock()
	grace := time.NewTicker(wire.DrainGrace)
	defer grace.Stop()
	ending := h.ending
	for {
		select {
		case <-pumped:
			return
		case <-ending:
			h.clearing.begin()
			ending = nil
		case <-h.s.vacant:
			return
		case <-h.pause.asked:
			return
		case <-grace.C:
			if h.sweep(files, begin) {
				return
			}
		}
	}
}

// sweep reads what is readable, beside the pumps. It reports whether that is
// all; not while output waits for room.
func (h *held) sweep(files []*os.File, begin uint64) bool {
	for kind, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			continue
		}
		got := fillMore
		for got == fillMore && !h.drained(begin) {
			if raw.Control(func(fd uintptr) { got = h.fill(int(fd), Kind(kind), false) }) != nil {
				break
			}
		}
		if got == fillFull && !h.drained(begin) {
			return false
		}
	}
	return true
}

// drained reports whether more was read than the system can have held back.
func (h *held) drained(begin uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ring.head-begin > drainMax
}

// stopPumps ends reading. Nothing is added to the ring after it.
func (h *held) stopPumps(files []*os.File, pumped <-chan struct{}) {
	h.mu.Lock()
	h.stopped = true
	h.moved.Broadcast()
	h.mu.Unlock()
	for _, f := range files {
		_ = f.SetReadDeadline(past())
	}
	<-pumped
}

// publishExit tells the daemon how the program ended.
func (h *held) publishExit() {
	exit := h.exit()
	h.mu.Lock()
	defer h.mu.Unlock()
	reason := h.reason
	if reason == "" {
		reason = wire.ReasonExited
	}
	w := h.ring.h
	w.code.Store(int64(exit.Code))
	putText(&w.signal, exit.Signal)
	putText(&w.reason, string(reason))
	w.end.Store(exited)
	h.exited = true
	h.poke()
}

// exit is the program's, or that of one that the keeper could not wait for.
func (h *held) exit() pty.Exit {
	if h.programEnded() {
		return h.proc.Exit()
	}
	return pty.Exit{Code: 128 + int(syscall.SIGHUP), Signal: "HUP"}
}

// clear ends what the program left behind, unless it may stay, and closes. False:
// frozen before it was all gone.
func (h *held) clear() bool {
	h.mu.Lock()
	stay := h.keep && h.reason == ""
	h.mu.Unlock()
	var err error
	if stay {
		err = errors.Join(spare(h.proc.Cgroup(), h.id), h.proc.Release())
	} else {
		h.clearing.begin()
		select {
		case <-h.clearing.done: // bounded by stopTime
		case <-h.pause.asked:
			return false
		}
		err = h.proc.Close()
	}
	if err != nil {
		h.s.log.Warn("session left something behind", "session", h.id, "err", err)
	}
	h.publishEnd(h.clearing.survivors)
	return true
}

// publishEnd tells the daemon that nothing is left.
func (h *held) publishEnd(survivors int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring.h.survivors.Store(int64(survivors))
	h.ring.h.end.Store(ended)
	h.ended = true
	h.poke()
	h.startResume()
	close(h.gone)
	h.s.log.Debug("session ended", "session", h.id, "exit", h.ring.h.code.Load(),
		"survivors", survivors, "duration", h.s.now().Sub(h.started))
	h.free()
}

// end begins to end the session whole, once. One that has exited is being
// cleared already.
func (h *held) end(reason wire.ExitReason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reason != "" || h.exited {
		return
	}
	if reason == "" {
		reason = wire.ReasonClosed
	}
	h.reason = reason
	close(h.ending)
	h.moved.Broadcast()
}
