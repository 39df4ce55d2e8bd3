package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"etcha/go/errs"
)

// maxPassphrase bounds a passphrase that is read from a descriptor, bytes.
const maxPassphrase = 4096

// passphrase gives the passphrase of the key that name tells about, from the
// descriptor fd where it is not negative, else from the person.
func (a *app) passphrase(fd int, name string) ([]byte, error) {
	if fd >= 0 {
		return a.readPassphrase(fd)
	}
	secret, err := askSecret("Passphrase of " + name + ": ")
	if errors.Is(err, errNoTerminal) {
		return nil, errs.Usage("%s has a passphrase, and %s", name, err).
			WithHint("give it with --passphrase-fd: etcha shell --passphrase-fd 3 … 3<FILE")
	}
	return secret, err
}

// newPassphrase asks twice for the passphrase of a new key, or reads it from fd.
func (a *app) newPassphrase(fd int) ([]byte, error) {
	if fd >= 0 {
		return a.readPassphrase(fd)
	}
	for {
		first, err := askSecret("New passphrase: ")
		if errors.Is(err, errNoTerminal) {
			return nil, errs.Usage("%s", err).WithHint("give the passphrase with --passphrase-fd N")
		}
		if err != nil {
			return nil, err
		}
		if len(first) == 0 {
			return nil, errs.Usage("the passphrase is empty").WithHint("leave --passphrase out for a key without one")
		}
		second, err := askSecret("The same again: ")
		if err != nil {
			return nil, err
		}
		if bytes.Equal(first, second) {
			return first, nil
		}
		fmt.Fprintln(a.stderr, "they differ, once more")
	}
}

// readPassphrase reads the first line that comes from the descriptor fd, and not
// a byte more: what follows it on stdin is the session's.
func (a *app) readPassphrase(fd int) ([]byte, error) {
	f, err := a.inherited(fd)
	if err != nil {
		return nil, err
	}
	var line []byte
	for b := make([]byte, 1); len(line) <= maxPassphrase; {
		n, err := f.Read(b)
		if n == 1 && b[0] != '\n' {
			line = append(line, b[0])
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, errs.Usage("read the passphrase: %s", err).
				WithHint("--passphrase-fd 3 needs something on descriptor 3, such as 3<FILE")
		}
		break
	}
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case len(line) == 0:
		return nil, errs.Usage("the passphrase from descriptor %d is empty", fd)
	case len(line) > maxPassphrase:
		return nil, errs.Usage("the passphrase from descriptor %d is longer than %d bytes", fd, maxPassphrase)
	}
	return line, nil
}

// inherited is a descriptor that the program was started with.
func (a *app) inherited(fd int) (*os.File, error) {
	if fd == 0 {
		return a.env.Stdin, nil
	}
	f := os.NewFile(uintptr(fd), fmt.Sprintf("descriptor %d", fd))
	if f == nil {
		return nil, errs.Usage("--passphrase-fd %d is not a file descriptor", fd)
	}
	return f, nil
}
