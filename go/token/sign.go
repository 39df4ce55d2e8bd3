package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jws"

	"etcha/go/wire"
)

// maxToken bounds a token, bytes.
const maxToken = wire.MaxBody

// Signer is who signs tokens: a key in memory, or one behind a command or a
// device, which may take long and be cancelled.
type Signer interface {
	Public() PublicKey
	// Sign makes a compact JWS of the claims as JSON, with typ in its header.
	Sign(ctx context.Context, typ string, claims any) (string, error)
}

// Sign makes a compact JWS of claims as JSON. Its header has alg by the key's
// kind, typ, and kid when the key has an ID. More than wire.MaxBody bytes are
// an error: no receiver takes them.
func (k PrivateKey) Sign(typ string, claims any) (string, error) {
	tok, err := k.sign(typ, claims)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	if len(tok) > maxToken {
		return "", fmt.Errorf("sign token: %d bytes, at most %d", len(tok), maxToken)
	}
	return string(tok), nil
}

func (k PrivateKey) sign(typ string, claims any) ([]byte, error) {
	if k.raw == nil {
		return nil, errNoKey
	}
	if typ == "" {
		return nil, errors.New("no typ")
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(headerOut{Alg: k.pub.p.alg.String(), Kid: k.ID(), Typ: typ})
	if err != nil {
		return nil, err
	}
	signer, err := jws.NewSigner(k.pub.p.alg)
	if err != nil {
		return nil, err
	}
	tok := make([]byte, 0, encodedLen(head)+encodedLen(payload)+maxSignature+2)
	tok = base64.RawURLEncoding.AppendEncode(tok, head)
	tok = append(tok, '.')
	tok = base64.RawURLEncoding.AppendEncode(tok, payload)
	signature, err := signer.Sign(tok, k.raw())
	if err != nil {
		return nil, err
	}
	tok = append(tok, '.')
	return base64.RawURLEncoding.AppendEncode(tok, signature), nil
}

// headerOut is the header as it is written, members in the order of their names.
type headerOut struct {
	Alg string `json:"alg"`
	Kid string `json:"kid,omitempty"`
	Typ string `json:"typ"`
}

// maxSignature is the base64url of the longest signature, that of maxRSA bits.
const maxSignature = (maxRSA/8*8 + 5) / 6

func encodedLen(b []byte) int { return base64.RawURLEncoding.EncodedLen(len(b)) }

// Signer is the key as a [Signer]; the context is looked at before signing only.
func (k PrivateKey) Signer() Signer { return keySigner{k} }

type keySigner struct{ key PrivateKey }

func (s keySigner) Public() PublicKey { return s.key.Public() }

func (s keySigner) Sign(ctx context.Context, typ string, claims any) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return s.key.Sign(typ, claims)
}

// RequestHash is the unpadded base64url of the SHA-256 of a whole token.
func RequestHash(tok []byte) string {
	sum := sha256.Sum256(tok)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
