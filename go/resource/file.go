package resource

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
)

// File is a regular file.
type File struct {
	Path    string
	Content *[]byte // at most MaxContent bytes; nil: any, and a new file is empty
	Access  Access
}

// Check tells how the file differs: missing, not a regular file, another content,
// another access.
func (r File) Check() error {
	return at("check file", r.Path, func(p *place) error {
		w, err := r.Access.resolve()
		if err != nil {
			return err
		}
		info, err := p.info()
		if err != nil {
			return err
		}
		return r.compare(p, info, w)
	})
}

// compare tells how what stands at the place differs.
func (r File) compare(p *place, info fs.FileInfo, w wanted) error {
	switch {
	case info == nil:
		return differ(r.Path, "is missing")
	case !info.Mode().IsRegular():
		return differ(r.Path, "is %s, not a file", kind(info))
	}
	same, err := r.same(p, info)
	if err != nil {
		return err
	}
	if !same {
		return differ(r.Path, "has another content")
	}
	if text := w.differs(info); text != "" {
		return differ(r.Path, "%s", text)
	}
	return nil
}

func (r File) same(p *place, info fs.FileInfo) (bool, error) {
	if r.Content == nil {
		return true, nil
	}
	if info.Size() != int64(len(*r.Content)) {
		return false, nil
	}
	has, err := p.read(info)
	return bytes.Equal(has, *r.Content), err
}

// Change makes the file as wanted. A link is replaced, a folder is an error.
func (r File) Change() error {
	return at("change file", r.Path, func(p *place) error {
		if r.Content != nil && len(*r.Content) > MaxContent {
			return fmt.Errorf("content larger than %d MiB", MaxContent>>20)
		}
		w, err := r.Access.resolve()
		if err != nil {
			return err
		}
		info, err := p.info()
		if err != nil {
			return err
		}
		return r.change(p, info, w)
	})
}

func (r File) change(p *place, info fs.FileInfo, w wanted) error {
	if info != nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("it is %s", kind(info))
	}
	if info != nil && info.Mode().IsRegular() {
		same, err := r.same(p, info)
		if err != nil {
			return err
		}
		if same {
			p.clean()
			return p.set(info, w)
		}
	}
	var content []byte
	if r.Content != nil {
		content = *r.Content
	}
	return p.write(bytes.NewReader(content), info, w)
}

// set sets the access of what stands at the place.
func (p *place) set(info fs.FileInfo, w wanted) error {
	if w.differs(info) == "" {
		return nil
	}
	f, err := p.open(info)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := w.set(f); err != nil {
		return err
	}
	return f.Sync()
}

// Remove removes the file. What is none is an error.
func (r File) Remove() error {
	return at("remove file", r.Path, func(p *place) error {
		info, err := p.info()
		switch {
		case err != nil:
			return err
		case info != nil && !info.Mode().IsRegular():
			return fmt.Errorf("it is %s", kind(info))
		}
		return p.remove()
	})
}

// WriteFile writes content to path, whole or not at all, as File's Change does.
func WriteFile(path string, content []byte, access Access) error {
	return File{Path: path, Content: &content, Access: access}.Change()
}

var errFolder = errors.New("it has something in it")
