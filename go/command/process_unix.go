//go:build unix

package command

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func isRoot() bool { return os.Geteuid() == 0 }

// current reports whether this process is the account already.
func (l *login) current() bool {
	return int(l.uid) == os.Geteuid() && int(l.gid) == os.Getegid() && (!isRoot() || len(l.groups) == 0)
}

// setProcess gives the process a session of its own, without a terminal, and the
// account.
func setProcess(cmd *exec.Cmd, l *login) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if l != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: l.uid, Gid: l.gid, Groups: l.groups}
	}
	return nil
}

// exitOf is the status as a shell tells it.
func exitOf(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

// killGroup kills a process group; one that is gone is no error.
func killGroup(pid int, sudo bool) error {
	err := syscall.Kill(-pid, syscall.SIGKILL)
	switch {
	case errors.Is(err, syscall.ESRCH):
		return nil
	case errors.Is(err, syscall.EPERM) && sudo:
		// What sudo started is root's.
		err = exec.Command("sudo", "-n", "kill", "-s", "KILL", "--", fmt.Sprint(-pid)).Run()
	}
	if err != nil {
		return fmt.Errorf("kill processes: %w", err)
	}
	return nil
}
