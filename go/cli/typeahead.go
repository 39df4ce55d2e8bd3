package cli

import (
	"sync"
	"time"
)

// maxTypeahead bounds what was typed or pasted and is not sent yet, bytes. A
// person's paste fits, so that the escape sequences work however far the
// program is behind; a pipe is held back at it.
const maxTypeahead = 4 << 20

// typeahead is a bounded queue of bytes between the reader of the terminal,
// which must go on to see escape sequences, and the sender, which waits for the
// node. One goroutine puts, one takes.
type typeahead struct {
	mu     sync.Mutex
	moved  sync.Cond
	queue  []byte
	closed bool // no more will be taken
}

func newTypeahead() *typeahead {
	t := &typeahead{}
	t.moved.L = &t.mu
	return t
}

// put queues p, and waits while the queue is full. It reports false when nobody
// takes any more.
func (t *typeahead) put(p []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.closed && len(t.queue)+len(p) > maxTypeahead && len(t.queue) > 0 {
		t.moved.Wait()
	}
	if t.closed {
		return false
	}
	t.queue = append(t.queue, p...)
	t.moved.Broadcast()
	return true
}

// close wakes both sides for good and drops what is queued.
func (t *typeahead) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed, t.queue = true, nil
	t.moved.Broadcast()
}

// take gives all that is queued, waiting for some. The slice is the caller's.
// It reports false after close. spare is a slice whose storage may be used again.
func (t *typeahead) take(spare []byte) ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.queue) == 0 && !t.closed {
		t.moved.Wait()
	}
	p := t.queue
	t.queue = spare[:0]
	t.moved.Broadcast()
	return p, !t.closed
}

// drained waits until all that was put was taken, but no longer than limit.
func (t *typeahead) drained(limit time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	late := false
	timer := time.AfterFunc(limit, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		late = true
		t.moved.Broadcast()
	})
	defer timer.Stop()
	for len(t.queue) > 0 && !t.closed && !late {
		t.moved.Wait()
	}
}
