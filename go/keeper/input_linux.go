package keeper

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"etcha/go/wire"
)

// input is what a session's daemon has sent for the program. Bytes are accepted
// into memory and written as the program's terminal or pipe takes them: at once
// and by the caller where possible, else by a goroutine that ends with the queue.
type input struct {
	h   *held
	raw syscall.RawConn // of a terminal: written to without waiting; else nil

	mu       sync.Mutex
	idle     sync.Cond // signalled when the writer ends
	accepted uint64
	written  uint64
	queue    []byte // accepted and not written
	eof      bool   // nothing follows accepted
	writing  bool   // the writer goroutine runs
	void     bool   // nobody takes input any more: it counts as written
	frozen   bool   // the queue stays as it is
	wanted   uint64 // control.want of the last poke

	echoOn bool // of the last entry in ringHeader.echoes

	once     []byte // of the attempt under way
	onceN    int
	onceErr  error
	onceFunc func(uintptr) bool
}

// init prepares the input of a session whose program has started.
func (in *input) init(h *held) {
	in.h = h
	in.idle.L = &in.mu
	in.onceFunc = in.attempt
	if h.terminal && h.proc != nil {
		in.raw, _ = h.proc.Output().SyscallConn() // without it the writer does all
	}
}

// take accepts bytes at an offset of the session's input. What was accepted
// before is dropped; fresh says whether anything was not. It never waits for the
// program.
func (in *input) take(offset uint64, data []byte, eof bool) (fresh bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if offset > in.accepted {
		return false, ErrGap
	}
	known := min(in.accepted-offset, uint64(len(data)))
	data = data[known:]
	switch {
	case eof && in.h.terminal:
		return false, ErrTerminal
	case in.eof && len(data) > 0, eof && !in.eof && offset+known < in.accepted:
		return false, ErrInputClosed
	case uint64(len(data)) > wire.InputWindow-(in.accepted-in.written):
		return false, ErrFull
	}
	in.accepted += uint64(len(data))
	in.eof = in.eof || eof
	in.pass(data)
	in.publish()
	return len(data) > 0, nil
}

// pass writes or queues accepted bytes. The caller holds mu.
func (in *input) pass(data []byte) {
	if !in.writing && !in.frozen && !in.void && len(data) > 0 && in.raw != nil {
		data = data[in.writeOnce(data):]
	}
	if in.void {
		in.lose()
		return
	}
	in.queue = append(in.queue, data...)
	in.begin()
}

// begin writes the queue, and ends the input where that is all, unless that is
// under way or must wait. The caller holds mu.
func (in *input) begin() {
	switch {
	case in.writing, in.frozen, in.void:
	case len(in.queue) > 0:
		in.writing = true
		go in.writer() // ends with the queue, by close or by freeze, which wait for it
	case in.eof:
		in.closeInput()
	}
}

// writeOnce writes what the terminal takes at once. The caller holds mu.
func (in *input) writeOnce(data []byte) int {
	in.once, in.onceN, in.onceErr = data, 0, nil
	err := in.raw.Write(in.onceFunc)
	in.once = nil
	if err == nil {
		err = in.onceErr
	}
	if err != nil {
		in.fail(err)
	}
	return in.onceN
}

func (in *input) attempt(fd uintptr) bool {
	for in.onceN < len(in.once) {
		n, echo, err := in.writeTerminal(fd, in.once[in.onceN:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return true
		case err != nil:
			in.onceErr = err
			return true
		default:
			in.onceN += n
			in.wrote(n, echo)
		}
	}
	return true
}

// fail handles a refused write. A terminal that nobody has open at the moment
// (EIO) loses what was typed, like any other; everything else is final. The
// caller holds mu.
func (in *input) fail(err error) {
	if !errors.Is(err, unix.EIO) {
		in.void = true
	}
	in.queue = nil
	in.lose()
}

// publish shows the counters to the daemon. The caller holds mu.
func (in *input) publish() {
	w := in.h.ring.h
	w.accepted.Store(in.accepted)
	if in.eof {
		w.eof.Store(1)
	}
	w.written.Store(in.written)
	in.h.pokeWritten(in.written, &in.wanted)
}

// writer writes the queue, piece by piece.
func (in *input) writer() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.queue) > 0 {
		piece := in.queue[:min(len(in.queue), inputPiece)]
		in.mu.Unlock()
		n, echo, err := in.write(piece)
		in.mu.Lock()
		if in.void { // closed meanwhile
			break
		}
		in.wrote(n, echo)
		in.queue = in.queue[n:]
		if err == nil && n == 0 {
			err = io.ErrNoProgress
		}
		stop := in.frozen && errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !stop {
			in.fail(err)
		}
		in.publish()
		if stop {
			break
		}
	}
	if in.void || len(in.queue) == 0 {
		in.queue = nil
	}
	if in.eof && !in.void && len(in.queue) == 0 {
		in.closeInput()
	}
	in.writing = false
	in.idle.Broadcast()
}

// closeInput tells the program that its input has ended. The caller holds mu.
func (in *input) closeInput() {
	if err := in.h.proc.CloseInput(); err != nil && !errors.Is(err, os.ErrClosed) {
		in.h.s.log.Debug("input was not closed", "session", in.h.id, "err", err)
	}
}

// close drops what was not written and waits for the writer: the program has
// ended, or must.
func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.void = true
	in.queue = nil
	in.lose()
	in.publish()
	_ = in.h.proc.SetWriteDeadline(past())
	for in.writing {
		in.idle.Wait()
	}
}
