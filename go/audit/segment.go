package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	segmentPrefix = "audit-"
	segmentSuffix = ".jsonl"
	tornSuffix    = ".torn"
	lockName      = "lock"
	modeFile      = 0o600
	modeDir       = 0o700
)

// segment is one file of the log.
type segment struct {
	first uint64 // number of its first entry, by its name
	size  int64
}

func segmentName(first uint64) string {
	return fmt.Sprintf("%s%010d%s", segmentPrefix, first, segmentSuffix)
}

// parseSegment reads the number in a segment's name.
func parseSegment(name string) (first uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok {
		return 0, false
	}
	digits, ok = strings.CutSuffix(digits, segmentSuffix)
	if !ok {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first >= 1 && first <= maxSeq && name == segmentName(first)
}

// segmentsIn lists a folder's segments, the oldest first.
func segmentsIn(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []segment
	for _, e := range entries {
		first, ok := parseSegment(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, segment{first, info.Size()})
	}
	slices.SortFunc(all, func(a, b segment) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return all, nil
}

// lines reads a segment line by line, holding no more than one.
type lines struct {
	r    *bufio.Reader
	next int64 // where the next line begins
}

// errLong means that a line holds more than MaxEntry bytes; it was skipped.
var errLong = errors.New("longer than an entry")

func newLines(f io.ReaderAt, from int64) *lines {
	return &lines{bufio.NewReaderSize(io.NewSectionReader(f, from, math.MaxInt64-from), MaxEntry+1), from}
}

// read gives the next line without its newline, valid until the next call. At
// the end it gives what stands there without a newline, with io.EOF.
func (l *lines) read() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.next += int64(len(line))
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.r.ReadSlice('\n')
		l.next += int64(len(line))
	}
	if err == nil {
		err = errLong
	}
	return nil, err
}

// tail is what the end of a segment says.
type tail struct {
	end   int64 // after its last entry
	size  int64
	first Entry  // its first entry
	last  Entry  // its last one
	hash  string // of the last one's line
	noted string // hash of the line with the number that was asked for
}

// readTail reads a segment to its end. Lines that are no entries count only at
// the end: in the middle they are damage that Verify tells.
func readTail(path string, noted uint64) (t tail, err error) {
	f, err := openFile(path, os.O_RDONLY)
	if err != nil {
		return t, err
	}
	defer func() { _ = f.Close() }()
	for l := newLines(f, 0); ; {
		line, err := l.read()
		t.size = l.next
		if err != nil && !errors.Is(err, errLong) {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return t, err
		}
		e, decodeErr := decode(line)
		if err != nil || decodeErr != nil {
			continue
		}
		if t.end == 0 {
			t.first = e
		}
		t.end, t.last, t.hash = l.next, e, hashOf(line)
		if e.Seq == noted {
			t.noted = t.hash
		}
	}
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func segmentPath(dir string, first uint64) string { return filepath.Join(dir, segmentName(first)) }
