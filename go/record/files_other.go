//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package record

import (
	"errors"
	"os"
)

// Nothing is recorded here: nodes run on Linux.

func openFile(string, int) (*os.File, error) { return nil, errors.ErrUnsupported }

func lock(*os.File) error { return errors.ErrUnsupported }

func makeDir(string) error { return errors.ErrUnsupported }

func syncDir(string) error { return errors.ErrUnsupported }
