package token

import (
	"crypto/subtle"
	"encoding/base64"

	"etcha/go/wire"
)

// VerifyNode checks what a node says of itself: that it is an answer to nonce,
// that the key in it hashes to the node ID in it, and the signature by that key.
// It says nothing about whether that is the right node: the caller compares
// claims.Node with the pin. Anything wrong is [ErrInvalid].
func VerifyNode(tok []byte, nonce string) (wire.NodeClaims, PublicKey, error) {
	claims, err := unverified[wire.NodeClaims](tok, nodeSchema)
	if err != nil {
		return wire.NodeClaims{}, PublicKey{}, err
	}
	key, err := nodeKey(tok, wire.TypeNode, claims.Key, claims.Node)
	if err != nil {
		return wire.NodeClaims{}, PublicKey{}, err
	}
	if nonce == "" || subtle.ConstantTimeCompare([]byte(nonce), []byte(claims.Nonce)) != 1 {
		return wire.NodeClaims{}, PublicKey{}, invalid("the nonce is another")
	}
	return claims, key, nil
}

// VerifyProof checks a node's proof that it received request, the whole token
// of an open, attach or join: the key in it hashes to nodeID, the pin, the
// signature is by that key, and it is over this request. Anything wrong is
// [ErrInvalid]. The caller compares claims.Session with the session it was told.
func VerifyProof(tok []byte, nodeID string, request []byte) (wire.ProofClaims, error) {
	claims, err := unverified[wire.ProofClaims](tok, proofSchema)
	if err != nil {
		return wire.ProofClaims{}, err
	}
	if claims.Node != nodeID {
		return wire.ProofClaims{}, invalid("by node %.64q and not %q", claims.Node, nodeID)
	}
	if _, err := nodeKey(tok, wire.TypeProof, claims.Key, nodeID); err != nil {
		return wire.ProofClaims{}, err
	}
	if claims.Request != RequestHash(request) {
		return wire.ProofClaims{}, invalid("over another request")
	}
	return claims, nil
}

// unverified decodes a token's payload before its signature is checked: the key
// is inside.
func unverified[T any](tok []byte, s *schema) (T, error) {
	var none T
	p, err := open(tok)
	if err != nil {
		return none, err
	}
	payload, err := decodePart(p.payload)
	if err != nil {
		return none, err
	}
	claims, err := decode[T](payload, s)
	if err != nil {
		return none, err
	}
	return claims, nil
}

// nodeKey is the key that encoded holds, after checking that nodeID is its hash
// and that it signed tok.
func nodeKey(tok []byte, typ, encoded, nodeID string) (PublicKey, error) {
	der, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return PublicKey{}, invalid("the node's key is not base64url")
	}
	key, err := parsePKIX(der, "")
	if err != nil {
		return PublicKey{}, invalid("the node's key: %w", err)
	}
	if key.Kind() != KindP256 {
		return PublicKey{}, invalid("the node's key is %s and not %s", key.Kind(), KindP256)
	}
	if nodeID == "" || key.Thumbprint() != nodeID {
		return PublicKey{}, invalid("the key is not that of node %.64q", nodeID)
	}
	if _, _, err := Verify(tok, typ, []PublicKey{key}); err != nil {
		return PublicKey{}, err
	}
	return key, nil
}
