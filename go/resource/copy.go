package resource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Copy is a file that is as another one, content and mode, or a folder in which
// all is as in another one: what it has beside is left. Owners are not copied.
type Copy struct {
	Source string // a link is followed
	Path   string // the copy itself, never a name in it
}

// Check tells how the copy differs first.
func (r Copy) Check() error {
	return r.each("check copy", copyStep{file: checkFile, dir: Dir.Check, link: Link.Check})
}

// Change makes the copy, each file in one step.
func (r Copy) Change() error {
	return r.each("change copy", copyStep{file: changeFile, dir: Dir.Change, link: Link.Change})
}

// copyStep is what is done for each entry of the source.
type copyStep struct {
	file func(source *os.File, info fs.FileInfo, path string) error
	dir  func(Dir) error
	link func(Link) error
}

func (r Copy) each(operation string, do copyStep) error {
	err := r.root(do)
	if err == nil || isDifference(err) {
		return err
	}
	return fmt.Errorf("%s %s to %s: %w", operation, r.Source, r.Path, err)
}

func (r Copy) root(do copyStep) error {
	if r.Source == "" || r.Path == "" {
		return errPath
	}
	info, err := os.Stat(r.Source)
	if err != nil {
		return fmt.Errorf("the source: %w", bare(err))
	}
	if info.IsDir() {
		if err := r.apart(info); err != nil {
			return err
		}
	}
	return do.entry(r.Source, r.Path, info)
}

// apart refuses a copy inside of its source, which would never end.
func (r Copy) apart(source fs.FileInfo) error {
	abs, err := filepath.Abs(r.Path)
	if err != nil {
		return err
	}
	for dir := abs; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && os.SameFile(info, source) {
			return errors.New("the copy is in its own source")
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func (do copyStep) entry(source, path string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return do.folder(source, path, info)
	case mode&fs.ModeSymlink != 0:
		target, err := os.Readlink(source)
		if err != nil {
			return err
		}
		return do.link(Link{Target: target, Path: path})
	case mode.IsRegular():
		f, err := os.OpenFile(source, os.O_RDONLY|noBlock, 0)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if info, err = f.Stat(); err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s was exchanged in the meantime", source)
		}
		return do.file(f, info, path)
	}
	return fmt.Errorf("%s is neither file, folder nor link", source)
}

func (do copyStep) folder(source, path string, info fs.FileInfo) error {
	if err := do.dir(Dir{Path: path, Access: Access{Mode: formatMode(info.Mode())}}); err != nil {
		return err
	}
	entries, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil {
			err = do.entry(filepath.Join(source, e.Name()), filepath.Join(path, e.Name()), info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func checkFile(source *os.File, info fs.FileInfo, path string) error {
	return at("check file", path, func(p *place) error {
		has, err := p.info()
		if err != nil {
			return err
		}
		r := File{Path: path}
		if err := r.compare(p, has, modeOf(info)); err != nil {
			return err
		}
		same, err := p.sameAs(source, info, has)
		if err == nil && !same {
			err = differ(path, "has another content")
		}
		return err
	})
}

func changeFile(source *os.File, info fs.FileInfo, path string) error {
	return at("change file", path, func(p *place) error {
		has, err := p.info()
		if err != nil {
			return err
		}
		if has != nil && has.Mode().IsRegular() {
			if os.SameFile(has, info) {
				return errors.New("it is its own source")
			}
			same, err := p.sameAs(source, info, has)
			if err != nil {
				return err
			}
			if same {
				p.clean()
				return p.set(has, modeOf(info))
			}
		} else if has != nil && has.Mode()&fs.ModeSymlink == 0 {
			return fmt.Errorf("it is %s", kind(has))
		}
		return p.write(source, has, modeOf(info))
	})
}

func modeOf(info fs.FileInfo) wanted { return wanted{mode: info.Mode() & modeBits, uid: -1, gid: -1} }

// sameAs compares content with that of the source, which is rewound.
func (p *place) sameAs(source *os.File, info, has fs.FileInfo) (bool, error) {
	if info.Size() != has.Size() {
		return false, nil
	}
	f, err := p.open(has)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	same, err := sameContent(f, source)
	if _, seekErr := source.Seek(0, io.SeekStart); err == nil {
		err = seekErr
	}
	return same, err
}

// compareChunk is how much is compared at a time, bytes.
const compareChunk = 64 << 10

func sameContent(a, b io.Reader) (bool, error) {
	x, y := make([]byte, compareChunk), make([]byte, compareChunk)
	for {
		n, err := io.ReadFull(a, x)
		m, err2 := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		for _, err := range []error{err, err2} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		if err != nil || err2 != nil {
			return true, nil
		}
	}
}
