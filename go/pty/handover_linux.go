package pty

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ParentState is what a Parent hands over to the program that takes its place in
// the same process.
type ParentState struct {
	Spared bool `json:"spared"` // processes of a session without a cgroup were released
}

// ProcessState is a Process handed over. Its descriptors stay those of the process.
type ProcessState struct {
	PID      int    `json:"pid"`
	Start    uint64 `json:"start"` // of the leader, clock ticks since boot
	Session  string `json:"session"`
	Terminal bool   `json:"terminal"`
	Audit    uint32 `json:"audit"`
	Group    string `json:"group"` // directory of the session's cgroup; "" without
	Ended    bool   `json:"ended"` // Exit is known
	Exit     Exit   `json:"exit"`
	Reaped   bool   `json:"reaped"`
	In       int    `json:"in"` // -1: a terminal's, or closed
	Out      int    `json:"out"`
	Err      int    `json:"err"` // -1: a terminal's, or closed
}

// Descriptors are those that must survive execve(2).
func (st ProcessState) Descriptors() []int {
	var fds []int
	for _, fd := range []int{st.In, st.Out, st.Err} {
		if fd >= 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// Frozen is a Parent that neither starts nor reaps: a child that ends meanwhile
// stays to be waited for, by this program or by the next in this process.
type Frozen struct{ parent *Parent }

// Freeze waits for starts under way. Thaw, or execve(2), ends it.
func (p *Parent) Freeze() *Frozen {
	p.mu.Lock()
	return &Frozen{parent: p}
}

// Thaw lets the Parent go on. Once.
func (f *Frozen) Thaw() { f.parent.mu.Unlock() }

// State is what the next program needs to know of the Parent.
func (f *Frozen) State() ParentState { return ParentState{Spared: f.parent.spared.Load()} }

// Export describes a Process for [Parent.Restore]. Nobody may close or release
// it until the Thaw.
func (f *Frozen) Export(p *Process) ProcessState {
	st := ProcessState{
		PID: p.pid, Start: p.started, Session: p.session, Terminal: p.terminal, Audit: p.audit,
		Reaped: f.parent.leaders[p.pid] != p,
		In:     descriptor(p.io.in), Out: descriptor(p.io.out), Err: descriptor(p.io.errOut),
	}
	if p.group != nil {
		st.Group = p.group.dir
	}
	if p.ended() {
		st.Ended, st.Exit = true, p.exit
	}
	return st
}

// descriptor is -1 when there is none any more.
func descriptor(f *os.File) int {
	n := -1
	if f != nil {
		_ = control(f, func(fd int) error { n = fd; return nil })
	}
	return n
}

// NewParentFrom is NewParent with what an earlier program in this process handed
// over. Every Process follows by [Parent.Restore] before [Parent.ReapOrphans] runs.
func NewParentFrom(st ParentState) *Parent {
	p := NewParent()
	p.spared.Store(st.Spared)
	return p
}

// Reasons for which a Process is not taken over.
var (
	errStranger   = errors.New("the program is not this process's child")
	errDescriptor = errors.New("a descriptor is not what it should be")
	errGroup      = errors.New("the cgroup is not the session's")
)

// Restore takes over a Process that an earlier program in this same process
// exported, with its descriptors, also when it fails. What is left of the
// session then is ended by [Parent.Abolish].
func (p *Parent) Restore(st ProcessState) (*Process, error) {
	streams, err := restoreStreams(st)
	if err == nil {
		err = st.check()
	}
	if err != nil {
		streams.close()
		return nil, fmt.Errorf("take over session %q: %w", st.Session, err)
	}
	return p.restore(st, streams), nil
}

// Abolish ends whatever is left of a session that could not be taken over.
func (p *Parent) Abolish(st ProcessState) error {
	if st.checkLeader() == nil {
		if st.checkGroup() != nil {
			st.Group = ""
		}
		return p.restore(st, &streams{}).Close()
	}
	if st.Group == "" || st.checkGroup() != nil {
		return nil
	}
	_, err := (&group{dir: st.Group}).clear()
	return err
}

func (p *Parent) restore(st ProcessState, io *streams) *Process {
	proc := &Process{
		parent: p, pid: st.PID, session: st.Session, terminal: st.Terminal,
		io: io, audit: st.Audit, started: st.Start,
		done: make(chan struct{}), mayReap: make(chan struct{}), reaped: make(chan struct{}),
		end: newEnding(),
	}
	if st.Group != "" {
		proc.group = &group{dir: st.Group}
	}
	if st.Reaped {
		proc.exit, proc.gone = st.Exit, true
		close(proc.done)
		close(proc.reaped)
		return proc
	}
	p.mu.Lock()
	p.leaders[st.PID] = proc
	p.mu.Unlock()
	var pidfd *os.File
	if fd, err := unix.PidfdOpen(st.PID, 0); err == nil {
		pidfd, _ = nonblocking(fd, "pidfd") // without it a thread waits
	}
	go proc.wait(pidfd)
	return proc
}

// check refuses what does not belong together.
func (st ProcessState) check() error {
	if err := checkSession(st.Session); err != nil {
		return err
	}
	return errors.Join(st.checkLeader(), st.checkGroup())
}

// checkLeader reports whether the leader is the child it was.
func (st ProcessState) checkLeader() error {
	if st.Reaped {
		if !st.Ended {
			return errStranger
		}
		return nil
	}
	if st.PID <= 1 {
		return errStranger
	}
	leader, err := readProc(st.PID)
	if err != nil {
		return errors.Join(errStranger, err)
	}
	if leader.start != st.Start || leader.ppid != os.Getpid() {
		return errStranger
	}
	return nil
}

// checkGroup reports whether the cgroup is one that this process made for the
// session: everything in it is killed at the session's end.
func (st ProcessState) checkGroup() error {
	if st.Group == "" {
		return nil
	}
	name, err := groupName(st.Session)
	if err != nil {
		return err
	}
	if filepath.Base(st.Group) != name || !filepath.IsAbs(st.Group) {
		return errGroup
	}
	return nil
}

// restoreStreams takes the descriptors over; what it returns is to be closed
// also after an error.
func restoreStreams(st ProcessState) (*streams, error) {
	io := &streams{child: [3]int{-1, -1, -1}}
	var failed error
	for _, s := range []struct {
		fd   int
		name string
		to   **os.File
		is   func(int) bool
	}{
		{st.In, "stdin", &io.in, isPipe}, {st.Out, "output", &io.out, st.isOutput}, {st.Err, "stderr", &io.errOut, isPipe},
	} {
		if s.fd < 0 {
			continue
		}
		if !s.is(s.fd) {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, errDescriptor))
			continue
		}
		unix.CloseOnExec(s.fd)
		f, err := nonblocking(s.fd, s.name)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
			continue
		}
		*s.to = f
	}
	return io, failed
}

func isPipe(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}

// isOutput reports whether fd is a terminal's master, or a pipe.
func (st ProcessState) isOutput(fd int) bool {
	if !st.Terminal {
		return isPipe(fd)
	}
	_, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	return err == nil
}
