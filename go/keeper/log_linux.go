package keeper

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// LogWriter makes a file fit for a keeper's log: a pipe, socket or terminal
// that does not take a line at once loses it, so that nobody who stops reading
// can stop the keeper, and a regular file begins anew at 1 MiB. Errors are
// hidden: there is nowhere to tell them.
func LogWriter(f *os.File) io.Writer {
	w := &logWriter{f: f}
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		w.regular = true
	}
	return w
}

type logWriter struct {
	mu      sync.Mutex
	f       *os.File
	regular bool
}

// Write takes one line.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.regular {
		if st, err := w.f.Stat(); err == nil && st.Size() > logMax {
			_ = w.f.Truncate(0)
		}
	} else if !writable(w.f) {
		return len(p), nil
	}
	_, _ = w.f.Write(p)
	return len(p), nil
}

// writable reports whether a line can be written without waiting. A pipe says
// so when it has room for 4 KiB (pipe(7)).
func writable(f *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1 && fds[0].Revents&unix.POLLOUT != 0
}
