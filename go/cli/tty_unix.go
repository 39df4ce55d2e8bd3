//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package cli

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// defaultTerm is the kind of the terminal where TERM does not say it.
const defaultTerm = "dumb"

// vtState is nothing here: a Unix terminal understands control sequences always.
type vtState struct{}

func enterVT(*os.File) vtState { return vtState{} }
func (vtState) leave()         {}

func openConsole() (in, out *os.File, err error) {
	if in, err = os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	if out, err = os.OpenFile("/dev/tty", os.O_WRONLY|syscall.O_NOCTTY, 0); err != nil {
		in.Close()
		return nil, nil, err
	}
	return in, out, nil
}

// readSecret asks for a line and reads it without echo, which is off before the
// question is seen. A signal that ends the process meanwhile first gives the
// terminal its echo back, then does what it always does.
func readSecret(in, out *os.File, prompt string) ([]byte, error) {
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case sig := <-signals:
			_ = term.Restore(fd, before) // the process ends now
			signal.Stop(signals)
			_ = syscall.Kill(syscall.Getpid(), sig.(syscall.Signal))
		case <-done:
		}
	}()
	var secret []byte
	if err = echoOff(fd); err == nil {
		fmt.Fprint(out, prompt)
		secret, err = term.ReadPassword(fd)
		fmt.Fprintln(out)
	}
	close(done)
	<-watched
	signal.Stop(signals)
	return secret, errors.Join(err, term.Restore(fd, before))
}

func echoOff(fd int) error {
	modes, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return err
	}
	modes.Lflag &^= unix.ECHO
	return unix.IoctlSetTermios(fd, setTermios, modes)
}
