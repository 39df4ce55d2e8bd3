package pty

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// proc is one process as /proc/PID/stat describes it (proc_pid_stat(5)).
type proc struct {
	pid, ppid, pgrp, sid int
	state                byte
	start                uint64 // clock ticks since boot; with pid it names a process for good
}

// procKey tells a process from a later one with its number.
type procKey struct {
	pid   int
	start uint64
}

func (p proc) key() procKey { return procKey{p.pid, p.start} }

// alive is false for what only waits to be reaped.
func (p proc) alive() bool { return p.state != 'Z' && p.state != 'X' }

var errStat = errors.New("unreadable process status")

func readProc(pid int) (proc, error) {
	var buf [4096]byte
	b, err := readSmall(procFile(pid, "stat"), buf[:])
	if err != nil {
		return proc{}, err
	}
	return parseStat(b)
}

// readSmall reads a file of /proc that fits buf. A scan reads thousands: an
// os.File would add the poller's calls to each.
func readSmall(file string, buf []byte) ([]byte, error) {
	fd, err := retry(func() (int, error) { return unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: file, Err: err}
	}
	defer unix.Close(fd)
	n, err := retry(func() (int, error) { return unix.Read(fd, buf) })
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: file, Err: err}
	}
	return buf[:n], nil
}

// parseStat reads pid (comm) state ppid pgrp session …; the 22nd field is the
// start time. The name may hold anything, also ") ".
func parseStat(b []byte) (proc, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return proc{}, errStat
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 || len(f[0]) != 1 {
		return proc{}, errStat
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	p := proc{state: f[0][0], start: start}
	for i, to := range []*int{&p.pid, &p.ppid, &p.pgrp, &p.sid} {
		text := strings.TrimSpace(string(b[:open]))
		if i > 0 {
			text = f[i]
		}
		n, convErr := strconv.Atoi(text)
		err = errors.Join(err, convErr)
		*to = n
	}
	if err != nil {
		return proc{}, errStat
	}
	return p, nil
}

// readProcs lists the processes that this one can see. One that is there
// throughout is in it; one that comes or goes meanwhile may not be.
func readProcs() ([]proc, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	procs := make([]proc, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := readProc(pid); err == nil {
			procs = append(procs, p)
		}
	}
	return procs, nil
}

func procFile(pid int, name string) string {
	return "/proc/" + strconv.Itoa(pid) + "/" + name
}

// noAudit is the audit session of a process that is in none.
const noAudit = math.MaxUint32

// auditSession is the number that the kernel gave with the login uid.
func auditSession(pid int) uint32 {
	var buf [32]byte
	b, err := readSmall(procFile(pid, "sessionid"), buf[:])
	if err != nil {
		return noAudit
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		return noAudit
	}
	return uint32(n)
}

// hasMarker reports whether a process was executed with the session's marker.
// The environment is compared and never kept.
func hasMarker(pid int, session string) bool {
	f, err := os.Open(procFile(pid, "environ"))
	if err != nil {
		return false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxEnviron))
	if err != nil {
		return false
	}
	want := []byte(Marker + "=" + session)
	for v := range bytes.SplitSeq(b, []byte{0}) {
		if bytes.Equal(v, want) {
			return true
		}
	}
	return false
}

// signalProc sends a signal to a process that a scan found, if it is still that
// one. member is asked once its number can no longer come to mean another.
func signalProc(pid int, sig unix.Signal, member func() bool) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			return err
		}
		// Linux before 5.3, or a filter: what is left is a short race.
		if !member() {
			return unix.ESRCH
		}
		return unix.Kill(pid, sig)
	}
	defer unix.Close(fd)
	if !member() {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}
