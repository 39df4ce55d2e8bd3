package session

import (
	"fmt"

	"etcha/go/token"
	"etcha/go/wire"
)

// proof is a node's signature over a request token.
type proof struct{ request, token string }

// prove signs that this node received tok and answers with this session, where
// it has so much of the client's input.
func (r *Registry) prove(id string, tok []byte, input uint64) (proof, error) {
	hash := token.RequestHash(tok)
	signed, err := r.o.Prove(wire.ProofClaims{IssuedAt: r.o.Now().Unix(), Node: r.o.NodeID, Session: id, Request: hash, Input: input})
	if err != nil {
		return proof{}, fmt.Errorf("sign proof: %w", err)
	}
	return proof{hash, signed}, nil
}

// proofOf is the proof over tok; that of the opening request is there already.
func (s *Session) proofOf(tok []byte) (string, error) {
	if s.opening.token != "" && s.opening.request == token.RequestHash(tok) {
		return s.opening.token, nil
	}
	// Before the first event is made: what that says is never less.
	p, err := s.r.prove(s.id, tok, s.typing.owner.accepted.Load())
	return p.token, err
}
