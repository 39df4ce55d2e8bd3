package resource

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Dir is a folder. The folder it stands in must exist.
type Dir struct {
	Path   string
	Access Access
}

// Check tells how the folder differs: missing, not a folder, another access.
func (r Dir) Check() error {
	return at("check dir", r.Path, func(p *place) error {
		w, err := r.Access.resolve()
		if err != nil {
			return err
		}
		info, err := p.info()
		switch {
		case err != nil:
			return err
		case info == nil:
			return differ(r.Path, "is missing")
		case !info.IsDir():
			return differ(r.Path, "is %s, not a folder", kind(info))
		}
		if text := w.differs(info); text != "" {
			return differ(r.Path, "%s", text)
		}
		return nil
	})
}

// Change makes the folder as wanted. Where something else stands, a link to a
// folder included, it is an error.
func (r Dir) Change() error {
	return at("change dir", r.Path, func(p *place) error {
		w, err := r.Access.resolve()
		if err != nil {
			return err
		}
		info, err := p.info()
		if err != nil {
			return err
		}
		if info == nil {
			if err := r.make(p, w); err != nil {
				return err
			}
			if info, err = p.info(); err != nil {
				return err
			}
		}
		if info == nil || !info.IsDir() {
			return fmt.Errorf("something that is no folder is there")
		}
		return p.set(info, w)
	})
}

// make makes the folder closed when it is to be given away or opened afterwards.
func (r Dir) make(p *place, w wanted) error {
	mode := fs.FileMode(0o777)
	if !w.any || w.uid >= 0 || w.gid >= 0 {
		mode = 0o700
		if w.any {
			mode = 0o755
		}
	}
	if err := p.root.Mkdir(p.name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return p.sync()
}

// Remove removes the folder, which must be empty: what stands in it belongs to
// somebody else.
func (r Dir) Remove() error {
	return at("remove dir", r.Path, func(p *place) error {
		info, err := p.info()
		if err != nil || info == nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("it is %s", kind(info))
		}
		d, err := p.open(info)
		if err != nil {
			return err
		}
		names, err := d.Readdirnames(1)
		_ = d.Close()
		switch {
		case len(names) > 0:
			return fmt.Errorf("%w: %s", errFolder, names[0])
		case err != nil && !errors.Is(err, io.EOF):
			return err
		}
		return p.remove()
	})
}
