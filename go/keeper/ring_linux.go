package keeper

import (
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ring is the keeper's side of a session's output. The numbers that count are
// its own; what stands in shared memory is a copy for the daemon. Not safe for
// concurrent use.
//
// Offsets count output bytes. Those in [tail, head) can be read; those in
// [acked, head) will not go away. The place of an offset is its remainder by
// the capacity, so [head, acked+window) is free to be written, and window plus
// scrollback never exceed the capacity.
type ring struct {
	region  region
	h       *ringHeader
	data    []byte
	runs    []atomic.Uint64
	head    uint64
	tail    uint64
	acked   uint64
	window  uint64
	back    uint64 // scrollback
	count   uint64 // runs
	kind    Kind   // of the last run
	dropped uint64
	trimmed uint64 // memory of bytes below it was given back
}

// newRing makes the shared memory. kinds says whether stderr is kept apart.
func newRing(window, scrollback uint64, kinds bool) (*ring, error) {
	slots := 0
	if kinds {
		slots = runSlots
	}
	runs := os.Getpagesize() // behind the header
	data := runs + pageUp(slots*8)
	capacity := pageUp(int(window + scrollback))
	reg, err := newRegion("etcha-output", data+capacity)
	if err != nil {
		return nil, err
	}
	r := &ring{region: reg, h: headerOf(reg.mem), window: window, back: scrollback}
	r.h.magic, r.h.layout = ringMagic, ringLayout
	r.h.data, r.h.capacity = uint64(data), uint64(capacity)
	r.h.window, r.h.scrollback = window, scrollback
	r.h.runs, r.h.slots = uint64(runs), uint64(slots)
	r.data = reg.mem[data:]
	r.runs = runsOf(reg.mem, r.h)
	return r, nil
}

// capacity is the length of the memory that output goes round in.
func (r *ring) capacity() uint64 { return uint64(len(r.data)) }

// space is how many bytes of a kind may be written while at most limit bytes
// are unacknowledged.
func (r *ring) space(kind Kind, limit uint64) uint64 {
	used := r.head - r.acked
	if used >= limit || !r.hasRun(kind) {
		return 0
	}
	return limit - used
}

// hasRun reports whether the table of runs has room for output of a kind. A
// slot is taken again when all bytes of its run are acknowledged.
func (r *ring) hasRun(kind Kind) bool {
	slots := uint64(len(r.runs))
	if slots == 0 || r.count < slots || kind == r.kind {
		return true
	}
	return r.runs[(r.count+1)%slots].Load()>>1 <= r.acked
}

// free is the memory that the next bytes go to, at most n, not empty. What was
// there can no longer be read.
func (r *ring) free(n uint64) []byte {
	at := r.head % r.capacity()
	n = min(n, r.capacity()-at)
	if end := r.head + n; end > r.capacity() {
		r.raiseTail(end - r.capacity())
	}
	return r.data[at : at+n]
}

// raiseTail gives up the bytes below to. The load keeps what the caller writes
// next behind the store on every processor.
func (r *ring) raiseTail(to uint64) {
	if to > r.tail {
		r.tail = to
		r.h.tail.Store(to)
		r.h.tail.Load()
	}
}

// commit publishes n bytes that were written to free memory.
func (r *ring) commit(n int, kind Kind) {
	if slots := uint64(len(r.runs)); slots != 0 && (r.count == 0 || kind != r.kind) {
		if r.count >= slots {
			r.raiseTail(r.runs[(r.count+1)%slots].Load() >> 1)
		}
		r.runs[r.count%slots].Store(r.head<<1 | uint64(kind))
		r.count++
		r.kind = kind
		r.h.runCount.Store(r.count)
	}
	r.head += uint64(n)
	r.h.head.Store(r.head)
}

// ack applies what the daemon says was consumed: never backwards, never beyond
// the head.
func (r *ring) ack(consumed uint64) {
	consumed = min(consumed, r.head)
	if consumed > r.acked {
		r.acked = consumed
		r.h.acked.Store(consumed)
	}
}

// drop acknowledges the oldest bytes in nobody's name until n fit the window.
func (r *ring) drop(n uint64) {
	n = min(n, r.window)
	if used := r.head - r.acked; used+n > r.window {
		r.dropped += used + n - r.window
		r.h.dropped.Store(r.dropped)
		r.ack(r.acked + used + n - r.window)
	}
}

// idleMemory is how many bytes trim would give back at most.
func (r *ring) idleMemory() uint64 {
	from, to := r.trimmable()
	return to - from
}

// trimmable is the range of offsets, in whole pages, whose memory is of no use:
// acknowledged, beyond the scrollback, not written again yet.
func (r *ring) trimmable() (from, to uint64) {
	page := uint64(os.Getpagesize())
	from = r.trimmed
	if r.head > r.capacity() {
		from = max(from, r.head-r.capacity())
	}
	from = (from + page - 1) / page * page
	if r.acked > r.back {
		to = (r.acked - r.back) / page * page
	}
	return from, max(from, to)
}

// trim gives the memory of trimmable back to the system.
func (r *ring) trim() error {
	from, to := r.trimmable()
	if from == to {
		return nil
	}
	r.raiseTail(to)
	r.trimmed = to
	for from < to {
		at := from % r.capacity()
		n := min(to-from, r.capacity()-at)
		if err := unix.Madvise(r.data[at:at+n], unix.MADV_REMOVE); err != nil {
			return fmt.Errorf("give back output memory: %w", err)
		}
		from += n
	}
	return nil
}

// close unmaps the ring.
func (r *ring) close() error {
	r.h, r.data, r.runs = nil, nil, nil
	return r.region.close()
}
