package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"etcha/go/authz"
)

// errNotProgram means that a file is there but cannot be executed.
var errNotProgram = errors.New("not an executable file")

// Check reports why a program could not be started as things are now: the
// account may not log in, its folder or its file is not there. All of it may
// change before somebody asks for it, so this is for a warning at start.
func Check(e authz.Exec) error {
	account, err := login(e)
	if err != nil {
		return err
	}
	if e.WorkDir != "" {
		if info, err := os.Stat(e.WorkDir); err != nil {
			return fmt.Errorf("work directory: %w", err)
		} else if !info.IsDir() {
			return fmt.Errorf("work directory %q is not a directory", e.WorkDir)
		}
	}
	if len(e.Argv) == 0 {
		return program(account.Shell)
	}
	if strings.Contains(e.Argv[0], "/") {
		return program(e.Argv[0])
	}
	path, ok := e.Env["PATH"]
	if !ok {
		path = system{}.path(account.UID == 0)
	}
	for _, dir := range filepath.SplitList(path) {
		if program(filepath.Join(dir, e.Argv[0])) == nil {
			return nil
		}
	}
	return fmt.Errorf("program %q is not found in PATH", e.Argv[0])
}

func program(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("program %q: %w", file, errNotProgram)
	}
	return nil
}
