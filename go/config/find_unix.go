//go:build unix

package config

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// trusted is an error when path, or the link that it is, could have been put
// there by another user. Through sudo the calling user is trusted too.
func trusted(path string) error {
	for _, stat := range []func(string) (os.FileInfo, error){os.Lstat, os.Stat} {
		fi, err := stat(path)
		if err != nil {
			return err
		}
		s, ok := fi.Sys().(*syscall.Stat_t)
		if !ok {
			continue
		}
		if !ourUser(int(s.Uid)) {
			return fmt.Errorf("%s: it belongs to user %d, not to you or root: %w", path, s.Uid, errUntrusted)
		}
		if fi.Mode().IsRegular() && fi.Mode().Perm()&0o002 != 0 {
			return fmt.Errorf("%s: everybody may write it: %w", path, errUntrusted)
		}
	}
	return nil
}

func ourUser(uid int) bool {
	if uid == 0 || uid == os.Geteuid() {
		return true
	}
	caller, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	return err == nil && os.Geteuid() == 0 && uid == caller
}
