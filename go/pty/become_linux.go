package pty

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// become takes on the account: groups, group, user, in this order, as each
// needs the privilege that the last one ends.
func (o *order) become() *StartError {
	if err := o.setGroups(); err != nil {
		return &StartError{stepGroups, o.User, errnoOf(err)}
	}
	if err := o.setGroup(); err != nil {
		return &StartError{stepGroup, strconv.FormatUint(uint64(o.GID), 10), errnoOf(err)}
	}
	changed, err := o.setUser()
	if err != nil {
		return &StartError{stepUser, o.User, errnoOf(err)}
	}
	if o.UID != 0 {
		if err := dropCapabilities(); err != nil {
			return &StartError{stepCaps, o.User, errnoOf(err)}
		}
	}
	if changed {
		leaveKeyring()
	}
	return nil
}

// same reports whether the account is the one that this process has already.
func (o *order) same() bool {
	return uint32(os.Getuid()) == o.UID && uint32(os.Getgid()) == o.GID
}

func (o *order) setGroups() error {
	if o.same() && o.UID != 0 {
		return nil
	}
	groups := []int{int(o.GID)}
	for _, g := range o.Groups {
		if g != o.GID {
			groups = append(groups, int(g))
		}
	}
	err := syscall.Setgroups(groups)
	if errors.Is(err, syscall.EPERM) && o.same() {
		// A user namespace that forbids setgroups. Nothing is given up, so
		// nothing has to be dropped.
		return nil
	}
	return err
}

func (o *order) setGroup() error {
	want := int(o.GID)
	if r, e, s := unix.Getresgid(); r == want && e == want && s == want {
		return nil
	}
	if err := syscall.Setresgid(want, want, want); err != nil {
		return err
	}
	if r, e, s := unix.Getresgid(); r != want || e != want || s != want {
		return syscall.EPERM
	}
	return nil
}

func (o *order) setUser() (changed bool, err error) {
	want := int(o.UID)
	if r, e, s := unix.Getresuid(); r == want && e == want && s == want {
		return false, nil
	}
	if err := syscall.Setresuid(want, want, want); err != nil {
		return false, err
	}
	if r, e, s := unix.Getresuid(); r != want || e != want || s != want {
		return false, syscall.EPERM
	}
	return true, nil
}

// dropCapabilities empties the effective, permitted, inheritable and with them
// the ambient set of this thread. The bounding set stays: sudo needs it.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	if data != [2]unix.CapUserData{} {
		return syscall.EPERM
	}
	return nil
}

// leaveKeyring joins a new session keyring: whoever has the daemon's possesses
// its keys. A kernel without keyrings, or a full quota, is no reason to refuse.
func leaveKeyring() {
	_, _ = unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
}

// defaultSignals sets each signal to its default and unblocks it: ignored and
// blocked ones would pass through exec, and nohup the session. The Go runtime's
// handlers end here; the thread executes next.
func defaultSignals() {
	const maxSignal = 64
	size := uintptr(8) // of the kernel's sigset_t, bytes
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		size = 16
	}
	// A kernel sigaction that is zero throughout means default, whatever its layout.
	var action [8]uint64
	for n := uintptr(1); n <= maxSignal; n++ {
		// KILL and STOP are refused; they have no other disposition anyway.
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, n, uintptr(unsafe.Pointer(&action)), 0, size, 0, 0)
	}
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil)
}
