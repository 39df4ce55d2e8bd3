package pty

import (
	"cmp"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Exit is how a program ended.
type Exit struct {
	Code   int    // exit status, or 128+n when signal n ended it
	Signal string // the signal's name without "SIG"; "" when it exited
}

// lostStatus is the status of a leader that somebody else reaped.
const lostStatus = 255

// childInfo is what waitid tells of a child (siginfo_t, the part for SIGCHLD).
type childInfo struct {
	pid, status int32
	code        int32
}

// peek waits for the end of a child and leaves it unreaped. ok is false when
// WNOHANG was given and there is none yet.
func peek(idType, id, options int) (info childInfo, ok bool, err error) {
	var si unix.Siginfo
	_, err = retry(func() (int, error) {
		si = unix.Siginfo{}
		return 0, unix.Waitid(idType, id, &si, unix.WEXITED|unix.WNOWAIT|options, nil)
	})
	if err != nil || si.Signo == 0 {
		return childInfo{}, false, err
	}
	// After signo, errno and code comes a union aligned to a pointer's size; for
	// SIGCHLD it begins with pid, uid and status.
	head := unsafe.Sizeof(struct{ signo, errno, code int32 }{})
	size := unsafe.Sizeof(uintptr(0))
	union := (head + size - 1) / size * size
	fields := (*struct{ pid, uid, status int32 })(unsafe.Add(unsafe.Pointer(&si), union))
	return childInfo{pid: fields.pid, status: fields.status, code: si.Code}, true, nil
}

// peekAny returns some child that has ended.
func peekAny() (pid int, ok bool) {
	info, ok, err := peek(unix.P_ALL, 0, unix.WNOHANG)
	return int(info.pid), ok && err == nil
}

func (c childInfo) exit() Exit {
	// CLD_EXITED is 1; otherwise a signal ended it, with or without a core.
	const exited = 1
	if c.code == exited {
		return Exit{Code: int(c.status)}
	}
	return Exit{Code: 128 + int(c.status), Signal: signalName(unix.Signal(c.status))}
}

// signalName is the name without "SIG", or the number of one without a name.
func signalName(sig unix.Signal) string {
	return cmp.Or(strings.TrimPrefix(unix.SignalName(sig), "SIG"), strconv.Itoa(int(sig)))
}

// wait learns how the leader ended and, once the session is torn down, reaps
// it: until then its number, which is also its session's and its process
// group's, cannot be given to another.
func (p *Process) wait(pidfd *os.File) {
	defer close(p.reaped)
	p.exit = awaitExit(p.pid, pidfd)
	close(p.done)
	<-p.mayReap
	p.mu.Lock()
	p.gone = true
	p.mu.Unlock()
	p.parent.forget(p.pid)
	if pidfd != nil {
		_ = pidfd.Close()
	}
}

// awaitExit waits in the poller where there is a pidfd, else in a thread.
func awaitExit(pid int, pidfd *os.File) Exit {
	var info childInfo
	var err error
	ok := false
	if pidfd != nil {
		info, ok, err = pollExit(pid, pidfd)
	}
	if !ok && err == nil {
		info, ok, err = peek(unix.P_PID, pid, 0)
	}
	if !ok || err != nil {
		return Exit{Code: lostStatus}
	}
	return info.exit()
}

func pollExit(pid int, pidfd *os.File) (info childInfo, ok bool, err error) {
	raw, rawErr := pidfd.SyscallConn()
	if rawErr != nil {
		return childInfo{}, false, nil
	}
	_ = raw.Read(func(uintptr) bool {
		info, ok, err = peek(unix.P_PID, pid, unix.WNOHANG)
		return ok || err != nil
	})
	return info, ok, err
}
