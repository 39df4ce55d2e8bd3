package session

import (
	"slices"
	"time"

	"etcha/go/keeper"
	"etcha/go/wire"
)

// What is remembered of sessions that are over.
const (
	// rememberFor is how long: at least as long as a client tries to come back.
	rememberFor = 10 * time.Minute
	// rememberMax bounds how many; the oldest go first.
	rememberMax = 2 * wire.MaxSessions
	// finaleMax bounds the output kept of one session, bytes.
	finaleMax = 256 << 10
	// finalesMax bounds the output kept of all sessions, bytes.
	finalesMax = 8 << 20
)

// finale is what is left of a session: how it ended, and the last output that
// its client had not acknowledged. It is not changed.
type finale struct {
	state  keeper.State // Tail: where the kept output starts
	chunks []chunk
}

// chunk is output of one kind.
type chunk struct {
	offset uint64
	kind   keeper.Kind
	data   []byte
}

// newFinale reads what is kept from the keeper's memory.
func newFinale(held *keeper.Session, st keeper.State) *finale {
	f := &finale{state: st}
	from := max(st.Acked, st.Tail)
	if st.Head-min(st.Head, from) > finaleMax {
		from = st.Head - finaleMax
	}
	f.state.Tail = from
	for from < st.Head {
		buf := make([]byte, st.Head-from)
		n, kind, err := held.Read(buf, from)
		if err != nil || n == 0 {
			return f.silent()
		}
		f.chunks = append(f.chunks, chunk{from, kind, buf[:n:n]})
		from += uint64(n)
	}
	return f
}

// silent is the end without the output.
func (f *finale) silent() *finale {
	st := f.state
	st.Tail = st.Head
	return &finale{state: st}
}

func (f *finale) size() int {
	return int(f.state.Head - f.state.Tail)
}

// read is as of keeper.Session.
func (f *finale) read(buf []byte, from uint64) (int, keeper.Kind, error) {
	switch {
	case from == f.state.Head:
		return 0, 0, nil
	case from > f.state.Head:
		return 0, 0, keeper.ErrAhead
	case from < f.state.Tail:
		return 0, 0, keeper.ErrGone
	}
	i, found := slices.BinarySearchFunc(f.chunks, from, func(c chunk, at uint64) int {
		switch {
		case c.offset+uint64(len(c.data)) <= at:
			return -1
		case c.offset > at:
			return 1
		default:
			return 0
		}
	})
	if !found {
		return 0, 0, keeper.ErrGone
	}
	c := f.chunks[i]
	return copy(buf, c.data[from-c.offset:]), c.kind, nil
}

// memory is the sessions that are over, oldest first, within bounds. It is
// guarded by Registry.mu.
type memory struct {
	sessions []*Session
	bytes    int
	stop     func() // stops the timer that forgets; nil: none runs
}

// remember keeps a session that has its finale for a while.
func (r *Registry) remember(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &r.past
	s.past.until = r.o.Now().Add(rememberFor)
	s.past.size = s.finale.Load().size()
	m.sessions = append(m.sessions, s)
	m.bytes += s.past.size
	for _, old := range m.sessions {
		if m.bytes <= finalesMax {
			break
		}
		m.bytes -= old.past.size
		old.past.size = 0
		old.finale.Store(old.finale.Load().silent())
	}
	for len(m.sessions) > rememberMax {
		r.forgetOldest()
	}
	r.forgetLater()
}

// forgetOldest drops the first of the memory. The caller holds mu.
func (r *Registry) forgetOldest() {
	s := r.past.sessions[0]
	r.past.sessions[0] = nil
	r.past.sessions = r.past.sessions[1:]
	r.past.bytes -= s.past.size
	delete(r.sessions, s.id)
}

// forgetLater sets the timer for the oldest, unless one runs. The caller holds mu.
func (r *Registry) forgetLater() {
	if r.past.stop != nil || len(r.past.sessions) == 0 || r.ctx.Err() != nil {
		return
	}
	wait := r.past.sessions[0].past.until.Sub(r.o.Now())
	r.past.stop = r.o.After(max(wait, 0), r.forgetPast)
}

// forgetPast drops what was remembered for long enough.
func (r *Registry) forgetPast() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past.stop = nil
	now := r.o.Now()
	for len(r.past.sessions) > 0 && !now.Before(r.past.sessions[0].past.until) {
		r.forgetOldest()
	}
	r.forgetLater()
}

// forgetAll empties the memory and stops its timer.
func (r *Registry) forgetAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.past.sessions) > 0 {
		r.forgetOldest()
	}
	if r.past.stop != nil {
		r.past.stop()
		r.past.stop = nil
	}
}
