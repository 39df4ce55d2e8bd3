package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"etcha/go/errs"
)

// Names of what this package keeps in the state folder.
const (
	lockName    = "node.lock"
	controlName = "node.sock"
	certName    = "node.crt"
)

// keeperLock is the file that the keeper holds a lock of while it lives.
const keeperLock = "keeper.lock"

// stateDir is the folder of a node's state, held by a lock until closed.
type stateDir struct {
	path string
	lock *os.File
}

// openState makes the folder, checks that only this process' user may write to
// it, and takes the lock that keeps a second daemon out.
func openState(path string) (*stateDir, error) {
	if path == "" {
		return nil, &errs.Error{Text: "run.stateDir is not set"}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := makeState(path); err != nil {
		return nil, unwritable(path, err)
	}
	if err := checkState(path); err != nil {
		return nil, err
	}
	lock, err := lockState(path)
	if err != nil {
		return nil, err
	}
	return &stateDir{path: path, lock: lock}, nil
}

func makeState(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func unwritable(path string, cause error) error {
	return &errs.Error{
		Text: fmt.Sprintf("state folder %s cannot be written", path),
		Hint: "run the node as the user that owns the folder, or choose another one with run.stateDir",
		Err:  cause,
	}
}

// checkState refuses a folder that somebody else could put keys or sockets into.
// Reading it gives nothing away: what is secret in it is private itself.
func checkState(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if !info.IsDir() {
		return &errs.Error{Text: fmt.Sprintf("state folder %s is not a folder", path)}
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return &errs.Error{
			Text: fmt.Sprintf("state folder %s belongs to user %d, the node runs as user %d", path, st.Uid, os.Geteuid()),
			Hint: "run the node as the user that owns the folder, or choose another one with run.stateDir",
		}
	}
	if info.Mode().Perm()&0o022 != 0 {
		return &errs.Error{
			Text: fmt.Sprintf("state folder %s may be written by others (mode %04o)", path, info.Mode().Perm()),
			Hint: "chmod 700 " + path,
		}
	}
	return nil
}

// lockState takes the daemon's lock and writes the process ID into its file,
// which also shows that the folder can be written.
func lockState(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, unwritable(path, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, inUse(path, f)
		}
		return nil, fmt.Errorf("lock state folder %s: %w", path, err)
	}
	if err := writePID(f, path); err != nil {
		f.Close()
		return nil, unwritable(path, err)
	}
	return f, nil
}

func inUse(path string, lock *os.File) error {
	by := "another daemon"
	b := make([]byte, 16)
	if n, _ := lock.ReadAt(b, 0); n > 0 {
		by = "the daemon with process ID " + strings.TrimSpace(string(b[:n]))
	}
	return &errs.Error{
		Text: fmt.Sprintf("state folder %s is in use by %s", path, by),
		Hint: "stop it with 'etcha node stop', or choose another run.stateDir",
	}
}

// writePID also makes and removes a file: the lock may be left in a folder that
// can no longer be written.
func writePID(lock *os.File, path string) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	if _, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return err
	}
	probe, err := os.CreateTemp(path, ".probe")
	if err != nil {
		return err
	}
	probe.Close()
	return os.Remove(probe.Name())
}

// close releases the folder. The lock's file stays: whoever waits for it must
// not hold a lock on a name that is gone.
func (s *stateDir) close() { s.lock.Close() }

func (s *stateDir) file(name string) string { return filepath.Join(s.path, name) }

// locked reports whether somebody holds a lock of the folder: lockName the
// daemon, keeperLock the keeper.
func locked(path, name string) (bool, error) {
	f, err := os.Open(filepath.Join(path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// writeFile replaces a file whole: what is on disk is complete or absent.
func (s *stateDir) writeFile(name string, data []byte) error {
	f, err := os.CreateTemp(s.path, "."+name)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.file(name)); err != nil {
		return err
	}
	return syncDir(s.path)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
