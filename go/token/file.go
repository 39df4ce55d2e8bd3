package token

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"etcha/go/errs"
)

// Modes of key files.
const (
	modePrivate fs.FileMode = 0o600
	modePublic  fs.FileMode = 0o644
)

// ReadPrivate reads the private key in the file at path, as [ParsePrivate]
// does. As with ssh, the caller's own file is refused when its group or others
// may touch it; what another user owns is that user's to guard, and pipes have
// no mode worth a check.
func ReadPrivate(path string, passphrase func() ([]byte, error)) (PrivateKey, error) {
	k, err := readPrivate(path, passphrase, checkOwnMode)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("read private key %s: %w", path, err)
	}
	return k, nil
}

func readPrivate(path string, passphrase func() ([]byte, error), check func(string, fs.FileInfo) error) (PrivateKey, error) {
	text, err := readChecked(path, check)
	if err != nil {
		return PrivateKey{}, withoutPath(err)
	}
	return ParsePrivate(text, passphrase)
}

func readChecked(path string, check func(string, fs.FileInfo) error) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	// The opened file is looked at, not the name: it cannot be swapped between.
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyText+1))
	if err != nil {
		return "", err
	}
	if err := check(path, info); err != nil && mayBePrivate(string(text)) {
		return "", err
	}
	return string(text), nil
}

// mayBePrivate keeps the advice to change a file's mode from files that are no
// private key at all; the parser says what they are. Every form of one has the word.
func mayBePrivate(text string) bool {
	return strings.Contains(strings.ToLower(text), "private")
}

func errMode(path string, mode fs.FileMode) error {
	return &errs.Error{
		Text: fmt.Sprintf("others than its owner may touch the private key (mode %04o)", mode.Perm()),
		Hint: "chmod 600 " + path,
	}
}

// WritePrivate writes a private key's text to path, mode 0600, complete or not
// at all. A file that exists is an error that is [fs.ErrExist], unless replace.
func WritePrivate(path, text string, replace bool) error {
	if err := writeFile(path, text+"\n", modePrivate, replace); err != nil {
		return fmt.Errorf("write private key %s: %w", path, withoutPath(err))
	}
	return nil
}

// WritePublic writes a public key's text to path, mode 0644 less the umask,
// otherwise like [WritePrivate].
func WritePublic(path, text string, replace bool) error {
	if err := writeFile(path, text+"\n", modePublic, replace); err != nil {
		return fmt.Errorf("write public key %s: %w", path, withoutPath(err))
	}
	return nil
}

// writeFile writes beside path, syncs, puts the file in place and syncs the
// folder, so that after a crash there is the whole file or none.
func writeFile(path, text string, mode fs.FileMode, replace bool) (err error) {
	if !replace {
		if _, err := os.Lstat(path); err == nil {
			return fs.ErrExist
		}
	}
	temp, err := writeTemp(path, text, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	if replace {
		err = os.Rename(temp, path)
	} else {
		err = moveNew(temp, path, text, mode)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeTemp(path, text string, mode fs.FileMode) (string, error) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+hex.EncodeToString(b[:])+".tmp")
	if err := writeNew(temp, text, mode); err != nil {
		return "", err
	}
	return temp, nil
}

// writeNew makes a file that must not exist and syncs it.
func writeNew(path, text string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// moveNew gives temp the name path, which must be free. A hard link is the
// portable way to do so atomically; where the file system has none the file is
// made under its own name, which still never replaces one.
func moveNew(temp, path, text string, mode fs.FileMode) error {
	err := os.Link(temp, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = writeNew(path, text, mode)
	}
	if err != nil {
		return err
	}
	return os.Remove(temp)
}

// withoutPath drops the operation and path that an error of package os repeats.
func withoutPath(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	default:
		return err
	}
}
