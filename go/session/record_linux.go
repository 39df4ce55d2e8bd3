package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"etcha/go/authz"
	"etcha/go/keeper"
	"etcha/go/token"
	"etcha/go/wire"
)

// record is what the keeper remembers of a session for the next daemon. It holds
// no argument, no environment and no secret.
type record struct {
	Version int                `json:"version"`
	Grant   authz.Record       `json:"grant"`
	User    string             `json:"user"`              // account that the program runs as
	Confirm *wire.Confirmation `json:"confirm,omitempty"` // the session's own key
}

// recordVersion is raised when a field changes its meaning.
const recordVersion = 1

// errRecord means that a session's record cannot be used.
var errRecord = errors.New("unusable record")

func (r record) encode() ([]byte, error) {
	r.Version = recordVersion
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode session record: %w", err)
	}
	return b, nil
}

// decodeRecord is strict: what it does not understand was not written by this
// version, and nobody may act by it. The errors are errRecord.
func decodeRecord(b []byte) (record, error) {
	if len(b) > keeper.MaxMeta {
		return record{}, fmt.Errorf("%w: %d bytes", errRecord, len(b))
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var r record
	if err := dec.Decode(&r); err != nil {
		return record{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return record{}, fmt.Errorf("%w: something follows it", errRecord)
	}
	if r.Version != recordVersion {
		return record{}, fmt.Errorf("%w: version %d", errRecord, r.Version)
	}
	if _, err := r.confirmKey(); err != nil {
		return record{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	return r, nil
}

// confirmKey is the session's own key, the zero one when there is none.
func (r record) confirmKey() (token.PublicKey, error) {
	if r.Confirm == nil {
		return token.PublicKey{}, nil
	}
	return token.ConfirmKey(r.Confirm)
}
