package keeper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"etcha/go/pty"
)

// handedOver gives the descriptor of the state that an earlier program in this
// process left; ok is false when there is none.
func handedOver() (fd int, ok bool) {
	fd, err := strconv.Atoi(os.Getenv(stateEnv))
	if os.Unsetenv(stateEnv) != nil || err != nil || fd < firstOther {
		return -1, false
	}
	return fd, true
}

// takeOver goes on where an earlier program in this process stopped. A session
// that cannot be taken over is ended and logged, the others live. An error means
// that nothing could be.
func takeOver(o Options, fd int) (*server, error) {
	unix.CloseOnExec(fd)
	b, err := readState(fd)
	if err != nil {
		return nil, err
	}
	st, err := decodeState(b)
	if err != nil {
		return nil, err
	}
	for _, fd := range st.descriptors() {
		unix.CloseOnExec(fd)
	}
	s, err := prepare(o, pty.NewParentFrom(st.Parent))
	if err != nil {
		return nil, err
	}
	if err := s.takeFolder(st); err != nil {
		return nil, err
	}
	rename(os.Args[0])
	s.findGroups(o)
	for _, ss := range st.Sessions {
		s.takeSession(ss)
	}
	s.beginLives()
	s.log.Info("keeper goes on as another program", "sessions", len(s.held), "version", s.version)
	return s, nil
}

// takeFolder takes the lock and the socket over.
func (s *server) takeFolder(st keeperState) error {
	s.lock = os.NewFile(uintptr(st.Lock), filepath.Join(s.dir, lockName))
	held, err := s.lock.Stat()
	if err != nil {
		return fmt.Errorf("take over lock: %w", err)
	}
	there, err := os.Lstat(s.lock.Name())
	if err != nil || !os.SameFile(held, there) {
		return fmt.Errorf("%w: its lock is not that of %s", errState, s.dir)
	}
	if err := unix.Flock(st.Lock, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("take over lock: %w", err)
	}
	f := os.NewFile(uintptr(st.Listener), "listener")
	defer f.Close()
	ln, err := net.FileListener(f) // a duplicate
	if err != nil {
		return fmt.Errorf("take over socket: %w", err)
	}
	unixListener, ok := ln.(*net.UnixListener)
	if !ok {
		return errors.Join(fmt.Errorf("%w: its socket is another kind of one", errState), ln.Close())
	}
	s.ln = unixListener
	s.ln.SetUnlinkOnClose(false)
	return nil
}

// rename gives the process the name that it was asked to be: executing a file by
// its descriptor made it a number.
func rename(name string) {
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(name)), 0)
}

// takeSession takes one session over, or ends it.
func (s *server) takeSession(st sessionState) {
	h, err := restoreHeld(s, st)
	if err == nil {
		s.held[h.id] = h
		return
	}
	s.log.Error("session was lost in an upgrade and is ended", "session", st.ID, "err", err)
	if st.Process == nil {
		return
	}
	s.wg.Go(func() {
		if err := s.parent.Abolish(*st.Process); err != nil {
			s.log.Error("lost session did not end whole", "session", st.ID, "err", err)
		}
	})
}

// restoreHeld makes a session of its state. Its life begins with beginLives.
func restoreHeld(s *server, st sessionState) (*held, error) {
	h := &held{record: record{
		id: st.ID, meta: st.Meta, started: st.Started, pid: st.PID, terminal: st.Terminal,
		window: st.Window, scrollback: st.Scrollback, resumeFor: st.Resume,
		discard: st.Discard, keep: st.Keep, flight: st.Flight, reportEcho: st.ReportEcho,
	}}
	h.init(s)
	r, err := restoreRing(st)
	if st.Process != nil {
		// Also without a ring: it takes the descriptors over.
		var procErr error
		h.proc, procErr = s.parent.Restore(*st.Process)
		err = errors.Join(err, procErr)
	}
	if err == nil {
		err = h.resumeAt(st, r)
	}
	if err != nil {
		return nil, errors.Join(err, h.discardRestored(r))
	}
	return h, nil
}

// discardRestored gives up what a failed restoration holds.
func (h *held) discardRestored(r *ring) error {
	var err error
	if h.proc != nil {
		err = h.proc.Close()
	}
	if r != nil {
		err = errors.Join(err, r.close())
	}
	return err
}

// resumeAt puts the session where it stood.
func (h *held) resumeAt(st sessionState, r *ring) error {
	w := r.h
	h.ring, h.seq, h.reason = r, w.seq.Load(), st.Reason
	h.taken, h.forgotten, h.resumeLeft = st.Taken, st.Forgotten, st.Left
	if h.resumeLeft < 0 { // never without a daemon before the upgrade
		h.resumeLeft = h.resumeFor
	}
	h.blockSeq = w.blocked.Load()
	end := w.end.Load()
	h.exited, h.ended = end >= exited, end >= ended
	if h.ended != (st.Process == nil) || end > ended {
		return fmt.Errorf("%w: session %q is at %d without its program", errState, h.id, end)
	}
	h.in.init(h)
	h.in.accepted, h.in.written, h.in.queue = st.Accepted, st.Written, st.Queue
	h.in.eof, h.in.void, h.in.echoOn = st.EOF, st.Void, st.EchoOn
	if h.reason != "" {
		close(h.ending)
	}
	if h.ended {
		close(h.gone)
	}
	return nil
}

// beginLives lets the sessions that were taken over go on.
func (s *server) beginLives() {
	for _, h := range s.all() {
		h.mu.Lock()
		if !h.forgotten {
			h.setResume(h.resumeLeft)
		}
		h.armTrim()
		over := h.ended
		h.mu.Unlock()
		if !over {
			h.in.thaw()
			s.wg.Go(h.live)
		}
	}
}

// restoreRing maps a session's memory again. It takes the descriptor over.
func restoreRing(st sessionState) (*ring, error) {
	mem, err := mapRegion(st.Ring, int(unsafe.Sizeof(ringHeader{})), unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return nil, errors.Join(err, unix.Close(st.Ring))
	}
	r := &ring{region: region{fd: st.Ring, mem: mem}, h: headerOf(mem), window: st.Window, back: st.Scrollback, trimmed: st.Trimmed}
	v := view{ring: mem, h: r.h}
	if err := v.check(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.data = mem[r.h.data : r.h.data+r.h.capacity]
	r.runs = runsOf(mem, r.h)
	r.head, r.tail, r.acked = r.h.head.Load(), r.h.tail.Load(), r.h.acked.Load()
	r.dropped, r.count = r.h.dropped.Load(), r.h.runCount.Load()
	if slots := uint64(len(r.runs)); slots > 0 && r.count > 0 {
		r.kind = Kind(r.runs[(r.count-1)%slots].Load() & 1)
	}
	if err := r.check(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// check refuses numbers that no keeper left.
func (r *ring) check() error {
	switch {
	case r.h.window != r.window || r.h.scrollback != r.back || r.window+r.back > r.capacity(),
		r.acked > r.head, r.tail > r.head, r.head-r.acked > r.window,
		r.head > r.capacity() && r.tail < r.head-r.capacity(), r.trimmed > r.head:
		return fmt.Errorf("%w: output memory does not add up", errState)
	}
	return nil
}
