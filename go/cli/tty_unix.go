//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
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
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	var modes sync.Mutex // who sets them; a signal keeps it
	stop := onDeath(func() {
		modes.Lock()
		_ = unix.IoctlSetTermios(fd, setTermios, before) // the process ends now
	})
	defer stop()
	set := func(to *unix.Termios) error {
		modes.Lock()
		defer modes.Unlock()
		return unix.IoctlSetTermios(fd, setTermios, to)
	}
	if err := set(echoOff(*before)); err != nil {
		return nil, err
	}
	fmt.Fprint(out, prompt)
	secret, err := readLine(in)
	fmt.Fprintln(out)
	return secret, errors.Join(err, set(before))
}

// echoOff is modes of a terminal that takes a line without showing it.
func echoOff(modes unix.Termios) *unix.Termios {
	modes.Lflag &^= unix.ECHO
	modes.Lflag |= unix.ICANON | unix.ISIG
	modes.Iflag |= unix.ICRNL
	return &modes
}

// readLine reads up to the end of a line or of the input.
func readLine(in io.Reader) ([]byte, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := in.Read(b)
		switch {
		case n == 1 && b[0] == '\n', errors.Is(err, io.EOF):
			return line, nil
		case err != nil:
			return nil, err
		case n == 1:
			line = append(line, b[0])
		}
	}
}

// onDeath calls last before a signal ends the process, until stop is called.
func onDeath(last func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case sig := <-signals:
			last()
			signal.Stop(signals)
			_ = syscall.Kill(syscall.Getpid(), sig.(syscall.Signal))
		case <-done:
		}
	}()
	return func() {
		close(done)
		<-watched
		signal.Stop(signals)
		select {
		case sig := <-signals: // it came while nobody watched any more
			_ = syscall.Kill(syscall.Getpid(), sig.(syscall.Signal))
		default:
		}
	}
}
