package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrDamaged means that a line is no entry. A [Reader] goes on behind it.
var ErrDamaged = errors.New("damaged entry")

// Reader follows a log that somebody else may be writing. It gives an entry once
// it is durable. It has one user at a time.
type Reader struct {
	dir  string
	from uint64

	file    *os.File
	segment uint64 // first of file
	lines   *lines // nil: to be made at offset
	offset  int64  // where the next line begins
	line    int    // number of the last line read, from 1
	ended   bool   // a later segment exists: what file holds now is all
	head    uint64 // entries up to here are durable
}

// NewReader makes a reader that begins with the entry of this number, or with
// the first that is left after it. It opens nothing yet.
func NewReader(dir string, from uint64) *Reader { return &Reader{dir: dir, from: from} }

// Next gives the next entry and its line without the newline; the line is valid
// until the next call. The error is [io.EOF] when there is none yet: call it
// again later; [ErrDamaged] for a line that was skipped; else of the operating
// system.
func (r *Reader) Next() (line []byte, e Entry, err error) {
	for {
		if r.file == nil {
			if err := r.open(); err != nil {
				return nil, Entry{}, err
			}
		}
		line, e, err = r.read()
		if errors.Is(err, io.EOF) {
			if err = r.advance(); err != nil {
				return nil, Entry{}, err
			}
			continue
		}
		if err == nil && e.Seq < r.from {
			continue
		}
		return line, e, err
	}
}

// open opens the segment that has the entry from, or the first after it.
func (r *Reader) open() error {
	all, err := segmentsIn(r.dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(all) == 0 {
		return io.EOF
	}
	if err != nil {
		return err
	}
	first := all[0].first
	for _, s := range all {
		if s.first <= r.from {
			first = s.first
		}
	}
	return r.use(first)
}

func (r *Reader) use(first uint64) error {
	f, err := openFile(segmentPath(r.dir, first), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return io.EOF // pruned meanwhile; the next call looks again
	}
	if err != nil {
		return err
	}
	_ = r.Close()
	r.file, r.segment, r.lines, r.offset, r.line, r.ended = f, first, nil, 0, 0, false
	return nil
}

// read gives the next durable line of the file; io.EOF when there is none.
func (r *Reader) read() ([]byte, Entry, error) {
	if r.lines == nil {
		r.lines = newLines(r.file, r.offset)
	}
	line, err := r.lines.read()
	if errors.Is(err, io.EOF) {
		r.lines = nil // what was read of an unfinished line may be taken back
		return nil, Entry{}, io.EOF
	}
	if err != nil && !errors.Is(err, errLong) {
		r.lines = nil
		return nil, Entry{}, err
	}
	e, decodeErr := decode(line)
	if err == nil && decodeErr == nil && e.Seq > r.head {
		if !r.durable(e.Seq) {
			r.lines = nil
			return nil, Entry{}, io.EOF
		}
		if r.head > 0 { // the buffer is older than the head: what it holds may have been taken back
			r.lines = nil
			return r.read()
		}
	}
	r.offset = r.lines.next
	r.line++
	if err := errors.Join(err, decodeErr); err != nil {
		return nil, Entry{}, fmt.Errorf("%w: %s:%d: %w", ErrDamaged, segmentName(r.segment), r.line, err)
	}
	return line, e, nil
}

// durable reports whether the head covers the entry. Without a head every whole
// line counts: somebody removed it.
func (r *Reader) durable(seq uint64) bool {
	h, err := readHead(r.dir)
	if err != nil {
		r.head = 0
		return true
	}
	r.head = h.Seq
	return seq <= r.head
}

// advance goes to the next segment once this one is read to its end; io.EOF when
// there is none.
func (r *Reader) advance() error {
	all, err := segmentsIn(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, s := range all {
		if s.first <= r.segment {
			continue
		}
		if !r.ended {
			r.ended = true // read once more: it may have grown before the next one was begun
			return nil
		}
		return r.use(s.first)
	}
	return io.EOF
}

// Head is the last durable entry; [ErrNoHead] before the first.
func (r *Reader) Head() (Head, error) { return readHead(r.dir) }

// Close closes the reader's file.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// Read calls f for each entry from the number from on, up to the last that is
// durable now. The line has no newline and is valid during the call. Damaged
// lines are left out: [Verify] tells them. An error of f ends it and is returned.
func Read(dir string, from uint64, f func(line []byte, e Entry) error) error {
	r := NewReader(dir, from)
	defer func() { _ = r.Close() }()
	for {
		line, e, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, ErrDamaged):
			continue
		case err != nil:
			return err
		}
		if err := f(line, e); err != nil {
			return err
		}
	}
}
