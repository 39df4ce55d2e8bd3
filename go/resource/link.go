package resource

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Link is a symbolic link.
type Link struct {
	Target string // what the link says, as it stands; need not exist
	Path   string
}

// Check tells how the link differs: missing, no link, another target.
func (r Link) Check() error {
	return at("check link", r.Path, func(p *place) error {
		info, err := p.info()
		switch {
		case err != nil:
			return err
		case info == nil:
			return differ(r.Path, "is missing")
		case info.Mode()&fs.ModeSymlink == 0:
			return differ(r.Path, "is %s, not a symbolic link", kind(info))
		}
		target, err := p.root.Readlink(p.name)
		if err != nil {
			return err
		}
		if target != r.Target {
			return differ(r.Path, "leads to %s, not to %s", target, r.Target)
		}
		return nil
	})
}

// Change makes the link, in place of another one in one step. Where something
// else stands it is an error.
func (r Link) Change() error {
	if r.Target == "" {
		return fmt.Errorf("change link %s: a target is needed", r.Path)
	}
	return at("change link", r.Path, func(p *place) error {
		info, err := p.info()
		if err != nil {
			return err
		}
		if info != nil && info.Mode()&fs.ModeSymlink == 0 {
			return fmt.Errorf("it is %s", kind(info))
		}
		if info != nil {
			if target, err := p.root.Readlink(p.name); err == nil && target == r.Target {
				p.clean()
				return nil
			}
		}
		return r.put(p)
	})
}

// put makes the link in a folder of its own, which can be locked as a link
// cannot, and moves it from there.
func (r Link) put(p *place) error {
	p.clean()
	for range tempTries {
		if done, err := r.tryPut(p); done || err != nil {
			return err
		}
	}
	return errTemp
}

// tryPut is false when the folder was taken for a dead writer's before it had its
// lock.
func (r Link) tryPut(p *place) (bool, error) {
	dir := p.tempName()
	if err := p.root.Mkdir(dir, 0o700); err != nil {
		return false, err
	}
	temp := filepath.Join(dir, p.name)
	defer func() {
		_ = p.root.Remove(temp)
		_ = p.root.Remove(dir)
	}()
	d, err := p.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = d.Close() }()
	if ok, err := p.hold(d, dir); err != nil || !ok {
		return false, err
	}
	if err := p.root.Symlink(r.Target, temp); err != nil {
		return false, err
	}
	if err := p.root.Rename(temp, p.name); err != nil {
		return false, err
	}
	return true, p.sync()
}

// Remove removes the link. One to another target, and what is no link, is an
// error: it is not this one.
func (r Link) Remove() error {
	return at("remove link", r.Path, func(p *place) error {
		info, err := p.info()
		if err != nil {
			return err
		}
		if info != nil {
			if info.Mode()&fs.ModeSymlink == 0 {
				return fmt.Errorf("it is %s", kind(info))
			}
			target, err := p.root.Readlink(p.name)
			if err != nil {
				return err
			}
			if target != r.Target {
				return fmt.Errorf("it leads to %s, not to %s", target, r.Target)
			}
		}
		return p.remove()
	})
}
