package command

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

var errLeft = errors.New("processes are left that do not end")

// killAll kills a script's session, and what descends from it, also in sessions
// of its own. All are stopped before the first is killed: what still forks could
// leave a child behind that no longer descends from anything known. It returns
// when all are gone, or with errLeft after killWait.
func killAll(leader *os.Process, sudo bool) error {
	seen := map[int]uint64{}
	deadline := time.Now().Add(killWait)
	stopped := 0
	for live := mark(leader.Pid, seen); len(seen) > stopped && time.Now().Before(deadline); live = mark(leader.Pid, seen) {
		stopped = len(seen)
		for _, pid := range live {
			_ = syscall.Kill(pid, syscall.SIGSTOP) // it has ended, or is another user's
		}
	}
	err := killGroup(leader.Pid, sudo)
	for ; ; time.Sleep(pollMin) {
		live := mark(leader.Pid, seen)
		if len(live) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return errors.Join(err, errLeft)
		}
		for _, pid := range live {
			if killErr := syscall.Kill(pid, syscall.SIGKILL); errors.Is(killErr, syscall.EPERM) && !sudo {
				return errors.Join(err, fmt.Errorf("kill processes: %w", killErr))
			}
		}
	}
}

// status is what /proc/PID/stat tells (proc_pid_stat(5)).
type status struct {
	pid, parent, session int
	start                uint64 // with pid it names a process for good
	dead                 bool
}

// mark adds the members of a leader's session and their descendants to seen, and
// lists those that are alive.
func mark(leader int, seen map[int]uint64) (live []int) {
	all := processes()
	if start, ok := seen[leader]; ok && all[leader].start != start {
		leader = 0 // it was reaped; its number may be another's by now
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if start, ok := seen[p.pid]; ok && start == p.start {
				continue
			}
			parent, known := seen[p.parent]
			if leader != 0 && (p.pid == leader || p.session == leader) || known && all[p.parent].start == parent {
				seen[p.pid], grown = p.start, true
			}
		}
	}
	for _, p := range all {
		if start, ok := seen[p.pid]; ok && start == p.start && !p.dead {
			live = append(live, p.pid)
		}
	}
	return live
}

func processes() map[int]status {
	all := map[int]status{}
	dir, err := os.Open("/proc")
	if err != nil {
		return all // the group was killed; more cannot be found
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what was read counts
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if b, err := os.ReadFile("/proc/" + name + "/stat"); err == nil {
			if s, ok := parseStatus(pid, b); ok {
				all[pid] = s
			}
		}
	}
	return all
}

// parseStatus reads pid (name) state parent group session … start, the 22nd. The
// name may hold anything.
func parseStatus(pid int, b []byte) (status, bool) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return status{}, false
	}
	f := bytes.Fields(b[end+1:])
	if len(f) < 20 {
		return status{}, false
	}
	parent, err1 := strconv.Atoi(string(f[1]))
	session, err2 := strconv.Atoi(string(f[3]))
	start, err3 := strconv.ParseUint(string(f[19]), 10, 64)
	dead := f[0][0] == 'Z' || f[0][0] == 'X'
	return status{pid, parent, session, start, dead}, err1 == nil && err2 == nil && err3 == nil
}
