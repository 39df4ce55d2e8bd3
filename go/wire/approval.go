package wire

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
)

// ApprovalClaims is the payload of a counter-signature: whoever signs it agrees
// that the request with this digest is granted once.
type ApprovalClaims struct {
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"` // at most ApprovalLife after iat
	ID       string `json:"jti"`
	Digest   string `json:"digest"` // of an OpenRequest
	Subject  string `json:"sub,omitempty"`
}

// ApprovalNeeded says what a refused open lacks.
type ApprovalNeeded struct {
	Digest string `json:"digest"` // of the request as the node understood it
	Need   int    `json:"need"`   // counter-signatures by different keys, none of them the opener's
	Have   int    `json:"have"`   // of those, valid ones that came along
}

// OpenRequest is what a counter-signature is about. A fresh open with the same
// values has the same digest.
type OpenRequest struct {
	Node    string            `json:"node"`   // node ID
	Source  string            `json:"source"` //
	Opener  string            `json:"opener"` // thumbprint of the opener's key, "SHA256:…"
	Key     string            `json:"key"`    // x of the session's own key (cnf); empty: none
	Process string            `json:"process,omitempty"`
	Command string            `json:"command,omitempty"`
	Args    []string          `json:"args,omitempty"`
	PTY     bool              `json:"pty,omitempty"`
	Detach  bool              `json:"detach,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
}

// NewOpenRequest describes the operation open of these claims.
func NewOpenRequest(node, opener string, c Claims) OpenRequest {
	r := OpenRequest{Node: node, Source: c.Source, Opener: opener}
	if c.Confirm != nil {
		r.Key = c.Confirm.JWK.X
	}
	if sh := c.Shell; sh != nil {
		r.Process, r.Command, r.Args, r.PTY, r.Detach, r.Env = sh.Process, sh.Command, sh.Args, sh.PTY, sh.Detach, sh.Env
	}
	return r
}

// Digest is "SHA256:" and the unpadded base64 of the SHA-256 over the fields in
// their order: each text after its length as 8 bytes, big-endian; a list and a
// map after the number of their entries, the map's in the order of its names; a
// truth value as "1" or "0".
func (r OpenRequest) Digest() string {
	h := sha256.New()
	texts(h, "etcha-open-1", r.Node, r.Source, r.Opener, r.Key, r.Process, r.Command)
	count(h, len(r.Args))
	texts(h, r.Args...)
	texts(h, truth(r.PTY), truth(r.Detach))
	count(h, len(r.Env))
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		texts(h, name, r.Env[name])
	}
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(h.Sum(nil))
}

func texts(h hash.Hash, all ...string) {
	for _, s := range all {
		count(h, len(s))
		h.Write([]byte(s))
	}
}

func count(h hash.Hash, n int) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}

func truth(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
