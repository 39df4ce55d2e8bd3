package client

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// KnownNodes is the file of nodes that were seen: text, one node a line. It is
// read when it is asked and rewritten whole, atomically and under a lock, so
// that several programs may share it.
type KnownNodes struct{ path string }

// OpenKnownNodes uses the file at path. It need not exist: it is made, with
// its folder, when the first node is remembered.
func OpenKnownNodes(path string) *KnownNodes { return &KnownNodes{path: path} }

// Path is the file's path.
func (k *KnownNodes) Path() string { return k.path }

// Find is the node of a target, and whether there is one.
func (k *KnownNodes) Find(target string) (KnownNode, bool, error) {
	file, err := k.read()
	if err != nil {
		return KnownNode{}, false, err
	}
	n, ok := file.find(target)
	return n, ok, nil
}

// All are the nodes of the file in its order.
func (k *KnownNodes) All() ([]KnownNode, error) {
	file, err := k.read()
	if err != nil {
		return nil, err
	}
	var all []KnownNode
	for _, l := range file.lines {
		if l.node.Target != "" {
			all = append(all, l.node)
		}
	}
	return all, nil
}

// ConflictError means that a target was remembered with another ID meanwhile.
type ConflictError struct {
	File  string
	Known KnownNode
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s:%d: target %s is known as %s", e.File, e.Known.Line, e.Known.Target, e.Known.ID)
}

// Remember writes a node's line. A line of the target with another ID is
// replaced only when replace is set, else the error is a [ConflictError].
func (k *KnownNodes) Remember(n KnownNode, replace bool) (line int, err error) {
	if !validTarget(n.Target) {
		return 0, fmt.Errorf("remember node %q: %w", n.Target, errKnownTarget)
	}
	if !validID(n.ID) || n.TLSKey != "" && !validID(n.TLSKey) {
		return 0, fmt.Errorf("remember node %q: %w", n.Target, errKnownID)
	}
	err = k.change(func(file *knownFile) (bool, error) {
		old, ok := file.find(n.Target)
		if ok && old.ID != n.ID && !replace {
			return false, &ConflictError{File: k.path, Known: old}
		}
		line = file.put(n)
		return true, nil
	})
	return line, err
}

// Forget removes a target's line and reports whether there was one.
func (k *KnownNodes) Forget(target string) (found bool, err error) {
	err = k.change(func(file *knownFile) (bool, error) {
		found = file.remove(target)
		return found, nil
	})
	return found, err
}

func (k *KnownNodes) read() (*knownFile, error) {
	f, err := os.Open(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return &knownFile{}, nil
	} else if err != nil {
		return nil, fmt.Errorf("read known nodes: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKnownFile+1))
	if err != nil {
		return nil, fmt.Errorf("read known nodes: %w", err)
	}
	return parseKnown(k.path, text)
}

// change reads the file, lets edit change it and writes it when edit says so,
// all under the lock.
func (k *KnownNodes) change(edit func(*knownFile) (bool, error)) error {
	// A link to the file elsewhere must not be replaced by a file.
	path := k.path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write known nodes: %w", err)
	}
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return fmt.Errorf("lock known nodes: %w", err)
	}
	defer unlock()
	file, err := k.read()
	if err != nil {
		return err
	}
	if write, err := edit(file); err != nil || !write {
		return err
	}
	if err := replaceFile(path, file.text()); err != nil {
		return fmt.Errorf("write known nodes: %w", err)
	}
	return nil
}

// replaceFile makes a file complete or not at all, mode 0600.
func replaceFile(path string, text []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(text); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
