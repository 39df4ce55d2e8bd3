//go:build unix

package resource

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// owner is a file's user and group.
func owner(info fs.FileInfo) (uid, gid int) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return -1, -1
}

// noFollow makes opening a symbolic link an error, and noBlock opening a pipe not
// wait.
const (
	noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	noBlock  = syscall.O_NONBLOCK
)

// lock takes the lock on f; wait false: it is taken or the answer is false.
func lock(f *os.File, wait bool) (bool, error) {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		default:
			return false, err
		}
	}
}

// syncDir makes the names in an open folder durable. Some file systems cannot
// and say so.
func syncDir(d *os.File) error {
	err := d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
