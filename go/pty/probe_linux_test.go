package pty

import (
	"encoding/json"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// probe is what a program finds of itself, first thing.
type probe struct {
	Argv, Env  []string
	Dir        string
	UIDs, GIDs [3]int
	Groups     []int
	Caps       [2]unix.CapUserData
	Umask      int
	Files      unix.Rlimit
	Keyring    int
	Nonblock   [3]bool
}

// probeMain runs in the test binary as a session's program.
func probeMain() int {
	runtime.LockOSThread()
	var p probe
	p.Argv, p.Env = os.Args, os.Environ()
	p.Dir, _ = os.Getwd()
	p.UIDs[0], p.UIDs[1], p.UIDs[2] = unix.Getresuid()
	p.GIDs[0], p.GIDs[1], p.GIDs[2] = unix.Getresgid()
	p.Groups, _ = os.Getgroups()
	_ = unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &p.Caps[0])
	p.Umask = unix.Umask(0)
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &p.Files)
	p.Keyring, _ = unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	for fd := range p.Nonblock {
		flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		p.Nonblock[fd] = flags&unix.O_NONBLOCK != 0
	}
	if json.NewEncoder(os.Stdout).Encode(p) != nil {
		return 1
	}
	return 0
}

// probed runs the test binary as the session's program.
func probed(t *testing.T, s Spec) probe {
	t.Helper()
	s.Path = "/proc/self/exe"
	s.Argv = []string{"-probe", "with space", "\xff\xfe", ""}
	s.Env = append(s.Env, asProbe+"=1")
	out, exit := run(t, s)
	if exit.Code != 0 {
		t.Fatalf("probe: %+v: %s", exit, out)
	}
	var p probe
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("probe: %v: %q", err, out)
	}
	return p
}
