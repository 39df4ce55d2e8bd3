package cli

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// child is a process of a demo. The kernel ends it when the thread that started
// it is gone, so that nothing is left of a demo that was killed.
type child struct {
	cmd    *exec.Cmd
	stdout io.Reader
	done   chan struct{} // closed when it has ended
	err    error         // of the wait; valid after done
}

// startNode starts the node of a demo in a process group of its own: what the
// terminal sends to the person's shell does not concern it. Its log goes to a
// file.
func startNode(exe string, args, env []string, log string) (*child, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	cmd := exec.Command(exe, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, write, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	c, err := start(cmd)
	if err != nil {
		read.Close()
		return nil, err
	}
	c.stdout = read
	return c, nil
}

// startShell starts the client of a demo where the person is: same terminal,
// same process group.
func startShell(exe string, args, env []string, e Env) (*child, error) {
	cmd := exec.Command(exe, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, e.Stdin, e.Stdout, e.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGHUP}
	return start(cmd)
}

func start(cmd *exec.Cmd) (*child, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = cmd.Wait()
	}()
	return c, nil
}

// firstLine gives the first line of stdout, and is closed when there is none.
func (c *child) firstLine() <-chan string {
	line := make(chan string, 1)
	go func() {
		defer close(line)
		text, err := bufio.NewReader(c.stdout).ReadString('\n')
		if err == nil {
			line <- text
		}
	}()
	return line
}

// status is the exit status of a child that has ended, 128+n for a signal.
func (c *child) status() int {
	var ended *exec.ExitError
	if c.err == nil || !errors.As(c.err, &ended) {
		return c.cmd.ProcessState.ExitCode()
	}
	if ws, ok := ended.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ended.ExitCode()
}

// awaitChildren waits until this process has no child left. Nobody else may
// wait for one meanwhile.
func awaitChildren(patience time.Duration) error {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
				return // ECHILD: there is none
			}
		}
	}()
	select {
	case <-gone:
		return nil
	case <-time.After(patience):
		return errors.New("something that the node started does not end")
	}
}

// signal sends a signal; a child that is gone needs none.
func (c *child) signal(sig os.Signal) { _ = c.cmd.Process.Signal(sig) }

func (c *child) signalGroup(sig syscall.Signal) { _ = syscall.Kill(-c.cmd.Process.Pid, sig) }
