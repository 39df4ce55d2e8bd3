package pty

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	const rest = " 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 7777 0 0 18446744073709551615"
	for _, c := range []struct {
		text string
		want proc
	}{
		{"12 (sh) S 3 4 5" + rest, proc{12, 3, 4, 5, 'S', 7777}},
		{"12 (a) Z 1 2 (3) R) Z 3 4 5" + rest, proc{12, 3, 4, 5, 'Z', 7777}},
		{"12 (a\nb) S 3 4 5" + rest, proc{12, 3, 4, 5, 'S', 7777}},
	} {
		if p, err := parseStat([]byte(c.text)); err != nil || p != c.want {
			t.Errorf("%q: %+v, %v", c.text, p, err)
		}
	}
	for _, bad := range []string{"", "12", "12 (sh", "12 (sh)", "x (sh) S 3 4 5" + rest, "12 (sh) S x 4 5" + rest, "12 (sh) SS 3 4 5" + rest, ") 1 ("} {
		if p, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}

func TestOwnProcess(t *testing.T) {
	p, err := readProc(os.Getpid())
	if err != nil || p.pid != os.Getpid() || p.ppid != os.Getppid() || !p.alive() || p.start == 0 {
		t.Errorf("%+v, %v", p, err)
	}
	all, err := readProcs()
	if err != nil || !slices.ContainsFunc(all, func(o proc) bool { return o.key() == p.key() }) {
		t.Errorf("not among %d, %v", len(all), err)
	}
}

func TestMarker(t *testing.T) {
	p := start(t, newSpec("/bin/cat"))
	if !hasMarker(p.Pid(), p.session) {
		t.Error("the marker is not found")
	}
	if short := p.session[:len(p.session)-1]; hasMarker(p.Pid(), short) || hasMarker(os.Getpid(), p.session) {
		t.Error("a marker is found where it is not")
	}
}

// A process that took over the number of a member is not signalled.
func TestSignalProcRechecks(t *testing.T) {
	p := start(t, newSpec("/bin/cat"))
	err := signalProc(p.Pid(), unix.SIGKILL, func() bool { return false })
	if err == nil || p.ended() {
		t.Errorf("signalled: %v", err)
	}
	now, err := readProc(p.Pid())
	if err != nil {
		t.Fatal(err)
	}
	now.start++
	if err := newClosure(p).signal(now, unix.SIGKILL); err == nil || p.ended() {
		t.Errorf("signalled: %v", err)
	}
}

func TestCgroupDirs(t *testing.T) {
	const (
		unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
		hybrid  = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
			"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		bind   = "50 1 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
		spaces = `51 1 0:26 / /mnt/a\040b rw - cgroup2 cgroup rw` + "\n"
		legacy = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	)
	for _, c := range []struct {
		mounts, own string
		want        []string
	}{
		{unified, "0::/system.slice/etcha.service\n", []string{"/sys/fs/cgroup/system.slice/etcha.service"}},
		{unified, "0::/\n", []string{"/sys/fs/cgroup"}},
		{hybrid, "9:name=systemd:/x\n1:cpu:/y\n0::/a/b\n", []string{"/sys/fs/cgroup/unified/a/b"}},
		{bind, "0::/docker/abc\n", []string{"/sys/fs/cgroup"}},
		{bind, "0::/docker/abc/inner\n", []string{"/sys/fs/cgroup/inner"}},
		{bind, "0::/docker/abcd\n", nil},
		{bind + unified, "0::/docker/abc\n", []string{"/sys/fs/cgroup", "/sys/fs/cgroup/docker/abc"}},
		{spaces, "0::/\n", []string{"/mnt/a b"}},
		{legacy, "1:cpu:/y\n0::/\n", nil},
		{unified, "1:cpu:/y\n", nil},
		{unified, "0::/../outside\n", nil},
		{"junk\n\n - cgroup2\n", "0::/\n", nil},
		{"", "", nil},
	} {
		if got := cgroupDirs([]byte(c.mounts), []byte(c.own)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q in %q: %q, want %q", c.own, c.mounts, got, c.want)
		}
	}
}

func TestFindCgroup(t *testing.T) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 || !strings.Contains(string(b), "cgroup2") {
		t.Skip("NOT TESTED: no cgroup v2, or not root")
	}
	if dir := FindCgroup(); dir == "" || !exists(dir+"/cgroup.procs") {
		t.Errorf("found %q", dir)
	}
	noGroups(t, FindCgroup())
	if usableCgroup(t.TempDir()) {
		t.Error("an ordinary folder passes")
	}
}

func TestAbandoned(t *testing.T) {
	own, err := groupName("x-y")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		own: false, own + "1": false,
		strings.Replace(own, "-x", "0-x", 1): true, // the same number at another time
		"etcha-1-99999999999-x":              true,
		"etcha-x-1-x":                        false, "etcha-1": false, "etcha-1-2": false, "system.slice": false, "": false,
	} {
		if got := abandoned(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// What cannot be looked at is not given up: its sessions would be killed.
func TestAbandonedIsCertain(t *testing.T) {
	const name = "etcha-1-99999999999-x"
	if !abandoned(name) {
		t.Fatal("process 1 began at another time")
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	got := abandoned(name)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if got {
		t.Error("it was given up without a look")
	}
}

// spread follows sessions and descent, and stops at sessions of others.
func TestSelection(t *testing.T) {
	all := []proc{
		{pid: 10, ppid: 1, sid: 10},  // the leader
		{pid: 11, ppid: 10, sid: 10}, // its child
		{pid: 12, ppid: 1, sid: 10},  // an orphan of its session
		{pid: 13, ppid: 12, sid: 13}, // leads another
		{pid: 14, ppid: 1, sid: 13},  // an orphan of that
		{pid: 15, ppid: 14, sid: 15},
		{pid: 20, ppid: 1, sid: 20},  // another session
		{pid: 21, ppid: 20, sid: 20}, // its child
		{pid: 22, ppid: 1, sid: 1},   // this process's own
		{pid: 23, ppid: 11, sid: 1},  // cannot be, and must not spread
		{pid: 24, ppid: 1, sid: 0},
	}
	s := newSelection(all, map[int]bool{0: true, 1: true, 20: true})
	s.take(all[0])
	s.spread()
	var got []int
	for _, p := range s.list() {
		got = append(got, p.pid)
	}
	if want := []int{10, 11, 12, 13, 14, 15, 23}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestDescends(t *testing.T) {
	parents := map[int]int{2: 1, 3: 2, 4: 3, 5: 6, 6: 5, 7: 0}
	for pid, want := range map[int]bool{3: true, 4: true, 2: false, 5: false, 7: false, 9: false} {
		if got := descends(pid, 2, parents); got != want {
			t.Errorf("%d: %v", pid, got)
		}
	}
}
