package session

import "sync"

// happenings are what a registry's observer was told.
type happenings struct {
	mu  sync.Mutex
	all []Happening
}

func (h *happenings) add(one Happening) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, one)
}

// of are those of one kind.
func (h *happenings) of(k Kind) []Happening {
	h.mu.Lock()
	defer h.mu.Unlock()
	var some []Happening
	for _, one := range h.all {
		if one.Kind == k {
			some = append(some, one)
		}
	}
	return some
}

// kinds are all kinds of a session in order.
func (h *happenings) kinds(session string) (all []Kind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range h.all {
		if one.Info.Session == session {
			all = append(all, one.Kind)
		}
	}
	return all
}
