package pty

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// SetSubreaper makes this process the parent of what its descendants leave
// behind (PR_SET_CHILD_SUBREAPER). It must then run [Parent.ReapOrphans].
func SetSubreaper() error {
	return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// Parent starts programs and knows those it started, so that their exit
// statuses and those of orphans are never mixed up. A process has one.
type Parent struct {
	// mu is held from before a fork until the child is known, and while an
	// orphan is reaped: who reaps sees each leader as one.
	mu      sync.Mutex
	leaders map[int]*Process
	poke    chan struct{} // a leader was reaped, what hid behind it may be too
	reaping atomic.Int32  // ReapOrphans runs: each child that is no leader is an orphan

	spared atomic.Bool // processes of a session without a cgroup were released

	audit bool // use audit sessions
}

// NewParent returns a Parent without programs.
func NewParent() *Parent {
	return &Parent{leaders: map[int]*Process{}, poke: make(chan struct{}, 1), audit: true}
}

// Start starts one program, for a process that does not reap orphans; one that
// does uses [Parent.Start].
func Start(s Spec) (*Process, error) { return NewParent().Start(s) }

// ReapOrphans waits for children that no [Process] of this Parent stands for,
// until ctx ends. It leaves alone children of this process's own session: those
// that were started with os/exec. One call per process, the one that
// [SetSubreaper] was called in.
func (p *Parent) ReapOrphans(ctx context.Context) {
	child := make(chan os.Signal, 1)
	signal.Notify(child, unix.SIGCHLD)
	defer signal.Stop(child)
	p.reaping.Add(1)
	defer p.reaping.Add(-1)
	for {
		p.reapAll()
		select {
		case <-ctx.Done():
			return
		case <-child:
		case <-p.poke:
		}
	}
}

// reapAll reaps the orphans that have ended. The kernel shows the first child
// that has; when that one is not for us to reap, the others are looked for.
func (p *Parent) reapAll() {
	for {
		pid, ok := peekAny()
		if !ok {
			return
		}
		if !p.reapOrphan(pid) {
			break
		}
	}
	procs, err := readProcs()
	if err != nil {
		return // no /proc: nothing was started either
	}
	self := os.Getpid()
	for _, c := range procs {
		if c.ppid == self && !c.alive() {
			p.reapOrphan(c.pid)
		}
	}
}

// reapOrphan reports whether pid is not in the way any more.
func (p *Parent) reapOrphan(pid int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaders[pid] != nil {
		return false
	}
	sid, err := unix.Getsid(pid)
	if err != nil {
		return errors.Is(err, unix.ESRCH) // another's wait was faster
	}
	if own, err := unix.Getsid(0); err != nil || sid == own {
		return false
	}
	_, err = retry(func() (int, error) { return unix.Wait4(pid, nil, unix.WNOHANG, nil) })
	return err == nil
}

// forget reaps a leader that has ended.
func (p *Parent) forget(pid int) {
	p.mu.Lock()
	_, _ = retry(func() (int, error) { return unix.Wait4(pid, nil, 0, nil) })
	delete(p.leaders, pid)
	p.mu.Unlock()
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// others lists the Processes that are not p.
func (p *Parent) others(not *Process) []*Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*Process
	for _, l := range p.leaders {
		if l != not {
			out = append(out, l)
		}
	}
	return out
}

func retry(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
