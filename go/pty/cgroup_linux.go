package pty

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// groupPrefix begins the name of what is made below a cgroup.
const groupPrefix = "etcha-"

// groupName is etcha-PID-START-SESSION, with the pid and the start time of this
// process, so that its successor knows what was left behind.
func groupName(session string) (string, error) {
	self, err := readProc(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%d-%d-%s", groupPrefix, self.pid, self.start, session), nil
}

// FindCgroup returns the directory of this process's own cgroup v2, when groups
// can be made in it; "" otherwise. It reads /proc/self/mountinfo: hybrid layouts
// mount the second version apart.
func FindCgroup() string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for _, dir := range cgroupDirs(mounts, own) {
		if usableCgroup(dir) {
			return dir
		}
	}
	return ""
}

// cgroupDirs lists the places where this process's own group of version 2 is
// mounted.
func cgroupDirs(mounts, own []byte) []string { return unified().dirs(mounts, own) }

// ownCgroup finds the line of version 2, "0::/path".
func ownCgroup(own []byte) (string, bool) { return unified().inside(own) }

// below strips root, a mount's own root, from the front of p.
func below(p, root string) (string, bool) {
	if root == "/" || p == root {
		return strings.TrimPrefix(p, root), true
	}
	return strings.CutPrefix(p, root+"/")
}

// unescape undoes mountinfo's octal \040, \011, \012 and \134.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// usableCgroup makes a group on trial, and asks whether processes may be moved.
func usableCgroup(dir string) bool {
	if unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK) != nil {
		return false
	}
	name, err := groupName("probe")
	if err != nil {
		return false
	}
	probe, err := os.MkdirTemp(dir, name)
	if err != nil {
		return false
	}
	defer os.Remove(probe)
	kind, err := os.ReadFile(filepath.Join(probe, "cgroup.type"))
	return err == nil && strings.TrimSpace(string(kind)) == "domain"
}

// group is a session's cgroup.
type group struct{ dir string }

func newGroup(parent, session string) (*group, error) {
	name, err := groupName(session)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return &group{dir: dir}, nil
}

// open returns the directory, for clone3 to place a child in.
func (g *group) open() (*os.File, error) {
	return os.OpenFile(g.dir, unix.O_DIRECTORY|unix.O_RDONLY, 0)
}

// add moves a process that is there already.
func (g *group) add(pid int) error {
	return os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// dirs lists the group and the groups that were made in it, deepest last.
func (g *group) dirs() []string {
	var dirs []string
	_ = filepath.WalkDir(g.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return nil
	})
	return dirs
}

// live lists the processes in the group that have not ended.
func (g *group) live() ([]proc, error) {
	var procs []proc
	for _, dir := range g.dirs() {
		pids, err := readPids(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return nil, err
		}
		for _, pid := range pids {
			if p, err := readProc(pid); err == nil && p.alive() {
				procs = append(procs, p)
			}
		}
	}
	return procs, nil
}

// readPids reads one number a line. A group that is being removed has none, and
// neither has one of threads, whose processes its parent lists. 0 is a process
// of another pid namespace.
func readPids(file string) ([]int, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	s := bufio.NewScanner(bytes.NewReader(b))
	for s.Scan() {
		if pid, err := strconv.Atoi(s.Text()); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// has reports whether a process is in the group; its name occurs once.
func (g *group) has(pid int) bool {
	b, err := os.ReadFile(procFile(pid, "cgroup"))
	if err != nil {
		return false
	}
	in, ok := ownCgroup(b)
	return ok && strings.Contains(in+"/", "/"+filepath.Base(g.dir)+"/")
}

// loginScope reports whether a process is in the group of a login session:
// systemd-logind moves there what begins one by PAM, as su and sudo may.
func loginScope(pid int) bool {
	b, err := os.ReadFile(procFile(pid, "cgroup"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		for name := range strings.SplitSeq(strings.TrimSpace(line), "/") {
			if strings.HasPrefix(name, "session-") && strings.HasSuffix(name, ".scope") {
				return true
			}
		}
	}
	return false
}

func (g *group) signal(p proc, sig unix.Signal) error {
	return signalProc(p.pid, sig, func() bool { return g.has(p.pid) })
}

// kill ends all at once, also what forks meanwhile. Linux before 5.14 has no
// cgroup.kill; there the caller's signals, repeated, must do.
func (g *group) kill() error {
	f, err := os.OpenFile(filepath.Join(g.dir, "cgroup.kill"), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.WriteString(f, "1")
	return err
}

// remove removes the empty group and the groups in it.
func (g *group) remove() error {
	deadline := time.Now().Add(removeWait)
	for wait := pollMin; ; wait = min(2*wait, pollMax) {
		err := g.tryRemove()
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(wait)
	}
}

func (g *group) tryRemove() error {
	dirs := g.dirs()
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := unix.Rmdir(dirs[i]); err != nil && !errors.Is(err, unix.ENOENT) {
			return &fs.PathError{Op: "remove session group", Path: dirs[i], Err: err}
		}
	}
	return nil
}

// SweepCgroup ends and removes the groups of sessions whose process that
// started them is gone, and returns how many processes it had to kill. The
// groups of one that lives, also a second node's, are left alone.
func SweepCgroup(parent string) (killed int, err error) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if !e.IsDir() || !abandoned(e.Name()) {
			continue
		}
		g := &group{dir: filepath.Join(parent, e.Name())}
		n, endErr := g.clear()
		killed += n
		err = errors.Join(err, endErr)
	}
	return killed, err
}

// abandoned reports whether a name is of a group whose maker is gone.
func abandoned(name string) bool {
	rest, ok := strings.CutPrefix(name, groupPrefix)
	f := strings.SplitN(rest, "-", 3)
	if !ok || len(f) != 3 {
		return false
	}
	pid, err := strconv.Atoi(f[0])
	start, err2 := strconv.ParseUint(f[1], 10, 64)
	if err != nil || err2 != nil {
		return false
	}
	maker, err := readProc(pid)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		return true
	case err != nil: // out of descriptors: nothing is known of it
		return false
	}
	return maker.start != start || !maker.alive()
}

func (g *group) clear() (killed int, err error) {
	t := teardown{set: g, counted: map[procKey]bool{}, counting: func() bool { return true }}
	err = t.kill()
	return len(t.counted), errors.Join(err, g.remove())
}
