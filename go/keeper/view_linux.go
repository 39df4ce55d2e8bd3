package keeper

import (
	"errors"
	"fmt"
	"sort"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"etcha/go/wire"
)

// view is the daemon's side of the shared memory.
type view struct {
	ring  []byte // mapped read-only
	page  []byte // mapped for writing
	h     *ringHeader
	ctl   *control
	data  []byte
	runs  []atomic.Uint64
	fence atomic.Uint64
}

// newView maps both pieces; the descriptors stay the caller's.
func newView(ringFD, pageFD int) (*view, error) {
	mem, err := mapRegion(ringFD, int(unsafe.Sizeof(ringHeader{})), unix.PROT_READ)
	if err != nil {
		return nil, err
	}
	v := &view{ring: mem, h: headerOf(mem)}
	if err := v.check(); err != nil {
		return nil, errors.Join(err, v.close())
	}
	v.data = mem[v.h.data : v.h.data+v.h.capacity]
	v.runs = runsOf(mem, v.h)
	if v.page, err = mapRegion(pageFD, int(unsafe.Sizeof(control{})), unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return nil, errors.Join(err, v.close())
	}
	v.ctl = controlOf(v.page)
	return v, nil
}

// check refuses a layout that this code does not know.
func (v *view) check() error {
	h, size := v.h, uint64(len(v.ring))
	switch {
	case h.magic != ringMagic || h.layout != ringLayout:
		return fmt.Errorf("%w: output memory of layout %d", ErrVersion, h.layout)
	case h.capacity == 0 || h.data > size || h.capacity > size-h.data,
		h.slots != 0 && (h.runs%8 != 0 || h.runs > size || h.slots > (size-h.runs)/8):
		return fmt.Errorf("%w: output memory of %d bytes does not hold its parts", ErrInvalid, size)
	}
	return nil
}

// close unmaps both pieces.
func (v *view) close() error {
	var err error
	for _, mem := range [...][]byte{v.ring, v.page} {
		if mem != nil {
			err = errors.Join(err, unix.Munmap(mem))
		}
	}
	v.ring, v.page = nil, nil
	return err
}

// readOrArm is read, and when there is nothing asks to be told of more. It looks
// once more after that: the keeper publishes the head before it looks whether
// somebody asked.
func (v *view) readOrArm(buf []byte, from uint64) (n int, kind Kind, err error) {
	n, kind, err = v.read(buf, from)
	if n > 0 || err != nil {
		return n, kind, err
	}
	v.ctl.armed.Add(1)
	return v.read(buf, from)
}

// read copies output from an offset on; n is 0 when there is none yet.
func (v *view) read(buf []byte, from uint64) (n int, kind Kind, err error) {
	head := v.h.head.Load() // before the runs: all up to head are visible then
	if from > head {
		return 0, 0, ErrAhead
	}
	if from == head {
		return 0, 0, nil
	}
	for range runTries {
		if from < v.h.tail.Load() {
			return 0, 0, ErrGone
		}
		kind, end, ok := v.runAt(from, head)
		if !ok {
			continue // old entries were rewritten during the search
		}
		n = v.copyOut(buf[:min(uint64(len(buf)), end-from)], from)
		v.fence.Store(from) // the copy comes before the tail is looked at
		if from < v.h.tail.Load() {
			return 0, 0, ErrGone
		}
		return n, kind, nil
	}
	return 0, 0, ErrGone
}

// copyOut copies what stands at an offset.
func (v *view) copyOut(buf []byte, from uint64) int {
	at := from % uint64(len(v.data))
	n := copy(buf, v.data[at:])
	return n + copy(buf[n:], v.data)
}

// runAt finds the kind of the byte at from, and where its run ends, at most head.
func (v *view) runAt(from, head uint64) (kind Kind, end uint64, ok bool) {
	slots := uint64(len(v.runs))
	if slots == 0 {
		return Output, head, true
	}
	count := v.h.runCount.Load()
	first := count - min(count, slots)
	entry := func(i uint64) (uint64, Kind) {
		e := v.runs[i%slots].Load()
		return e >> 1, Kind(e & 1)
	}
	above := first + uint64(sort.Search(int(count-first), func(i int) bool {
		start, _ := entry(first + uint64(i))
		return start > from
	}))
	if above == first {
		return Output, head, false
	}
	start, kind := entry(above - 1)
	end = head
	if above < count {
		next, _ := entry(above)
		end = min(end, next)
	}
	return kind, end, start <= from && from < end
}

// state reads the words. Exit comes first, so that the head belongs to it.
func (v *view) state(now time.Time) State {
	st := State{}
	if end := v.h.end.Load(); end >= exited {
		st.Exit = &Exit{
			Code: int(v.h.code.Load()), Signal: getText(&v.h.signal),
			Reason: wire.ExitReason(getText(&v.h.reason)),
		}
		if end >= ended {
			st.Ended = true
			st.Exit.Survivors = int(v.h.survivors.Load())
		}
	}
	st.Written = v.h.written.Load()
	st.Accepted = v.h.accepted.Load()
	st.Seq = v.h.seq.Load()
	st.Acked = max(v.h.acked.Load(), v.ctl.acked.Load())
	st.Dropped = v.h.dropped.Load()
	st.Tail = v.h.tail.Load()
	st.Head = v.h.head.Load()
	st.Activity = time.Unix(0, v.h.activity.Load())
	if v.h.blocked.Load()&1 == 1 {
		st.Activity = now
	}
	return st
}
