package audit

import "os"

// prunedSegment is the detail of a Pruned entry about a segment.
type prunedSegment struct {
	File  string `json:"file"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"` // number and hash of its last entry
	Hash  string `json:"hash"`
}

func (p prunedSegment) detail() map[string]any {
	return map[string]any{"file": p.File, "first": p.First, "last": p.Last, "hash": p.Hash}
}

// prune removes the oldest segments while the log is over its limit. A failure
// is logged once and tried again with the next entry.
func (l *Log) prune() {
	for l.o.MaxSize > 0 && len(l.segments) > 1 && l.total() > l.o.MaxSize {
		err := l.pruneOldest()
		if err == nil {
			l.unpruned = false
			continue
		}
		if !l.unpruned {
			l.o.Log.Error("the oldest segment of the audit log cannot be removed", "err", err)
		}
		l.unpruned = true
		return
	}
}

func (l *Log) total() int64 {
	var n int64
	for _, s := range l.segments {
		n += s.size
	}
	return n
}

// pruneOldest says that the oldest segment goes, and removes it. When the
// process dies between the two, it is said and done again.
func (l *Log) pruneOldest() error {
	first := l.segments[0].first
	path := segmentPath(l.o.Dir, first)
	t, err := readTail(path, 0)
	if err != nil {
		return err
	}
	p, err := newPending(Entry{Event: Pruned, Reason: "the log is over its size", Detail: prunedSegment{
		File: segmentName(first), First: first, Last: t.last.Seq, Hash: t.hash,
	}.detail()})
	if err != nil {
		return err
	}
	if err := l.commit([]*pending{p}); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	_ = os.Remove(path + tornSuffix)
	l.segments = l.segments[1:]
	return syncDir(l.o.Dir)
}
