//go:build !unix

package command

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

func isRoot() bool { return false }

func (l *login) current() bool { return false }

func lookupLogin(user, group string) (login, error) {
	return login{}, fmt.Errorf("user %q group %q: %w on %s", user, group, errors.ErrUnsupported, runtime.GOOS)
}

func setProcess(*exec.Cmd, *login) error { return nil }

func exitOf(s *os.ProcessState) int { return s.ExitCode() }

func killAll(p *os.Process, _ bool) error {
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
