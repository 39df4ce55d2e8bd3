package resource

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// place is a name in a folder that was opened: all steps go through it.
type place struct {
	root *os.Root
	name string
	path string // for errors
}

var (
	errPath = errors.New("a path to a file or folder is needed")
	errTemp = errors.New("what is made beside it is removed again and again")
)

func open(path string) (*place, error) {
	clean := filepath.Clean(path)
	name := filepath.Base(clean)
	if path == "" || name == "." || name == ".." || name == string(filepath.Separator) || strings.IndexByte(path, 0) >= 0 {
		return nil, fmt.Errorf("%q: %w", path, errPath)
	}
	root, err := os.OpenRoot(filepath.Dir(clean))
	if err != nil {
		return nil, err
	}
	return &place{root: root, name: name, path: path}, nil
}

func (p *place) close() { _ = p.root.Close() }

// info is what stands at the place; nil: nothing does.
func (p *place) info() (fs.FileInfo, error) {
	info, err := p.root.Lstat(p.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}

// open opens what info told of, and nothing that was put in its place since.
func (p *place) open(info fs.FileInfo) (*os.File, error) {
	f, err := p.root.OpenFile(p.name, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	is, err := f.Stat()
	if err == nil && !os.SameFile(info, is) {
		err = errors.New("it was exchanged in the meantime")
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// MaxContent bounds the content of a file that is compared or written, bytes.
const MaxContent = 64 << 20

func (p *place) read(info fs.FileInfo) ([]byte, error) {
	f, err := p.open(info)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return ReadContent(f)
}

// ReadContent reads all of r, at most MaxContent bytes.
func ReadContent(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxContent+1))
	if err == nil && len(b) > MaxContent {
		err = fmt.Errorf("larger than %d MiB", MaxContent>>20)
	}
	return b, err
}

// Names of what a writer makes beside a file: the first two parts are the same
// for all writers of one name.
const (
	tempPrefix = ".etcha-"
	tempTries  = 16
)

func (p *place) tempPrefix() string {
	sum := sha256.Sum256([]byte(p.name))
	return tempPrefix + hex.EncodeToString(sum[:8]) + "-"
}

func (p *place) tempName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return p.tempPrefix() + hex.EncodeToString(b[:])
}

// clean removes what killed writers of this name left. What cannot be removed is
// left too: the next one tries again.
func (p *place) clean() {
	d, err := p.root.Open(".")
	if err != nil {
		return
	}
	names, _ := d.Readdirnames(-1)
	_ = d.Close()
	for _, name := range names {
		if strings.HasPrefix(name, p.tempPrefix()) {
			p.cleanOne(name)
		}
	}
}

// cleanOne removes a file or a folder whose lock nobody holds: its writer is dead.
func (p *place) cleanOne(name string) {
	info, err := p.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		return
	}
	f, err := p.root.OpenFile(name, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	if free, err := lock(f, false); err != nil || !free {
		return
	}
	if info.IsDir() {
		_ = p.root.Remove(filepath.Join(name, p.name))
	}
	_ = p.root.Remove(name)
}

// temp makes a new file beside the place, locked. One that was taken for a dead
// writer's before it had its lock is made again.
func (p *place) temp(mode fs.FileMode) (*os.File, string, error) {
	for range tempTries {
		name := p.tempName()
		f, err := p.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return nil, "", err
		}
		ok, err := p.hold(f, name)
		if ok {
			return f, name, nil
		}
		_ = f.Close()
		if err != nil {
			_ = p.root.Remove(name)
			return nil, "", err
		}
	}
	return nil, "", errTemp
}

// hold locks what was made as name and reports whether it still is there.
func (p *place) hold(f *os.File, name string) (bool, error) {
	if _, err := lock(f, true); err != nil {
		return false, err
	}
	is, err := p.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	mine, err := f.Stat()
	return err == nil && os.SameFile(is, mine), err
}

// write puts content at the place, in one step for everybody else. old is what
// stands there, nil for nothing: a regular file's access is kept as far as w
// leaves it open.
func (p *place) write(content io.Reader, old fs.FileInfo, w wanted) error {
	p.clean()
	mode := fs.FileMode(0o666)
	kept := old != nil && old.Mode().IsRegular()
	if kept || !w.any || w.uid >= 0 || w.gid >= 0 {
		mode = 0o600
	}
	f, name, err := p.temp(mode)
	if err != nil {
		return err
	}
	err = p.fill(f, content, old, kept, w)
	if err == nil {
		err = p.root.Rename(name, p.name)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = p.root.Remove(name)
		return err
	}
	return p.sync()
}

func (p *place) fill(f *os.File, content io.Reader, old fs.FileInfo, kept bool, w wanted) error {
	if kept {
		before, err := p.open(old)
		if err != nil {
			return err
		}
		defer func() { _ = before.Close() }()
		if err := keepAttributes(before, f); err != nil {
			return err
		}
		w = w.or(old)
	} else if w.any && (w.uid >= 0 || w.gid >= 0) {
		w.mode, w.any = newFile, false
	}
	if err := w.set(f); err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	return f.Sync()
}

// newFile is the mode of a new file that is given away: the umask is that of who
// runs, not of who gets it.
const newFile fs.FileMode = 0o644

// or is w with what it leaves open as old has it.
func (w wanted) or(old fs.FileInfo) wanted {
	if w.any {
		w.mode, w.any = old.Mode()&modeBits, false
	}
	uid, gid := owner(old)
	if w.uid < 0 {
		w.uid = uid
	}
	if w.gid < 0 {
		w.gid = gid
	}
	return w
}

// sync makes the folder's names durable.
func (p *place) sync() error {
	d, err := p.root.Open(".")
	if err != nil {
		return err
	}
	err = syncDir(d)
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

// remove removes the name and makes that durable.
func (p *place) remove() error {
	p.clean()
	if err := p.root.Remove(p.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return p.sync()
}

// at runs f on the place of a path and names operation and path in an error.
func at(operation, path string, f func(p *place) error) error {
	p, err := open(path)
	if err == nil {
		defer p.close()
		err = f(p)
	}
	if err == nil || isDifference(err) {
		return err
	}
	return fmt.Errorf("%s %s: %w", operation, path, bare(err))
}

// bare drops what an error of package os repeats: the path below the folder.
func bare(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// kind names what stands at a place.
func kind(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return "a file"
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "neither file nor folder"
}
