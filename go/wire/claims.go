package wire

import (
	"encoding/json"
	"errors"
)

// The typ header of each kind of token. No kind is accepted as another.
const (
	TypeRequest = "etcha-request+jwt"
	TypeProof   = "etcha-proof+jwt"
	TypeNode    = "etcha-node+jwt"
	// TypeApproval is a counter-signature over [ApprovalClaims].
	TypeApproval = "etcha-approval+jwt"
)

// Audience is the aud claim: a string or a list of strings (RFC 7519, 4.1.3).
type Audience []string

// Contains reports whether id is one of the audience.
func (a Audience) Contains(id string) bool {
	for _, s := range a {
		if s == id {
			return true
		}
	}
	return false
}

// MarshalJSON writes one value as a string and several as a list.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// ErrAudience means that an aud claim is neither a string nor a list of strings.
var ErrAudience = errors.New("aud is neither a string nor a list of strings")

// UnmarshalJSON accepts a string or a list of strings, else [ErrAudience].
func (a *Audience) UnmarshalJSON(b []byte) error {
	// Pointers tell null, which fits anything, from a string.
	var one *string
	if json.Unmarshal(b, &one) == nil && one != nil {
		*a = Audience{*one}
		return nil
	}
	var many []*string
	if json.Unmarshal(b, &many) != nil || many == nil {
		return ErrAudience
	}
	list := make(Audience, len(many))
	for i, s := range many {
		if s == nil {
			return ErrAudience
		}
		list[i] = *s
	}
	*a = list
	return nil
}

// Claims is the payload of a request token. Times are Unix seconds.
type Claims struct {
	Audience  Audience      `json:"aud,omitempty"`
	IssuedAt  int64         `json:"iat"`
	NotBefore int64         `json:"nbf"`
	Expires   int64         `json:"exp"`
	ID        string        `json:"jti,omitempty"`
	Subject   string        `json:"sub,omitempty"`
	Source    string        `json:"source,omitempty"`
	Session   string        `json:"session,omitempty"`
	Confirm   *Confirmation `json:"cnf,omitempty"`
	Shell     *Shell        `json:"etchaShell,omitempty"`
	// Approvals are the counter-signatures of an open: JWTs of TypeApproval.
	Approvals []string `json:"approvals,omitempty"`
	// Pad brings a token to a multiple of PadStep bytes; its content is ignored.
	Pad string `json:"pad,omitempty"`
}

// Confirmation carries the public half of a session's own key (RFC 7800, 3.2).
type Confirmation struct {
	JWK JWK `json:"jwk"`
}

// JWK is an Ed25519 public key (RFC 8037, 2): kty "OKP", crv "Ed25519".
type JWK struct {
	KeyType string `json:"kty"`
	Curve   string `json:"crv"`
	X       string `json:"x"` // unpadded base64url of the 32 bytes
}

// ProofClaims is what a node signs in answer to open, attach and join.
type ProofClaims struct {
	IssuedAt int64  `json:"iat"`
	Node     string `json:"node"`    // node ID
	Session  string `json:"session"` // session ID
	Request  string `json:"request"` // unpadded base64url of the SHA-256 of the whole request token
	Key      string `json:"key"`     // identity key, unpadded base64url of the PKIX DER: who has only the ID can check
	// Input is how many bytes of the client's input the node had. The first event
	// must not say less: the client would begin with bytes that the node takes for
	// ones it has, and drops.
	Input uint64 `json:"input,omitempty"`
}

// NodeClaims is what a node signs at [PathNode].
type NodeClaims struct {
	IssuedAt int64  `json:"iat"`      // the node's clock, Unix seconds
	Nonce    string `json:"nonce"`    // as sent, at most MaxNonce bytes
	Node     string `json:"node"`     // node ID
	Key      string `json:"key"`      // identity key, unpadded base64url of the PKIX DER
	Protocol int    `json:"protocol"` // Protocol
	Version  string `json:"version,omitempty"`
}

// NodeAnswer is the body of the answer at [PathNode].
type NodeAnswer struct {
	Token string `json:"token"` // a JWT of type TypeNode over NodeClaims
}
