package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// wires is what a long-lived shell is talked to through. One goroutine uses them
// at a time and waits in the kernel: each hand-over between goroutines would cost
// a good part of what a check takes. So they are plain descriptors, unknown to
// the runtime's poller.
type wires struct {
	order, status, output, errors int // ours of each pipe
	poll                          int // waits for status and output
	again                         string
	buffer                        []byte
	tail                          tail
	held                          bool // see shell
}

// newWires makes the pipes. theirs are the shell's descriptors 2 to 5.
func newWires(l *login) (w *wires, theirs []*os.File, err error) {
	w = &wires{order: -1, status: -1, output: -1, errors: -1, poll: -1, buffer: make([]byte, 32<<10)}
	defer func() {
		if err != nil {
			w.close()
			closeAll(theirs)
			theirs = nil
		}
	}()
	var pipes [4][2]int
	for i, ours := range []struct {
		to   *int
		side int
	}{{&w.errors, 0}, {&w.order, 1}, {&w.status, 0}, {&w.output, 0}} {
		if err := syscall.Pipe2(pipes[i][:], syscall.O_CLOEXEC); err != nil {
			return w, theirs, os.NewSyscallError("pipe", err)
		}
		*ours.to = pipes[i][ours.side]
		theirs = append(theirs, os.NewFile(uintptr(pipes[i][1-ours.side]), "pipe"))
	}
	w.again = fmt.Sprintf("/proc/self/fd/%d", w.output)
	// The shell gets a read end too, which it opens anew for each check; without
	// O_NONBLOCK of ours.
	reading, err := syscall.Open(w.again, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return w, theirs, os.NewSyscallError("open", err)
	}
	theirs[3].Close()
	theirs[3] = os.NewFile(uintptr(reading), "pipe")
	if l != nil {
		if err := syscall.Fchown(w.output, int(l.uid), int(l.gid)); err != nil {
			return w, theirs, os.NewSyscallError("chown", err)
		}
	}
	return w, theirs, w.watch()
}

// watch makes what is read from non-blocking and waits for it.
func (w *wires) watch() (err error) {
	if w.poll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	for _, fd := range []int{w.status, w.output, w.errors} {
		if err := syscall.SetNonblock(fd, true); err != nil {
			return os.NewSyscallError("fcntl", err)
		}
	}
	for _, fd := range []int{w.status, w.output} {
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
		if err := syscall.EpollCtl(w.poll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
			return os.NewSyscallError("epoll_ctl", err)
		}
	}
	return nil
}

// exchange gives an order and takes status and output.
func (w *wires) exchange(order string) (exit int, err error) {
	// As long as this end is open, the output has no end before the check has begun.
	hold, err := syscall.Open(w.again, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	w.tail.reset()
	line, err := "", w.write(order)
	for err == nil && !strings.HasSuffix(line, "\n") {
		if err = w.wait(-1); err != nil {
			break
		}
		var n int
		if n, err = w.read(w.status); n > 0 {
			line += string(w.buffer[:n])
		}
		if _, drained := w.drain(); err == nil {
			err = drained
		}
	}
	syscall.Close(hold)
	if err != nil {
		return 0, err
	}
	if err := w.rest(); err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSuffix(line, "\n"))
}

func (w *wires) write(order string) error {
	for b := []byte(order); len(b) > 0; {
		n, err := syscall.Write(w.order, b)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return err
		}
		b = b[max(0, n):]
	}
	return nil
}

// wait waits until there is something to read, at most limit; -1: no limit.
func (w *wires) wait(limit time.Duration) error {
	ms := -1
	if limit >= 0 {
		ms = int((limit + time.Millisecond - 1) / time.Millisecond)
	}
	var events [2]syscall.EpollEvent
	if _, err := syscall.EpollWait(w.poll, events[:], ms); err != nil && !errors.Is(err, syscall.EINTR) {
		return os.NewSyscallError("epoll_wait", err)
	}
	return nil
}

// read reads what is there: 0 without an error means nothing yet.
func (w *wires) read(fd int) (int, error) {
	n, err := syscall.Read(fd, w.buffer)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// drain takes the output that is there, not all of what never ends. over means
// that nothing holds its pipe.
func (w *wires) drain() (over bool, err error) {
	for range 16 {
		n, err := w.read(w.output)
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return false, err
		case n == 0:
			return false, nil
		}
		_, _ = w.tail.Write(w.buffer[:n]) // cannot fail
	}
	return false, nil
}

// rest takes what is left of a check's output, as the process runner does.
func (w *wires) rest() error {
	for deadline := time.Now().Add(drainGrace); ; {
		over, err := w.drain()
		if over || err != nil {
			return err
		}
		left := time.Until(deadline)
		if left <= 0 {
			w.held = true
			return nil
		}
		if err := w.wait(left); err != nil {
			return err
		}
	}
}

// complaints reports whether the shell itself wrote of an error since it was
// asked last.
func (w *wires) complaints() bool {
	some := false
	for {
		n, err := w.read(w.errors)
		if n == 0 || err != nil {
			return some
		}
		some = true
	}
}

func (w *wires) close() {
	for _, fd := range []*int{&w.order, &w.status, &w.output, &w.errors, &w.poll} {
		if *fd >= 0 {
			syscall.Close(*fd)
			*fd = -1
		}
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
