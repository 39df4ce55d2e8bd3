package cli

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"etcha/go/errs"
)

// statusPipe is the exit status of a program whose reader went away: 128+SIGPIPE.
const statusPipe = 128 + 13

// output is the session's stdout or stderr: it writes straight to ours, and
// knows what state a terminal is left in. One goroutine writes.
type output struct {
	r        *remote
	file     *os.File
	name     string
	terminal bool // the program believes to be on a terminal, and is

	ready chan struct{} // closed when the terminal is raw
	once  sync.Once
	bytes atomic.Uint64
	last  atomic.Int32 // last byte written; -1: none

	mu    sync.Mutex
	modes modes
}

func newOutput(r *remote, file *os.File, name string, terminal bool) *output {
	o := &output{r: r, file: file, name: name, terminal: terminal, ready: make(chan struct{})}
	o.last.Store(-1)
	return o
}

// start lets output through.
func (o *output) start() { o.once.Do(func() { close(o.ready) }) }

// Write implements io.Writer. What comes after this side ended the session is
// dropped: the terminal is no longer the program's.
func (o *output) Write(p []byte) (int, error) {
	<-o.ready
	if o.r.finished.Load() || len(p) == 0 {
		return len(p), nil
	}
	if o.terminal {
		o.mu.Lock()
		o.modes.scan(p)
		o.mu.Unlock()
	}
	n, err := o.file.Write(p)
	if n > 0 {
		o.bytes.Add(uint64(n))
		o.last.Store(int32(p[n-1]))
	}
	if err != nil {
		o.r.finish(o.failed(err))
	}
	return n, err
}

// failed is what a failed write ends the session for. A reader that has seen
// enough is no error: the status says it, as for any program.
func (o *output) failed(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return exit(statusPipe)
	}
	return &errs.Error{Text: "write to " + o.name, Exit: errs.ExitOther, Err: err}
}

// midLine reports whether the program's last line on the terminal is unfinished.
func (o *output) midLine() bool {
	last := o.last.Load()
	return o.terminal && last >= 0 && last != '\n'
}

// reset puts the terminal right after a program that could not do it itself.
func (o *output) reset() {
	if !o.terminal {
		return
	}
	o.mu.Lock()
	undo := o.modes.undo()
	o.mu.Unlock()
	if o.midLine() {
		undo += "\r\n"
	}
	fmt.Fprint(o.file, undo)
}
