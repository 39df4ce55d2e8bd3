package keeper

import "fmt"

// find gives a session that runs or is remembered.
func (s *server) find(id string) (*held, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[id]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("session %q: %w", id, ErrNotFound)
}

// reserve takes an ID for a session that is about to start. Either settle or
// vacate follows.
func (s *server) reserve(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || s.leaving {
		return ErrStopping
	}
	if s.frozen {
		return ErrUnsettled
	}
	if _, taken := s.held[id]; taken {
		return ErrExists
	}
	if len(s.held) >= maxHeld {
		return fmt.Errorf("%w: there are %d sessions already", ErrInvalid, len(s.held))
	}
	s.held[id] = nil
	s.starting++
	return nil
}

// settle puts a session in its reserved place.
func (s *server) settle(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[h.id] = h
	s.startedOne()
}

// vacate gives an ID back whose session did not start.
func (s *server) vacate(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, id)
	s.startedOne()
	s.checkVacant()
}

// startedOne counts a start as done. The caller holds mu.
func (s *server) startedOne() {
	s.starting--
	if s.starting == 0 && s.stopping {
		close(s.quiet)
	}
}

// remove gives up a session that is forgotten.
func (s *server) remove(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[h.id] == h { // not a later one
		delete(s.held, h.id)
	}
	s.checkVacant()
}
