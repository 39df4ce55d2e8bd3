package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Open opens or begins the log of a folder. The folder must be this user's; one
// process at a time may have it open. A damaged log is no error: it is repaired
// as far as it can be, and what was found stands in the log.
func Open(o Options) (*Log, error) {
	l, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("open the audit log %s: %w", o.Dir, err)
	}
	return l, nil
}

func open(o Options) (*Log, error) {
	o.fill()
	if !filepath.IsAbs(o.Dir) {
		return nil, errors.New("not an absolute path")
	}
	if err := os.MkdirAll(o.Dir, modeDir); err != nil {
		return nil, err
	}
	if err := ownFolder(o.Dir); err != nil {
		return nil, err
	}
	l := &Log{o: o, sync: syncData}
	l.head.Store(&Head{})
	var err error
	if l.lock, err = lockFile(l.path(lockName)); err != nil {
		return nil, err
	}
	if err = l.recover(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return l, nil
}

// release closes the files.
func (l *Log) release() error {
	var err error
	if l.file != nil {
		err = l.file.Close()
	}
	if l.headFile != nil {
		err = errors.Join(err, l.headFile.file.Close())
	}
	return errors.Join(err, l.lock.Close())
}

// recover finds where the log goes on, and what of it is missing.
func (l *Log) recover() error {
	var noted Head
	var err error
	l.headFile, noted, err = openHead(l.o.Dir)
	headless := errors.Is(err, ErrNoHead)
	if err != nil && !headless {
		return err
	}
	if l.segments, err = segmentsIn(l.o.Dir); err != nil {
		return err
	}
	t, err := l.recoverTail(noted.Seq)
	if err != nil {
		return err
	}
	l.head.Store(&Head{t.last.Seq, t.hash})
	l.compare(t, noted, headless)
	if err := syncDir(l.o.Dir); err != nil {
		return err
	}
	l.goOn(noted)
	return nil
}

// recoverTail opens the last segment that has an entry, and sets aside what
// stands behind that. Without any entry the tail is empty.
func (l *Log) recoverTail(noted uint64) (tail, error) {
	for len(l.segments) > 0 {
		s := l.current()
		path := segmentPath(l.o.Dir, s.first)
		t, err := readTail(path, noted)
		if err != nil {
			return tail{}, err
		}
		if t.size > t.end {
			if err := l.setAside(s.first, t); err != nil {
				return tail{}, err
			}
		}
		if t.end > 0 {
			s.size = t.end
			l.file, err = openFile(path, os.O_RDWR)
			return t, err
		}
		if err := os.Remove(path); err != nil {
			return tail{}, err
		}
		l.segments = l.segments[:len(l.segments)-1]
	}
	return tail{}, nil
}

// setAside moves what stands behind the last entry into a file of its own. A full
// disk must not keep the node down: then those bytes are lost.
func (l *Log) setAside(first uint64, t tail) error {
	name := segmentName(first)
	f, err := openFile(l.path(name), os.O_RDWR)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := keepTorn(l.path(name+tornSuffix), io.NewSectionReader(f, t.end, t.size-t.end)); err != nil {
		l.o.Log.Warn("the torn end of the audit log cannot be kept", "err", err)
	}
	l.o.Log.Warn("the audit log had a torn end, which was set aside", "file", name, "bytes", t.size-t.end)
	l.owe(Torn, "a half-written end was set aside", map[string]any{"file": name, "bytes": t.size - t.end, "offset": t.end})
	return errors.Join(f.Truncate(t.end), l.sync(f))
}

func keepTorn(path string, from io.Reader) error {
	to, err := openFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Sync(), to.Close())
}

// owe notes an entry that is to be written first of all.
func (l *Log) owe(event Event, reason string, detail map[string]any) {
	p, err := newPending(Entry{Event: event, Reason: reason, Detail: detail})
	if err == nil { // numbers and short texts: it always is
		l.owed = append(l.owed, p)
	}
}

// compare looks whether the log has what its head says.
func (l *Log) compare(t tail, noted Head, headless bool) {
	last := *l.head.Load()
	found := t.noted
	if noted.Seq > 0 && noted.Seq+1 == t.first.Seq {
		found = t.first.Prev // the crash came right after a new segment was begun
	}
	switch {
	case headless && last.Seq == 0: // a new log
	case headless:
		l.broken("the head is missing", last, noted)
	case last.Seq < noted.Seq:
		l.broken(span(last.Seq+1, noted.Seq)+" missing", last, noted)
		l.head.Store(&Head{noted.Seq, last.Hash}) // no number is used twice
	case found != "" && found != noted.Hash, found == "" && noted.Seq >= t.first.Seq:
		l.broken("entry "+strconv.FormatUint(noted.Seq, 10)+" is not the one that the head names", last, noted)
	}
}

// broken writes down that the log is not what it was.
func (l *Log) broken(what string, last, noted Head) {
	l.o.Log.Error("the audit log was changed or has lost entries", "err", errors.New(what))
	detail := map[string]any{"last": last.Seq, "hash": last.Hash}
	if noted.Seq > 0 {
		detail["headSeq"], detail["headHash"] = noted.Seq, noted.Hash
	}
	l.owe(Broken, what, detail)
}

// span is the beginning of a sentence about a run of entries.
func span(from, to uint64) string {
	if from == to {
		return fmt.Sprintf("entry %d is", from)
	}
	return fmt.Sprintf("entries %d to %d are", from, to)
}

// goOn writes what is owed, and a head that lags. Where that is impossible now,
// as on a full disk, the next append does it.
func (l *Log) goOn(noted Head) {
	err := l.settle()
	if h := *l.head.Load(); err == nil && h.Seq > 0 && h != noted && isHash(h.Hash) {
		err = l.headFile.write(h, l.sync)
	}
	if err != nil {
		l.o.Log.Error("the audit log cannot be written yet", "err", err)
	}
}
