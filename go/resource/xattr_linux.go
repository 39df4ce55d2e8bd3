package resource

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// keepAttributes copies extended attributes, access lists among them. Those that
// the system keeps for itself, or the file system has not, are left.
func keepAttributes(from, to *os.File) error {
	names, err := attribute(func(b []byte) (int, error) { return flist(from, b) })
	if err != nil {
		return err
	}
	for name := range bytes.SplitSeq(bytes.TrimSuffix(names, []byte{0}), []byte{0}) {
		if len(name) == 0 {
			continue
		}
		value, err := attribute(func(b []byte) (int, error) { return fget(from, string(name), b) })
		if err != nil {
			return err
		}
		if err := fset(to, string(name), value); err != nil && !unsupported(err) && !errors.Is(err, syscall.EPERM) {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

func unsupported(err error) bool {
	return errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENODATA) || errors.Is(err, syscall.ENOSYS)
}

// attribute reads what has no size beforehand.
func attribute(read func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		b := make([]byte, size)
		n, err := read(b)
		switch {
		case err == nil:
			return b[:n], nil
		case unsupported(err):
			return nil, nil
		case !errors.Is(err, syscall.ERANGE) || size > 1<<20:
			return nil, err
		}
	}
}

func flist(f *os.File, b []byte) (int, error) {
	n, _, errno := syscall.Syscall(syscall.SYS_FLISTXATTR, f.Fd(), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return result(n, errno)
}

func fget(f *os.File, name string, b []byte) (int, error) {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return 0, err
	}
	n, _, errno := syscall.Syscall6(syscall.SYS_FGETXATTR, f.Fd(), uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0)
	return result(n, errno)
}

func fset(f *os.File, name string, value []byte) error {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	var v unsafe.Pointer
	if len(value) > 0 {
		v = unsafe.Pointer(&value[0])
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_FSETXATTR, f.Fd(), uintptr(unsafe.Pointer(p)), uintptr(v), uintptr(len(value)), 0, 0)
	_, err = result(0, errno)
	return err
}

func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
