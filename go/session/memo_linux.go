package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"etcha/go/authz"
	"etcha/go/keeper"
	"etcha/go/token"
	"etcha/go/wire"
)

// record is what the keeper remembers of a session for the next daemon. Its grant
// holds what the client asked for, arguments and variables, as rules are asked
// about them again: it is never logged.
type memo struct {
	Version int                `json:"version"`
	Grant   authz.Record       `json:"grant"`
	User    string             `json:"user"`              // account that the program runs as
	Confirm *wire.Confirmation `json:"confirm,omitempty"` // the session's own key
	Owner   *owner             `json:"owner,omitempty"`   // who took the session over; nil: the opener has it
	Title   string             `json:"title,omitempty"`
	Term    string             `json:"term,omitempty"`
	Cols    uint16             `json:"cols,omitempty"`
	Rows    uint16             `json:"rows,omitempty"`
	// Bytes and Seqs tell the input and the control operations of those who
	// joined from the owner's own.
	Bytes     share          `json:"bytes,omitzero"`
	Seqs      share          `json:"seqs,omitzero"`
	Recording *recordingNote `json:"recording,omitempty"` // nil: it is not recorded
	Told      bool           `json:"told,omitempty"`      // its end was counted and told by a daemon
}

// owner is who has a session that another key opened.
type owner struct {
	Key     string     `json:"key"` // etcha form
	Subject string     `json:"subject,omitempty"`
	Addr    netip.Addr `json:"addr"`
}

// recordingNote is what the next daemon must know to go on recording.
type recordingNote struct {
	Mode string `json:"mode"` // "output", "full"
	Must bool   `json:"must,omitempty"`
}

// share tells which part of a count that the keeper keeps for a whole session is
// that of the people who joined. What somebody who joined does next is written
// down before it is done, so that wherever a daemon dies the next one finds out
// from the keeper's count how much of it was done: at no count both the owner's
// and a joiner's next step are possible.
type share struct {
	Base uint64 `json:"base,omitempty"` // theirs of the count below From
	From uint64 `json:"from,omitempty"`
	Len  uint64 `json:"len,omitempty"` // theirs from From on, if the count has got there
}

// of is theirs when the keeper's count is n.
func (h share) of(n uint64) uint64 {
	return h.Base + min(n-min(n, h.From), h.Len)
}

// settled reports whether nothing of theirs is outstanding at the count n.
func (h share) settled(n uint64) bool { return n >= h.From+h.Len }

// memoVersion is raised when a field changes its meaning.
const memoVersion = 1

// errMemo means that a session's record cannot be used.
var errMemo = errors.New("unusable record")

func (r memo) encode() ([]byte, error) {
	r.Version = memoVersion
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode session record: %w", err)
	}
	return b, nil
}

// decodeMemo is strict: what it does not understand was not written by this
// version, and nobody may act by it. The errors are errMemo.
func decodeMemo(b []byte) (memo, error) {
	if len(b) > keeper.MaxMeta {
		return memo{}, fmt.Errorf("%w: %d bytes", errMemo, len(b))
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var r memo
	if err := dec.Decode(&r); err != nil {
		return memo{}, fmt.Errorf("%w: %w", errMemo, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return memo{}, fmt.Errorf("%w: something follows it", errMemo)
	}
	if r.Version != memoVersion {
		return memo{}, fmt.Errorf("%w: version %d", errMemo, r.Version)
	}
	_, err := r.keys()
	if err != nil {
		return memo{}, fmt.Errorf("%w: %w", errMemo, err)
	}
	return r, nil
}

// keys are those that a record names.
type keys struct {
	opener, owner authz.Identity
	confirm       token.PublicKey // the session's own, the zero one when there is none
}

func (r memo) keys() (k keys, err error) {
	if k.confirm, err = r.confirmKey(); err != nil {
		return keys{}, err
	}
	k.opener = authz.Identity{Subject: r.Grant.Subject, Addr: r.Grant.Addr}
	if k.opener.Key, err = token.ParsePublic(r.Grant.Key); err != nil {
		return keys{}, fmt.Errorf("opener's key: %w", err)
	}
	k.owner = k.opener
	if r.Owner == nil {
		return k, nil
	}
	k.owner = authz.Identity{Subject: r.Owner.Subject, Addr: r.Owner.Addr}
	if k.owner.Key, err = token.ParsePublic(r.Owner.Key); err != nil {
		return keys{}, fmt.Errorf("owner's key: %w", err)
	}
	return k, nil
}

// confirmKey is the session's own key, the zero one when there is none.
func (r memo) confirmKey() (token.PublicKey, error) {
	if r.Confirm == nil {
		return token.PublicKey{}, nil
	}
	return token.ConfirmKey(r.Confirm)
}

// save has the keeper remember the record as change makes it, and then counts it
// as the present one. On an error the keeper may have either of the two.
func (s *Session) save(ctx context.Context, change func(*memo)) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	rec := s.memo
	s.mu.Unlock()
	change(&rec)
	b, err := rec.encode()
	if err != nil {
		return err
	}
	if err := s.held.SetMeta(ctx, b); err != nil && s.finale.Load() == nil {
		return fmt.Errorf("remember session: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memo = rec
	return nil
}

// remembered is the present record.
func (s *Session) remembered() memo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memo
}
