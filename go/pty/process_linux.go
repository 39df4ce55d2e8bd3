package pty

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a started program: the leader of a session of its own, and
// whatever it starts. Its methods may be called at the same time.
type Process struct {
	parent   *Parent
	pid      int
	session  string
	terminal bool
	io       *streams
	group    *group // nil without a cgroup
	audit    uint32 // the session's number for audit, or noAudit
	started  uint64 // of the leader, clock ticks since boot

	done    chan struct{} // the leader has ended
	exit    Exit          // valid after done
	mayReap chan struct{} // the leader may be reaped
	reaped  chan struct{} // it was

	mu   sync.Mutex
	gone bool // pid is not ours any more

	freeOnce  sync.Once
	closeOnce sync.Once
	closeErr  error
	end       ending
}

// Errors of operations that do not fit the session.
var (
	ErrTerminal = errors.New("input of a terminal cannot be closed")
	ErrSignal   = errors.New("unknown signal")
)

// Pid is the leader's process id, which is also its session's and its process
// group's.
func (p *Process) Pid() int { return p.pid }

// Output is the terminal's master, or the pipe of standard output. It is
// non-blocking: deadlines work and Close wakes a Read. [IsEnd] tells its end.
func (p *Process) Output() *os.File { return p.io.out }

// Stderr is the pipe of standard error; nil with a terminal.
func (p *Process) Stderr() *os.File { return p.io.errOut }

func (p *Process) input() *os.File {
	if p.terminal {
		return p.io.out
	}
	return p.io.in
}

// Write writes to the program's input. It blocks while the program does not
// read; with a deadline it returns what was written and os.ErrDeadlineExceeded.
func (p *Process) Write(b []byte) (int, error) { return p.input().Write(b) }

// SetWriteDeadline bounds Write, also one that waits already.
func (p *Process) SetWriteDeadline(t time.Time) error { return p.input().SetWriteDeadline(t) }

// CloseInput ends the program's input; with a terminal it is ErrTerminal.
func (p *Process) CloseInput() error {
	if p.terminal {
		return ErrTerminal
	}
	if p.io.in == nil { // was closed before the process was taken over
		return nil
	}
	err := p.io.in.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// Resize tells the terminal its size; the kernel sends WINCH when it changed. A
// 0 keeps what was. Without a terminal it does nothing.
func (p *Process) Resize(cols, rows uint16) error {
	if !p.terminal {
		return nil
	}
	return control(p.io.out, func(fd int) error { return setSize(fd, cols, rows) })
}

// EchoOff reports whether the terminal does not echo what is typed: a password,
// or a program that draws by itself.
func (p *Process) EchoOff() bool {
	if !p.terminal {
		return false
	}
	off := false
	err := control(p.io.out, func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		off = err == nil && t.Lflag&unix.ECHO == 0
		return err
	})
	return err == nil && off
}

// Done is closed when the program has ended. Its output may not be read yet,
// and what it started may be there still.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is how the program ended; valid after Done.
func (p *Process) Exit() Exit { return p.exit }

// Contained reports whether the session has a cgroup of its own, so that none
// of its processes can be missed.
func (p *Process) Contained() bool { return p.group != nil }

// Cgroup is the directory of the session's cgroup; "" without one.
func (p *Process) Cgroup() string {
	if p.group == nil {
		return ""
	}
	return p.group.dir
}

// signals are those that may be sent by name.
var signals = []unix.Signal{
	unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGKILL,
	unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGTSTP, unix.SIGCONT,
}

// Signal sends INT, TERM, HUP, QUIT, KILL, USR1, USR2, WINCH, TSTP or CONT to
// the terminal's foreground process group, else to the leader's. After the
// leader's end it is os.ErrProcessDone.
func (p *Process) Signal(name string) error {
	i := slices.IndexFunc(signals, func(s unix.Signal) bool { return signalName(s) == name })
	if i < 0 {
		return fmt.Errorf("signal %q: %w", name, ErrSignal)
	}
	select {
	case <-p.done:
		return os.ErrProcessDone
	default:
	}
	sig := signals[i]
	if p.terminal {
		if err := p.signalForeground(sig); !errors.Is(err, unix.ESRCH) {
			return os.NewSyscallError("kill", err)
		}
	}
	return p.signalLeader(-p.pid, sig)
}

// signalForeground is ESRCH when nobody is in the foreground.
func (p *Process) signalForeground(sig unix.Signal) error {
	return control(p.io.out, func(fd int) error {
		n, err := unix.IoctlGetUint32(fd, unix.TIOCGPGRP)
		group := int(int32(n))
		if err != nil || group <= 1 || errors.Is(unix.Kill(-group, 0), unix.ESRCH) {
			return unix.ESRCH
		}
		// The kernel sends these by itself: no race, and no permission to miss
		// when sudo runs.
		if sig == unix.SIGINT || sig == unix.SIGQUIT || sig == unix.SIGTSTP {
			if err := unix.IoctlSetInt(fd, unix.TIOCSIG, int(sig)); err == nil {
				return nil
			}
		}
		return unix.Kill(-group, sig)
	})
}

// signalLeader sends a signal to the leader (pid) or its group (-pid), while
// that number is the leader's.
func (p *Process) signalLeader(pid int, sig unix.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return os.ErrProcessDone
	}
	return os.NewSyscallError("kill", unix.Kill(pid, sig))
}
