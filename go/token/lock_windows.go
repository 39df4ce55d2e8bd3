package token

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"

	"etcha/go/errs"
)

// lockFile takes an exclusive lock that ends with the file's closing or the
// process.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, modePrivate)
	if err != nil {
		return nil, err
	}
	const how = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, &windows.Overlapped{})
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return nil, &errs.Error{Text: "another process has it open", Hint: "is a node running with the same run.stateDir?"}
	}
	return nil, err
}
