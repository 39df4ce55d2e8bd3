package keeper

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Two pieces of shared memory belong to a session. The keeper writes the ring
// (header, table of runs, output bytes), which the daemon maps read-only. The
// daemon writes the control page, made anew for each connection, which the
// keeper reads with suspicion. Their layouts only grow at the end; ringLayout is
// raised when something moves.
const (
	ringMagic  = 0x474e5261_68637465 // "etchaRNG"
	ringLayout = 1
)

// ringHeader is the first page of the ring.
type ringHeader struct {
	// Written before the memory is shared.
	magic      uint64
	layout     uint64
	data       uint64 // where the output bytes begin
	capacity   uint64 // bytes of them; a multiple of the page
	window     uint64
	scrollback uint64
	runs       uint64 // where the table of runs begins
	slots      uint64 // entries of it; 0: all output is of one kind

	// Output.
	head     atomic.Uint64 // bytes read from the program
	tail     atomic.Uint64 // bytes below it may be overwritten; raised before they are
	acked    atomic.Uint64 // as the keeper has applied it
	blocked  atomic.Uint64 // odd: output waits for room; another odd number each time
	runCount atomic.Uint64 // runs so far; entry i is in slot i modulo slots
	dropped  atomic.Uint64
	activity atomic.Int64 // Unix nanoseconds
	_        [8]byte

	// Input.
	accepted atomic.Uint64
	written  atomic.Uint64
	seq      atomic.Uint64
	eof      atomic.Uint64 // 1: the input ends at accepted
	_        [32]byte

	// End; the rest is written before end is raised to the value it belongs to.
	end       atomic.Uint64 // running, exited, ended
	code      atomic.Int64
	survivors atomic.Int64
	reason    [32]byte // zero-terminated
	signal    [32]byte // zero-terminated

	// What became of input, for [Session.Echo]: entry i is in slot i modulo
	// echoSlots, start<<1 | 1 if it was echoed, and holds up to the next one's
	// start. Written before written is raised beyond its start.
	echoCount atomic.Uint64
	echoes    [echoSlots]atomic.Uint64
}

// Values of ringHeader.end.
const (
	running = iota
	exited  // the program has ended, head is final
	ended   // everything is gone, survivors is final
)

// control is the daemon's page.
type control struct {
	acked  atomic.Uint64 // output bytes consumed
	flight atomic.Uint64 // output is read up to acked+flight
	armed  atomic.Uint64 // changed when the daemon wants to be told of new output
	want   atomic.Uint64 // nonzero: tell when this much input has been written
	echo   atomic.Uint64 // changed when the daemon wants to be told of input's echo
}

// region is a piece of shared memory.
type region struct {
	fd  int // -1 when closed
	mem []byte
}

// newRegion makes a memory file of size bytes, rounded up to pages, whose size
// nobody can change, and maps it.
func newRegion(name string, size int) (region, error) {
	size = pageUp(size)
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return region{}, fmt.Errorf("make shared memory: %w", err)
	}
	r := region{fd: fd}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return region{}, r.abandon("size", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return region{}, r.abandon("seal", err)
	}
	if r.mem, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return region{}, r.abandon("map", err)
	}
	return r, nil
}

// abandon closes a region that could not be made.
func (r *region) abandon(what string, err error) error {
	return fmt.Errorf("%s shared memory: %w", what, errors.Join(err, r.close()))
}

// mapRegion maps the memory behind fd, which it does not take over. Memory
// that could shrink is refused: reading it could kill the process.
func mapRegion(fd, atLeast, prot int) ([]byte, error) {
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, fmt.Errorf("shared memory seals: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("shared memory size: %w", err)
	}
	if seals&unix.F_SEAL_SHRINK == 0 || st.Size < int64(atLeast) || st.Size > maxRegion {
		return nil, fmt.Errorf("%w: shared memory of %d bytes, seals %#x", ErrInvalid, st.Size, seals)
	}
	mem, err := unix.Mmap(fd, 0, int(st.Size), prot, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map shared memory: %w", err)
	}
	return mem, nil
}

// close unmaps the memory and closes the file.
func (r *region) close() error {
	var err error
	if r.mem != nil {
		err = unix.Munmap(r.mem)
		r.mem = nil
	}
	return errors.Join(err, r.closeFile())
}

// closeFile leaves the memory mapped, but with nobody else to be let in.
func (r *region) closeFile() error {
	if r.fd < 0 {
		return nil
	}
	fd := r.fd
	r.fd = -1
	return os.NewSyscallError("close", unix.Close(fd))
}

// readOnly opens the region's file again, for a receiver that must not write.
func (r *region) readOnly() (int, error) {
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", r.fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open shared memory for reading: %w", err)
	}
	return fd, nil
}

// pageUp rounds up to whole pages.
func pageUp(n int) int {
	page := os.Getpagesize()
	return (n + page - 1) / page * page
}

func headerOf(mem []byte) *ringHeader { return (*ringHeader)(unsafe.Pointer(&mem[0])) }
func controlOf(mem []byte) *control   { return (*control)(unsafe.Pointer(&mem[0])) }

// runsOf is the table of runs: entry = start<<1 | kind.
func runsOf(mem []byte, h *ringHeader) []atomic.Uint64 {
	if h.slots == 0 {
		return nil
	}
	return unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(&mem[h.runs])), h.slots)
}

// putText writes a zero-terminated text, cut to fit.
func putText(to *[32]byte, s string) {
	*to = [32]byte{}
	copy(to[:len(to)-1], s)
}

// getText reads a zero-terminated text.
func getText(from *[32]byte) string {
	for i, c := range from {
		if c == 0 {
			return string(from[:i])
		}
	}
	return string(from[:])
}
