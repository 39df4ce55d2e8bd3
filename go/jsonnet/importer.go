package jsonnet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	gojsonnet "github.com/google/go-jsonnet"
)

// File is a file that an evaluation read, or looked for.
type File struct {
	Path    string            // absolute
	Sum     [sha256.Size]byte // SHA-256 of what was read
	Missing bool              // it could not be read
	Stream  bool              // a pipe or a device, which cannot be read again
}

// Changed reads the file again and reports whether it is another one now. A
// stream never is.
func (f File) Changed() bool {
	if f.Stream {
		return false
	}
	text, err := readFile(f.Path, false)
	if err != nil || f.Missing {
		return (err != nil) != f.Missing
	}
	return sha256.Sum256(text) != f.Sum
}

// importer reads files for one evaluation, each once.
type importer struct {
	ctx      context.Context
	all      map[string]string // in place of the disk; nil: the disk
	root     string            // folder of all
	rendered int               // texts of render

	mu    sync.Mutex // an abandoned evaluation may still read
	known map[string]imported
	files []File
	total int
}

type imported struct {
	text []byte
	data gojsonnet.Contents
	err  error // of reading
}

func newImporter(o Options) *importer {
	return &importer{ctx: context.Background(), all: o.Files, root: o.Root, known: make(map[string]imported)}
}

// Import implements the evaluator's importer: path as it is when absolute, else
// relative to the folder of the file from; from is empty for the first file.
func (im *importer) Import(from, path string) (gojsonnet.Contents, string, error) {
	if !filepath.IsAbs(path) && from != "" {
		path = filepath.Join(filepath.Dir(from), path)
	}
	f := im.open(path, from == "")
	if f.err != nil {
		return gojsonnet.Contents{}, "", f.err
	}
	return f.data, path, nil
}

// add puts text in place of a file.
func (im *importer) add(path, text string) {
	im.known[path] = newImported([]byte(text), nil)
}

func newImported(text []byte, err error) imported {
	return imported{text: text, data: gojsonnet.MakeContentsRaw(text), err: err}
}

// open reads path once. Only the first file may be a stream.
func (im *importer) open(path string, stream bool) imported {
	im.mu.Lock()
	defer im.mu.Unlock()
	if f, ok := im.known[path]; ok {
		return f
	}
	if err := im.ctx.Err(); err != nil {
		return imported{err: err}
	}
	if len(im.files) >= MaxFiles || im.total >= MaxTotal {
		return imported{err: im.errMany()}
	}
	text, err := im.load(path, stream)
	f := newImported(text, err)
	im.known[path] = f
	im.total += len(text)
	if im.all == nil {
		im.files = append(im.files, record(path, text, err))
	}
	return f
}

// openDisk reads path for getFile, which sees the machine even where the files
// that are imported are given.
func (im *importer) openDisk(path string) imported {
	if im.all == nil {
		return im.open(path, false)
	}
	if f := im.open(path, false); f.err == nil {
		return f
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	key := "disk:" + path
	if f, ok := im.known[key]; ok {
		return f
	}
	if len(im.files) >= MaxFiles || im.total >= MaxTotal {
		return imported{err: im.errMany()}
	}
	text, err := readFile(path, false)
	f := newImported(text, err)
	im.known[key] = f
	im.total += len(text)
	im.files = append(im.files, record(path, text, err))
	return f
}

// load reads a file of the disk, or of those given in its place.
func (im *importer) load(path string, stream bool) ([]byte, error) {
	if im.all == nil {
		return readFile(path, stream)
	}
	rel, err := filepath.Rel(im.root, path)
	if err != nil {
		return nil, readError(path, fs.ErrNotExist)
	}
	text, ok := im.all[filepath.ToSlash(rel)]
	switch {
	case !ok:
		return nil, readError(path, fs.ErrNotExist)
	case len(text) > MaxFile:
		return nil, readError(path, errTooLarge)
	}
	return []byte(text), nil
}

func (im *importer) errMany() error {
	return fmt.Errorf("more than %d files or %d MiB in one evaluation", MaxFiles, MaxTotal>>20)
}

// size is the bytes that were read.
func (im *importer) size() int {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.total
}

// read is the files so far.
func (im *importer) read() []File {
	im.mu.Lock()
	defer im.mu.Unlock()
	return append([]File(nil), im.files...)
}

func record(path string, text []byte, err error) File {
	f := File{Path: path, Missing: err != nil}
	if abs, err := filepath.Abs(path); err == nil {
		f.Path = abs
	}
	if err == nil {
		f.Sum = sha256.Sum256(text)
		if fi, err := os.Stat(path); err == nil {
			f.Stream = !fi.Mode().IsRegular()
		}
	}
	return f
}

// readFile reads a regular file within MaxFile, or a stream where that is allowed:
// a pipe or a device that never ends would otherwise hold the evaluation.
func readFile(path string, stream bool) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, readError(path, err)
	}
	if mode := fi.Mode(); mode.IsDir() || !stream && !mode.IsRegular() {
		return nil, readError(path, errNotRegular)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, readError(path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, readError(path, err)
	}
	if len(text) > MaxFile {
		return nil, readError(path, errTooLarge)
	}
	return text, nil
}

// readError names the file once, whatever system call it was.
func readError(path string, err error) error {
	var known *fs.PathError
	if errors.As(err, &known) {
		err = known.Err
	}
	return &fs.PathError{Op: "read", Path: path, Err: err}
}

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = fmt.Errorf("larger than %d MiB", MaxFile>>20)
)
