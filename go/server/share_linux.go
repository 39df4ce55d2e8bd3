package server

import (
	"sync"

	"golang.org/x/time/rate"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// Uses of the replay journal by one key: it holds what was used within the life
// of a token, of all keys together, and refuses when it is full. So that a key
// which is in a hurry does not keep the others out, each has a share.
const (
	usesEach  = 500  // a second
	usesBurst = 2000 // at once
	// usersKept bounds the keys that are remembered; beyond it those are forgotten
	// that have their whole burst.
	usersKept = 1024
)

// shares are the keys' shares of the journal.
type shares struct {
	mu   sync.Mutex
	keys map[string]*rate.Limiter // by thumbprint
}

func newShares() *shares { return &shares{keys: map[string]*rate.Limiter{}} }

// take uses one of a key's share; the refusal is of the code limited.
func (s *shares) take(key token.PublicKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := key.Thumbprint()
	l := s.keys[id]
	if l == nil {
		if len(s.keys) >= usersKept {
			s.forget()
		}
		l = rate.NewLimiter(usesEach, usesBurst)
		s.keys[id] = l
	}
	if !l.Allow() {
		return errs.New(wire.CodeLimited, "this key has sent too many requests that count once; %d a second are accepted", usesEach)
	}
	return nil
}

// forget drops the keys that have not been in a hurry.
func (s *shares) forget() {
	for id, l := range s.keys {
		if l.Tokens() >= usesBurst {
			delete(s.keys, id)
		}
	}
}
