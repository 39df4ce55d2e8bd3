package pty

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// ownPrefix begins the name of a group that a process made for itself.
const ownPrefix = groupPrefix + "keeper-"

// OwnCgroupName is the name of the group that [LeaveCgroup] makes for this
// process, etcha-keeper-PID-START: of one process only, and never taken for a
// session's.
func OwnCgroupName() (string, error) {
	self, err := readProc(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%d-%d", ownPrefix, self.pid, self.start), nil
}

// errNoPlace means that there is nowhere beside a group.
var errNoPlace = errors.New("its group is the topmost that can be seen")

// LeaveCgroup moves this process out of the group that it was started in, into
// one of its own beside it, so that whoever kills that group whole leaves this
// process, and all that it starts from now on, alive. That is done in the second
// version of cgroups, and in the first in the hierarchy without a controller that
// systemd keeps there; the others (cpu, memory and so on) limit, and nobody kills
// by them. A process that has left before stays where it is. Groups that earlier
// processes made beside it and left empty are removed; what dead ones left in
// their sessions' groups is killed, and counted.
//
// The error says why it stays in some hierarchy, which harms nobody who does not
// kill groups.
func LeaveCgroup() (killed int, err error) {
	name, err := OwnCgroupName()
	if err != nil {
		return 0, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return 0, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0, err
	}
	for _, v := range []hierarchy{unified(), named()} {
		for _, dir := range v.dirs(mounts, own) {
			n, sweepErr := sweepBeside(dir)
			killed += n
			err = errors.Join(err, sweepErr, leave(dir, name))
		}
	}
	return killed, err
}

// ReturnCgroup undoes [LeaveCgroup] as far as it can, at the process's end: the
// group is empty then and can be removed by whoever comes next, if not now.
func ReturnCgroup() {
	name, err := OwnCgroupName()
	mounts, mountErr := os.ReadFile("/proc/self/mountinfo")
	own, ownErr := os.ReadFile("/proc/self/cgroup")
	if errors.Join(err, mountErr, ownErr) != nil {
		return
	}
	for _, v := range []hierarchy{unified(), named()} {
		for _, dir := range v.dirs(mounts, own) {
			if filepath.Base(dir) == name && enter(filepath.Dir(dir)) == nil {
				_ = (&group{dir: dir}).remove()
			}
		}
	}
}

// hierarchy is one in which processes are told apart.
type hierarchy struct {
	line  string // of /proc/PID/cgroup, before the path
	mount string // type of its mount
	with  string // among the mount's options; "" for any
}

func unified() hierarchy { return hierarchy{line: "0::", mount: "cgroup2"} }
func named() hierarchy {
	return hierarchy{line: ":name=systemd:", mount: "cgroup", with: "name=systemd"}
}

// inside is the group of a process, from its /proc/PID/cgroup. A path that leads
// out of the cgroup namespace cannot be reached.
func (v hierarchy) inside(own []byte) (string, bool) {
	for line := range strings.Lines(string(own)) {
		line = strings.TrimSuffix(line, "\n")
		at := strings.Index(line, v.line)
		if at < 0 || v.line[0] == '0' && at != 0 || strings.Contains(line[:at], "/") {
			continue
		}
		p := line[at+len(v.line):]
		return p, path.IsAbs(p) && p != "/.." && !strings.HasPrefix(p, "/../")
	}
	return "", false
}

// dirs lists the places where this process's own group is mounted, from
// mountinfo and cgroup of /proc/self (proc(5), cgroups(7)).
func (v hierarchy) dirs(mounts, own []byte) []string {
	inside, ok := v.inside(own)
	if !ok {
		return nil
	}
	var dirs []string
	for line := range strings.Lines(string(mounts)) {
		front, back, ok := strings.Cut(line, " - ")
		f, kind := strings.Fields(front), strings.Fields(back)
		if !ok || len(f) < 5 || len(kind) < 3 || kind[0] != v.mount {
			continue
		}
		if v.with != "" && !strings.Contains(","+kind[2]+",", ","+v.with+",") {
			continue
		}
		root, point := unescape(f[3]), unescape(f[4])
		if rest, ok := below(inside, root); ok {
			dirs = append(dirs, path.Join(point, rest))
		}
	}
	return dirs
}

// leave moves this process to a group beside dir.
func leave(dir, name string) error {
	if base := filepath.Base(dir); base == name || base == name+".scope" {
		return nil
	}
	parent := filepath.Dir(dir)
	if !isCgroup(parent) {
		return fmt.Errorf("leave %s: %w", dir, errNoPlace)
	}
	beside := filepath.Join(parent, name)
	if err := os.Mkdir(beside, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("leave cgroup: %w", err)
	}
	if err := enter(beside); err != nil {
		return errors.Join(fmt.Errorf("leave cgroup: %w", err), os.Remove(beside))
	}
	return nil
}

// enter moves this process.
func enter(dir string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
}

func isCgroup(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "cgroup.procs"))
	return err == nil
}

// sweepBeside clears the groups that dead processes made for themselves, beside
// a group, or beside the one that this process has left.
func sweepBeside(dir string) (killed int, err error) {
	parent := filepath.Dir(dir)
	if !isCgroup(parent) {
		return 0, nil
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		maker, ok := strings.CutPrefix(e.Name(), ownPrefix)
		if !e.IsDir() || !ok || !abandoned(groupPrefix+maker+"-x") {
			continue
		}
		left := filepath.Join(parent, e.Name())
		n, sweepErr := SweepCgroup(left)
		killed += n
		err = errors.Join(err, sweepErr)
		removeEmpty(left)
	}
	return killed, err
}

// removeEmpty removes a group and those in it that nothing is left in: what was
// allowed to stay keeps its own.
func removeEmpty(dir string) {
	dirs := (&group{dir: dir}).dirs()
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = os.Remove(dirs[i]) // the system refuses one that is in use
	}
}
