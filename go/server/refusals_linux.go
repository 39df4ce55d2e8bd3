package server

import (
	"sync"
	"time"

	"etcha/go/audit"
)

// Whoever holds a key can have requests refused as fast as the network goes. The
// audit log takes so many of a key in a time one by one, and then says how many
// more there were: otherwise one key could push out everything before, and keep
// those waiting who open a session.
const (
	refusalsEach = 32
	refusalsIn   = time.Minute
)

// refusals decides which refusals are written down one by one. The rest is
// counted, and told by tell when the time of its key is over, or by flush.
type refusals struct {
	after func(time.Duration, func()) (stop func() bool)
	tell  func(audit.Entry)

	mu sync.Mutex
	by map[string]*tally // by the key's thumbprint
}

// tally is the refusals of one key in its present time.
type tally struct {
	written, more int
	key           string // as entries have it
	stop          func() bool
}

func newRefusals(tell func(audit.Entry)) *refusals {
	return &refusals{
		after: func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop },
		tell:  tell, by: map[string]*tally{},
	}
}

// take reports whether a refusal of the key with this thumbprint is written down;
// otherwise it is counted.
func (r *refusals) take(thumbprint, key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.by[thumbprint]
	if t == nil {
		t = &tally{key: key}
		r.by[thumbprint] = t
		t.stop = r.after(refusalsIn, func() { r.end(thumbprint, t) })
	}
	if t.written < refusalsEach {
		t.written++
		return true
	}
	t.more++
	return false
}

// end tells what was counted of a key, whose time is over.
func (r *refusals) end(thumbprint string, t *tally) {
	r.mu.Lock()
	if r.by[thumbprint] == t {
		delete(r.by, thumbprint)
	}
	more := t.more
	t.more = 0
	r.mu.Unlock()
	if more > 0 {
		r.tell(audit.Entry{Event: audit.Refused, Key: t.key, Reason: "more", Detail: map[string]any{"refused": more}})
	}
}

// flush ends the time of all keys.
func (r *refusals) flush() {
	r.mu.Lock()
	all := r.by
	r.by = map[string]*tally{}
	r.mu.Unlock()
	for thumbprint, t := range all {
		t.stop()
		r.end(thumbprint, t)
	}
}
