package cli

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"etcha/go/errs"
	"etcha/go/record"
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

	mu    sync.Mutex // held for each write to a terminal
	modes modes
	cut   unfinished
	tamed taming
}

// taming keeps from a terminal what would make it answer: the program's
// questions were for another one, or were answered long ago, and an answer would
// arrive as if it had been typed.
type taming struct {
	filter record.Filter
	always bool   // all that is written; a guest's terminal
	left   uint64 // bytes that were written before we came
	keys   bool   // what changes the keys that the terminal sends passes all the same
}

// tame prepares a terminal for output that was meant for another one.
func (o *output) tame(t taming) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tamed = t
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
	n, err := o.write(p)
	if n > 0 {
		o.bytes.Add(uint64(n))
		o.last.Store(int32(p[n-1]))
	}
	if err != nil {
		o.r.finish(o.failed(err))
	}
	return n, err
}

func (o *output) write(p []byte) (int, error) {
	if !o.terminal {
		return o.file.Write(p)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	t := &o.tamed
	if !t.on() {
		o.modes.scan(p)
		o.cut.scan(p)
		return o.file.Write(p)
	}
	before := o.modes.keys()
	o.modes.scan(p)
	o.cut.scan(p)
	out := t.filter.Append(nil, string(p))
	if t.keys {
		out = append(out, o.modes.keys().since(before)...)
	}
	t.took(len(p), o.cut.state == inText)
	if _, err := o.file.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (t *taming) on() bool { return t.always || t.left > 0 }

// took counts output; the last of it is up to the end of a sequence.
func (t *taming) took(n int, whole bool) {
	if uint64(n) < t.left {
		t.left -= uint64(n)
		return
	}
	t.left = 1
	if whole {
		t.left = 0
	}
}

// between writes to our terminal between two writes of the program's, wherever
// that has stopped. text is told whether the program uses the whole screen.
func (o *output) between(text func(full bool) string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	again := ""
	if !o.tamed.on() { // there it was not written
		again = o.cut.again()
	}
	_, err := fmt.Fprint(o.r.tty.out, text(o.modes.fullScreen())+again)
	if err != nil {
		o.r.log.Debug("write to the terminal", "err", err)
	}
}

// fullScreen reports whether the program uses the whole screen.
func (o *output) fullScreen() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.modes.fullScreen()
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
