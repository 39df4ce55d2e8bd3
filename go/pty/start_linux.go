package pty

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Start starts a program and returns when it has been executed. A step that
// failed is a [*StartError]; nothing is left then. The caller must [Process.End]
// and [Process.Close] it, also after it has ended by itself.
func (p *Parent) Start(s Spec) (*Process, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	st, failed := openStreams(&s)
	if failed != nil {
		return nil, failed
	}
	l := &launch{spec: &s, streams: st}
	proc, failed := l.start(p)
	st.closeChild()
	l.close()
	if failed != nil {
		st.closeOurs()
		return nil, failed
	}
	return proc, nil
}

// launch is a start under way.
type launch struct {
	spec    *Spec
	streams *streams
	group   *group
	order   [2]*os.File // what to do: the helper's end, ours
	answer  [2]*os.File // what failed: ours, the helper's end
}

func (l *launch) close() {
	for _, f := range []*os.File{l.order[0], l.order[1], l.answer[0], l.answer[1]} {
		if f != nil {
			_ = f.Close()
		}
	}
}

func (l *launch) start(parent *Parent) (*Process, *StartError) {
	var err error
	if l.order[0], l.order[1], err = os.Pipe(); err == nil {
		l.answer[0], l.answer[1], err = os.Pipe()
	}
	if err != nil {
		return nil, &StartError{stepPipes, "", errnoOf(err)}
	}
	l.makeGroup()
	proc, pidfd, err := l.fork(parent)
	if err != nil {
		l.dropGroup()
		return nil, &StartError{stepHelper, "", errnoOf(err)}
	}
	go proc.wait(pidfd)
	if failed := l.instruct(); failed != nil {
		// Whatever is left of it ends here; an error would hide the first.
		_ = proc.Close()
		return nil, failed
	}
	if parent.audit {
		proc.audit = ownAudit(proc.pid)
	}
	return proc, nil
}

// makeGroup makes the session's cgroup. When that is not possible any more,
// because the parent vanished or is full, the session goes without: a shell is
// needed most on a machine in trouble. [Process.Contained] tells.
func (l *launch) makeGroup() {
	if l.spec.Cgroup != "" {
		l.group, _ = newGroup(l.spec.Cgroup, l.spec.Session)
	}
}

func (l *launch) dropGroup() {
	if l.group != nil {
		_ = l.group.remove()
		l.group = nil
	}
}

// fork starts the helper, in its cgroup from its first instruction where the
// kernel can do that (Linux 5.7, clone3 not filtered); else it is moved before
// it is told what to do.
func (l *launch) fork(parent *Parent) (*Process, *os.File, error) {
	attr, err := l.attr()
	if err != nil {
		return nil, nil, err
	}
	pidfd := -1
	attr.Sys.PidFD = &pidfd
	parent.mu.Lock()
	defer parent.mu.Unlock()
	pid, err := l.forkInto(attr)
	if err != nil {
		return nil, nil, err
	}
	proc := &Process{
		parent: parent, pid: pid, session: l.spec.Session, terminal: l.spec.Terminal,
		io: l.streams, group: l.group, audit: noAudit,
		done: make(chan struct{}), mayReap: make(chan struct{}), reaped: make(chan struct{}),
		end: newEnding(),
	}
	if self, err := readProc(pid); err == nil {
		proc.started = self.start
	}
	parent.leaders[pid] = proc
	if pidfd < 0 {
		return proc, nil, nil
	}
	f, err := nonblocking(pidfd, "pidfd")
	if err != nil {
		f = nil // a thread waits instead
	}
	return proc, f, nil
}

func (l *launch) attr() (*syscall.ProcAttr, error) {
	attr := &syscall.ProcAttr{
		Env: []string{Marker + "=" + l.spec.Session},
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: l.spec.Terminal, Ctty: 0},
	}
	for _, fd := range l.streams.child {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	for _, f := range []*os.File{l.order[0], l.answer[1]} {
		// The helper reads and writes without a poller.
		err := control(f, func(fd int) error {
			attr.Files = append(attr.Files, uintptr(fd))
			return unix.SetNonblock(fd, false)
		})
		if err != nil {
			return nil, err
		}
	}
	return attr, nil
}

func (l *launch) forkInto(attr *syscall.ProcAttr) (int, error) {
	const self = "/proc/self/exe"
	if l.group != nil {
		if dir, err := l.group.open(); err == nil {
			defer dir.Close()
			err = control(dir, func(fd int) error { attr.Sys.CgroupFD = fd; return nil })
			attr.Sys.UseCgroupFD = err == nil
		}
		if attr.Sys.UseCgroupFD {
			pid, err := syscall.ForkExec(self, []string{HelperName}, attr)
			if err == nil {
				return pid, nil
			}
			attr.Sys.UseCgroupFD = false
		}
	}
	pid, err := syscall.ForkExec(self, []string{HelperName}, attr)
	if err == nil && l.group != nil && l.group.add(pid) != nil {
		l.dropGroup()
	}
	return pid, err
}

// instruct sends the order and waits until the program is executed, which
// closes the answer, or a step has failed.
func (l *launch) instruct() *StartError {
	_ = l.order[0].Close()
	_ = l.answer[1].Close()
	deadline := time.Now().Add(startWait)
	for _, f := range []*os.File{l.order[1], l.answer[0]} {
		if err := f.SetDeadline(deadline); err != nil {
			return &StartError{stepHelper, "", err}
		}
	}
	// A helper that does not read any more says why.
	_ = l.spec.order().write(l.order[1])
	_ = l.order[1].Close()
	b, err := io.ReadAll(io.LimitReader(l.answer[0], maxAnswer))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &StartError{stepExec, l.spec.file(), errSlow}
	}
	return parseAnswer(b)
}

// ownAudit is a leader's audit session, if it is not one that it shares with
// this process.
func ownAudit(pid int) uint32 {
	id := auditSession(pid)
	if id == auditSession(os.Getpid()) {
		return noAudit
	}
	return id
}
