package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
)

// Log is an open audit log. Its methods may be called at the same time.
type Log struct {
	o    Options
	sync func(*os.File) error // makes a file's content durable
	lock *os.File
	head atomic.Pointer[Head] // of the last entry; Seq 0: none

	queueMu sync.Mutex
	queue   []*pending

	// mu is held by whoever writes, through write and sync. Taken before queueMu.
	mu       sync.Mutex
	owed     []*pending // entries of the log's own that are still to be written
	segments []segment  // the oldest first; the last one is open as file
	file     *os.File   // nil before the first entry
	headFile *headFile
	dirty    bool // the file may hold bytes behind its size
	unpruned bool // the last attempt to prune failed
	closed   bool
}

// pending is an entry that waits to be written. Its owner reads e, err and done
// under Log.mu.
type pending struct {
	line lineJSON
	e    Entry
	err  error
	done bool
}

func newPending(e Entry) (*pending, error) {
	line, err := bounded(e)
	if err != nil {
		return nil, err
	}
	return &pending{line: line, e: e}, nil
}

// Append writes an entry, whose Seq, Time and Prev it sets. It is on disk when
// Append returns. Texts of more than 1 KiB are shortened, and further when the
// line would be longer than [MaxEntry]. After an error nothing of the entry is
// in the log; a full disk can be tried again. After Close the error is
// [os.ErrClosed].
func (l *Log) Append(e Entry) (Entry, error) {
	written, errs := l.AppendAll([]Entry{e})
	return written[0], errs[0]
}

// AppendAll is Append for several entries, in their order: as many as can share
// a write do. Each has its own error, nil when it is on disk.
func (l *Log) AppendAll(all []Entry) ([]Entry, []error) {
	written, errs := slices.Clone(all), make([]error, len(all))
	waiting := make([]*pending, len(all))
	for i, e := range all {
		waiting[i], errs[i] = newPending(e)
	}
	l.queueMu.Lock()
	for _, p := range waiting {
		if p != nil {
			l.queue = append(l.queue, p)
		}
	}
	l.queueMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, p := range waiting {
		for p != nil && !p.done {
			l.serve()
		}
		if p != nil {
			errs[i] = p.err
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("append to the audit log: %w", errs[i])
			continue
		}
		written[i] = p.e
	}
	return written, errs
}

// take removes up to maxBatch entries from the queue.
func (l *Log) take() []*pending {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	n := min(len(l.queue), maxBatch)
	batch := l.queue[:n:n]
	l.queue = l.queue[n:]
	if len(l.queue) == 0 {
		l.queue = nil
	}
	return batch
}

// serve writes the log's own entries and then the next of the queue.
func (l *Log) serve() {
	batch := l.take()
	err := l.settle()
	if err == nil {
		err = l.commit(batch)
	}
	for _, p := range batch {
		p.err, p.done = err, true
	}
	if err == nil {
		l.prune()
	}
}

// settle writes the entries that the log owes.
func (l *Log) settle() error {
	if len(l.owed) == 0 {
		return nil
	}
	if err := l.commit(l.owed); err != nil {
		return err
	}
	l.owed = nil
	return nil
}

// commit makes entries durable, all or none.
func (l *Log) commit(batch []*pending) error {
	if l.closed {
		return os.ErrClosed
	}
	if len(batch) == 0 {
		return nil
	}
	data, head, err := l.chain(batch)
	if err != nil {
		return err
	}
	if err := l.makeRoom(int64(len(data)), l.head.Load().Seq+1); err != nil {
		return err
	}
	if err := l.write(data, head); err != nil {
		l.undo()
		return err
	}
	l.current().size += int64(len(data))
	l.head.Store(&head)
	return nil
}

// chain gives the entries their numbers, times and hashes.
func (l *Log) chain(batch []*pending) (data []byte, head Head, err error) {
	head = *l.head.Load()
	now := stamp(l.o.Now())
	for _, p := range batch {
		p.e.Seq, p.e.Time, p.e.Prev = head.Seq+1, now, head.Hash
		p.line.Seq, p.line.Time, p.line.Prev = p.e.Seq, now.Format(timeFormat), p.e.Prev
		line, err := p.line.encode()
		if err != nil {
			return nil, head, err
		}
		head = Head{p.e.Seq, hashOf(line[:len(line)-1])}
		data = append(data, line...)
	}
	return data, head, nil
}

func (l *Log) current() *segment { return &l.segments[len(l.segments)-1] }

// makeRoom begins a segment with the entry of this number when the present one
// is full or there is none, and cuts off what an undo had to leave.
func (l *Log) makeRoom(size int64, seq uint64) error {
	if l.file == nil || l.current().size > 0 && l.current().size+size > l.o.segment {
		return l.begin(seq)
	}
	if !l.dirty {
		return nil
	}
	if err := l.file.Truncate(l.current().size); err != nil {
		return err
	}
	l.dirty = false
	return nil
}

// begin makes a new segment the present one.
func (l *Log) begin(seq uint64) error {
	if l.dirty {
		if err := l.file.Truncate(l.current().size); err != nil {
			return err
		}
		l.dirty = false
	}
	f, err := openFile(segmentPath(l.o.Dir, seq), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	if err := syncDir(l.o.Dir); err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return err
	}
	if l.file != nil {
		_ = l.file.Close() // everything in it was synced
	}
	l.file = f
	l.segments = append(l.segments, segment{first: seq})
	return nil
}

// write takes the lines to the disk and then the head: never the other way round.
func (l *Log) write(data []byte, head Head) error {
	if _, err := l.file.WriteAt(data, l.current().size); err != nil {
		return err
	}
	if err := l.sync(l.file); err != nil {
		return err
	}
	return l.headFile.write(head, l.sync)
}

// undo takes back a write that failed. What it cannot take back now the next
// commit does, before it writes.
func (l *Log) undo() {
	if h := *l.head.Load(); h.Seq > 0 {
		_ = l.headFile.write(h, l.sync)
	}
	l.dirty = l.file.Truncate(l.current().size) != nil || l.sync(l.file) != nil
}

// Head is the number and hash of the last entry; 0 and "" before the first.
func (l *Log) Head() (seq uint64, hash string) {
	h := l.head.Load()
	return h.Seq, h.Hash
}

// Close closes the log. It waits for appends that are being written; later ones
// get [os.ErrClosed].
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	return l.release()
}

func (l *Log) path(name string) string { return filepath.Join(l.o.Dir, name) }
