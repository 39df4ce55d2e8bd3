package keeper

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// filled says why reading output stopped.
type filled uint8

const (
	fillMore  filled = iota // more may be readable at once
	fillEmpty               // nothing is readable now
	fillSoon                // the same, in the middle of much; the daemon was not told yet
	fillFull                // there is no room
	fillEnd                 // the stream has ended, or nobody has the terminal open
)

// past is a deadline that wakes whoever waits.
func past() time.Time { return time.Unix(1, 0) }

// pump moves one stream of output into the ring until it ends or is stopped.
func (h *held) pump(f *os.File, kind Kind) {
	raw, err := f.SyscallConn()
	if err != nil {
		h.s.log.Error("output cannot be read", "session", h.id, "err", err)
		return
	}
	var got filled
	read := func(fd uintptr) bool {
		// In a flood the terminal is refilled as soon as somebody else runs:
		// cheaper than to sleep and be woken for each 4 KiB. Echoes never get here.
		got = h.fill(int(fd), kind, true)
		for tries := 0; got == fillSoon && tries < yields; tries++ {
			yield()
			got = h.fill(int(fd), kind, tries+1 < yields)
		}
		return got != fillEmpty
	}
	for {
		if err := raw.Read(read); err != nil {
			return // closed, or past its deadline
		}
		switch got {
		case fillFull:
			if !h.awaitSpace(kind) {
				return
			}
		case fillEnd:
			if !h.awaitReopened() {
				return
			}
		}
	}
}

// awaitReopened waits a little while the program, still running, has closed its
// terminal: it, or a child, may open it again. After its end the stream is read
// once more. Pipes do not come back.
func (h *held) awaitReopened() bool {
	if !h.terminal || h.programEnded() {
		return false
	}
	again := time.NewTimer(hangupPoll)
	defer again.Stop()
	select {
	case <-h.proc.Done():
	case <-again.C:
	case <-h.pause.asked:
		return false
	}
	return true
}

// programEnded reports whether the program has ended.
func (h *held) programEnded() bool {
	select {
	case <-h.proc.Done():
		return true
	default:
		return false
	}
}

// yield lets another thread of the system run.
func yield() { _, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// fill reads what is there, without waiting, in one turn under the lock. With
// again the caller will come back at once when that is worth while.
func (h *held) fill(fd int, kind Kind, again bool) filled {
	h.mu.Lock()
	defer h.mu.Unlock()
	for total := 0; total < fillMax; {
		n, got := h.fillOnce(fd, kind)
		total += n
		if got == fillEmpty && again && h.unpoked >= pokeBelow {
			return fillSoon
		}
		if got != fillMore {
			h.pokeOutput(0)
			return got
		}
		h.pokeOutput(n)
	}
	return fillMore
}

// fillOnce reads straight into the ring. The caller holds mu.
func (h *held) fillOnce(fd int, kind Kind) (int, filled) {
	if h.stopped || h.frozen {
		return 0, fillEnd
	}
	buf, kept := h.target(kind)
	if len(buf) == 0 {
		return 0, fillFull
	}
	n, err := unix.Read(fd, buf)
	switch {
	case errors.Is(err, unix.EINTR):
		return 0, fillMore
	case errors.Is(err, unix.EAGAIN):
		return 0, fillEmpty
	case err != nil || n == 0:
		return 0, fillEnd
	}
	if kept {
		h.ring.commit(n, kind)
		h.ring.h.activity.Store(h.s.now().UnixNano())
		h.armTrim()
	}
	return n, fillMore
}

// target is where the next output goes; empty when it must wait. A session that
// is being ended throws away what does not fit: its program may have something
// to say before it goes. The caller holds mu.
func (h *held) target(kind Kind) (buf []byte, kept bool) {
	n := h.space(kind)
	if h.discard && !h.attached && n < discardStep && h.ring.hasRun(kind) {
		h.ring.drop(discardStep)
		n = h.space(kind)
	}
	if n > 0 {
		return h.ring.free(min(n, fillMax)), true
	}
	if h.reason == "" {
		return nil, false
	}
	if h.scratch == nil {
		h.scratch = make([]byte, discardStep)
	}
	return h.scratch, false
}

// space is the room for output of a kind, by what the daemon says now. Without
// a daemon the whole window may be filled. The caller holds mu.
func (h *held) space(kind Kind) uint64 {
	limit := h.window
	if h.ctl != nil {
		h.syncAcked()
		limit = min(limit, h.ctl.flight.Load())
	}
	return h.ring.space(kind, limit)
}

// awaitSpace waits until output may go on; false: it must stop. The flag is
// raised before the daemon's words are looked at once more, and the daemon looks
// at the flag after it has changed them, so that one of the two sees the other.
func (h *held) awaitSpace(kind Kind) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting++
	for !h.stopped && !h.frozen && h.reason == "" {
		h.blockSeq = h.blockSeq/2*2 + 1 + 2
		h.ring.h.blocked.Store(h.blockSeq)
		if buf, _ := h.target(kind); len(buf) > 0 {
			break
		}
		h.moved.Wait()
	}
	h.waiting--
	if h.waiting == 0 {
		h.blockSeq++
		h.ring.h.blocked.Store(h.blockSeq)
	}
	h.ring.h.activity.Store(h.s.now().UnixNano())
	return !h.stopped && !h.frozen
}

// pokeOutput wakes the daemon, if it asked for that, when enough output came
// together; n is 0 when no more follows at once. A small piece is not held back:
// it may be an echo. The caller holds mu.
func (h *held) pokeOutput(n int) {
	h.unpoked += n
	if h.unpoked == 0 || h.ctl == nil {
		return
	}
	if n != 0 && n >= pokeBelow && h.unpoked < pokeEvery {
		return
	}
	h.unpoked = 0
	if armed := h.ctl.armed.Load(); armed != h.armed {
		h.armed = armed
		h.poke()
	}
}

// pokeWritten wakes the daemon if it waits for this much input to be written, or
// for what became of it.
func (h *held) pokeWritten(written uint64, wanted *uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctl == nil {
		return
	}
	if want := h.ctl.want.Load(); want != 0 && want != *wanted && written >= want {
		*wanted = want
		h.poke()
	}
	if echo := h.ctl.echo.Load(); h.reportEcho && echo != h.echoed && written > h.told {
		h.echoed, h.told = echo, written
		h.poke()
	}
}

// armTrim starts the time after which memory is given back. The caller holds mu.
func (h *held) armTrim() {
	if h.trimmer != nil || h.ring.head-h.ring.trimmed < h.scrollback+trimMin {
		return
	}
	h.quiet, h.seen = trimAfter, h.ring.head
	h.trimmer = time.AfterFunc(h.quiet, h.trim)
}

// trim gives memory back when no output came for a while, and comes again while
// some is not acknowledged.
func (h *held) trim() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.trimmer == nil || h.ring == nil {
		return
	}
	h.syncAcked()
	switch {
	case h.ring.head != h.seen:
		h.quiet, h.seen = trimAfter, h.ring.head
	case h.ring.idleMemory() >= trimMin:
		if err := h.ring.trim(); err != nil {
			h.s.log.Warn("memory stays in use", "session", h.id, "err", err)
		}
		fallthrough
	default:
		h.quiet = min(2*h.quiet, trimMax)
		if h.ring.acked == h.ring.head {
			h.trimmer = nil
			return
		}
	}
	h.trimmer.Reset(h.quiet)
}

// stopTrim stops the timer. The caller holds mu.
func (h *held) stopTrim() {
	if h.trimmer != nil {
		h.trimmer.Stop()
		h.trimmer = nil
	}
}
