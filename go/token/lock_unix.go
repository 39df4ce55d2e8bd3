//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package token

import (
	"errors"
	"os"
	"syscall"

	"etcha/go/errs"
)

// lockFile takes an exclusive lock that ends with the file's closing or the
// process. The file stays: removing it would let two processes lock two files.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, modePrivate)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, &errs.Error{Text: "another process has it open", Hint: "is a node running with the same run.stateDir?"}
	}
	return nil, err
}
