//go:build unix

package token

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// checkOwnMode is for keys that a user brings.
func checkOwnMode(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Geteuid() {
		return nil
	}
	return checkMode(path, info)
}

// checkMode is for keys that belong to the node.
func checkMode(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return errMode(path, info.Mode())
	}
	return nil
}

// syncDir makes the names in dir durable. Some file systems cannot and say so.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
