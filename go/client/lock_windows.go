package client

import (
	"os"
	"syscall"
	"unsafe"
)

// lockFile waits for the lock of a file, which it makes when it is missing and
// leaves in place: removing it would let two hold "the" lock.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	const exclusive = 2 // LOCKFILE_EXCLUSIVE_LOCK
	proc := syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")
	ok, _, err := proc.Call(f.Fd(), exclusive, 0, 1, 0, uintptr(unsafe.Pointer(&syscall.Overlapped{})))
	if ok == 0 {
		_ = f.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return func() { _ = f.Close() }, nil
}
