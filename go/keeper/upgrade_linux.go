package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"etcha/go/pty"
)

// ProbeArgument, after the arguments that start a keeper, asks the program which
// states it can go on with: it must call [Probe] and exit.
const ProbeArgument = "--probe-state"

// probeAnswer is what a program says of itself before it takes a keeper's place.
type probeAnswer struct {
	Oldest   int    `json:"oldest"` // state versions that it reads
	Newest   int    `json:"newest"`
	StateDir string `json:"stateDir"` // for which the arguments start a keeper
}

// Probe answers a keeper that asks whether this program can take its place for
// a state folder.
func Probe(w io.Writer, stateDir string) error {
	return json.NewEncoder(w).Encode(probeAnswer{Oldest: stateOldest, Newest: stateNewest, StateDir: stateDir})
}

// stateEnv names the descriptor of the state that an earlier program left.
const stateEnv = "ETCHA_KEEPER_STATE"

// upgradeBody asks the keeper to become another program; the program's file
// comes with it as a descriptor.
type upgradeBody struct {
	Argv [][]byte `json:"argv"`
}

// upgrade executes another program in this process, which goes on with all
// sessions. When that works it does not return: the asker's connection ends with
// all others. Otherwise everything is as it was, but for the connections, and
// the asker is told why.
func (s *server) upgrade(l *link, f frame) error {
	err := s.tryUpgrade(l, f)
	s.log.Warn("keeper was not upgraded", "err", err)
	return l.send(opAnswer, flagFailed, f.id, fail(fmt.Errorf("upgrade: %w", err)), nil)
}

func (s *server) tryUpgrade(l *link, f frame) error {
	defer l.closeFDs()
	var b upgradeBody
	if err := json.Unmarshal(f.body, &b); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(b.Argv) == 0 || len(l.fds) != 1 {
		return fmt.Errorf("%w: %d arguments, %d descriptors", ErrInvalid, len(b.Argv), len(l.fds))
	}
	if !s.upgrading.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: somebody else upgrades it", ErrUnsettled)
	}
	defer s.upgrading.Store(false)
	p := program{file: fmt.Sprintf("/proc/self/fd/%d", l.fds[0]), argv: toStrings(b.Argv)}
	if err := p.probe(s.dir); err != nil {
		return err
	}
	if l.isLeft() { // nobody waits for it, and somebody else may have come
		return fmt.Errorf("%w: who asked has gone", ErrUnsettled)
	}
	defer s.thaw()
	if err := s.freeze(l); err != nil {
		return err
	}
	frozen := s.parent.Freeze()
	defer frozen.Thaw()
	return s.become(p, frozen)
}

// become hands over to a program. It returns only when that fails.
func (s *server) become(p program, frozen *pty.Frozen) error {
	st := s.export(frozen)
	b, err := st.encode()
	if err != nil {
		return err
	}
	file, err := writeState(b)
	if err != nil {
		return err
	}
	defer file.Close()
	if s.isStopping() { // SIGTERM came meanwhile
		return ErrStopping
	}
	s.log.Info("keeper becomes another program", "sessions", len(st.Sessions), "version", s.version)
	env := append(withoutState(os.Environ()), stateEnv+"="+strconv.Itoa(int(file.Fd())))
	return p.execute(append(st.descriptors(), int(file.Fd())), env, s.exec)
}

func (s *server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping || s.leaving
}

func withoutState(env []string) []string {
	return slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, stateEnv+"=") })
}

// export describes everything. All is frozen.
func (s *server) export(frozen *pty.Frozen) keeperState {
	st := keeperState{Parent: frozen.State(), Lock: int(s.lock.Fd()), Listener: -1, Sessions: []sessionState{}}
	if raw, err := s.ln.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { st.Listener = int(fd) })
	}
	for _, h := range s.all() {
		if ss, ok := h.export(frozen); ok {
			st.Sessions = append(st.Sessions, ss)
		}
	}
	return st
}

// export describes a session; not ok when it was forgotten meanwhile.
func (h *held) export(frozen *pty.Frozen) (sessionState, bool) {
	h.in.mu.Lock()
	defer h.in.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ring == nil {
		return sessionState{}, false
	}
	st := sessionState{
		ID: h.id, Meta: h.meta, Started: h.started, PID: h.pid, Terminal: h.terminal,
		Window: h.window, Scrollback: h.scrollback, Resume: h.resumeFor, Left: -1,
		Discard: h.discard, Keep: h.keep, Flight: h.flight, ReportEcho: h.reportEcho,
		Ring: h.ring.region.fd, Trimmed: h.ring.trimmed,
		Accepted: h.in.accepted, Written: h.in.written, Queue: h.in.queue, EOF: h.in.eof, Void: h.in.void,
		EchoOn: h.in.echoOn, Reason: h.reason, Taken: h.taken, Forgotten: h.forgotten,
	}
	if h.resume != nil {
		st.Left = max(0, time.Until(h.expires))
	}
	if !h.ended {
		p := frozen.Export(h.proc)
		st.Process = &p
	}
	return st, true
}

// program is one that takes this one's place.
type program struct {
	file string
	argv []string
}

// probe asks the program whether it can go on with what this one would leave.
func (p program) probe(stateDir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	// In this process's own session, where ReapOrphans leaves it alone.
	cmd := exec.CommandContext(ctx, p.file)
	cmd.Args = append(slices.Clone(p.argv), ProbeArgument)
	cmd.Dir, cmd.Env = "/", withoutState(os.Environ())
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProgram, err)
	}
	said, readErr := io.ReadAll(io.LimitReader(out, maxSmall))
	if err := errors.Join(readErr, cmd.Wait()); err != nil {
		return fmt.Errorf("%w: asked for the states that it reads: %w", ErrProgram, err)
	}
	return checkProbe(said, stateDir)
}

// checkProbe judges a program's answer.
func checkProbe(said []byte, stateDir string) error {
	var a probeAnswer
	if err := json.Unmarshal(said, &a); err != nil {
		return fmt.Errorf("%w: asked for the states that it reads: %w", ErrProgram, err)
	}
	if a.Oldest < 1 || a.Oldest > stateNewest || a.Newest < stateNewest {
		return fmt.Errorf("%w: it reads states of version %d to %d, this keeper leaves %d", ErrProgram, a.Oldest, a.Newest, stateNewest)
	}
	if a.StateDir != stateDir {
		return fmt.Errorf("%w: its arguments are for another state folder", ErrProgram)
	}
	return nil
}

// execute replaces this program. Descriptors are inherited by it alone: nobody
// forks meanwhile. Signals that would end a program which has not begun to
// listen to them wait for that.
func (p program) execute(fds []int, env []string, run func(string, []string, []string) error) error {
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, signalSet(append(deafTo(), syscall.SIGTERM)), &before); err != nil {
		return fmt.Errorf("block signals: %w", err)
	}
	defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	var limit unix.Rlimit // the soft limit of open files, which Exec lowers to the original
	limited := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil
	if err := inherit(fds, true); err != nil {
		return errors.Join(err, inherit(fds, false))
	}
	err := fmt.Errorf("execute: %w", run(p.file, p.argv, env))
	if limited {
		err = errors.Join(err, unix.Prlimit(0, unix.RLIMIT_NOFILE, &limit, nil))
	}
	return errors.Join(err, inherit(fds, false))
}

// inherit says whether descriptors stay open when another program is executed.
func inherit(fds []int, stay bool) error {
	flag := unix.FD_CLOEXEC
	if stay {
		flag = 0
	}
	var failed error
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag); err != nil {
			failed = errors.Join(failed, fmt.Errorf("hand over descriptor %d: %w", fd, err))
		}
	}
	return failed
}

// signalSet is a mask of signals.
func signalSet(signals []os.Signal) *unix.Sigset_t {
	var set unix.Sigset_t
	for _, s := range signals {
		n := uint(s.(syscall.Signal)) - 1
		const bits = strconv.IntSize // a word of the set is the kernel's unsigned long
		set.Val[n/bits] |= 1 << (n % bits)
	}
	return &set
}
