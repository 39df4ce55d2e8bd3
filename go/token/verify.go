package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// ErrInvalid is every refusal of a token before its claims count. What it wraps
// beside is for the log of who refuses, never for who sent the token.
var ErrInvalid = errors.New("invalid token")

// Verify checks a compact JWS of the given typ against keys and gives its
// payload and the key that signed it. A key is tried when the token's alg is
// the key's own; one whose ID is the token's kid first, otherwise in order.
// Anything wrong is [ErrInvalid] with the reason.
//
// The payload is not JSON yet: decode it with [DecodeClaims].
func Verify(tok []byte, typ string, keys []PublicKey) (payload []byte, by PublicKey, err error) {
	if typ == "" {
		return nil, PublicKey{}, invalid("no typ was asked for")
	}
	return verify(tok, typ, keys)
}

func verify(tok []byte, typ string, keys []PublicKey) ([]byte, PublicKey, error) {
	p, err := open(tok)
	if err != nil {
		return nil, PublicKey{}, err
	}
	return verifyOpened(p, typ, keys)
}

func verifyOpened(p parts, typ string, keys []PublicKey) ([]byte, PublicKey, error) {
	if p.typ != typ {
		return nil, PublicKey{}, invalid("typ is %.64q and not %q", p.typ, typ)
	}
	fit := candidates(keys, p)
	if len(fit) == 0 {
		spend(p)
		return nil, PublicKey{}, invalid("no key for alg %.64q", p.alg)
	}
	for _, k := range fit {
		if check(p, k.p.alg, k.p.raw) != nil {
			continue
		}
		payload, err := decodePart(p.payload)
		if err != nil {
			return nil, PublicKey{}, err
		}
		return payload, k, nil
	}
	return nil, PublicKey{}, invalid("no signature by one of %d keys", len(fit))
}

// candidates are the keys whose own algorithm the header names and whose
// signatures are as long as this one.
func candidates(keys []PublicKey, p parts) []PublicKey {
	var named, others []PublicKey
	for _, k := range keys {
		switch {
		case k.p == nil || k.p.alg.String() != p.alg || signatureSize(k.p.raw) != len(p.signature):
		case p.kid != "" && k.p.id == p.kid:
			named = append(named, k)
		default:
			others = append(others, k)
		}
	}
	return append(named, others...)
}

// signatureSize is the length of a key's signatures, bytes.
func signatureSize(raw crypto.PublicKey) int {
	if k, ok := raw.(*rsa.PublicKey); ok {
		return k.Size()
	}
	return ed25519.SignatureSize // that of ES256 is the same
}

// check verifies the signature over the bytes as they came, with the key's own
// algorithm: the header's was compared with it before.
func check(p parts, alg jwa.SignatureAlgorithm, key crypto.PublicKey) error {
	verifier, err := jws.NewVerifier(alg)
	if err != nil {
		return err
	}
	return verifier.Verify(p.signed, p.signature, key)
}

// spend does the work of one check, whose outcome is thrown away, so that a
// place without a key that fits takes as long as one with a key.
func spend(p parts) {
	alg := jwa.SignatureAlgorithm(p.alg)
	if key := decoy(alg, len(p.signature)); key != nil {
		_ = check(p, alg, key)
	}
}

// decoy is a public key for an algorithm and a length of signatures, bytes.
func decoy(alg jwa.SignatureAlgorithm, size int) crypto.PublicKey {
	switch alg {
	case jwa.EdDSA: // RFC 8032, 7.1, test 1
		return ed25519.PublicKey(decoyKey("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))
	case jwa.ES256: // RFC 7515, A.3
		point := append([]byte{4}, decoyKey("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")...)
		point = append(point, decoyKey("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")...)
		if key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err == nil {
			return key
		}
	case jwa.RS256: // any odd number of that length
		return &rsa.PublicKey{N: new(big.Int).SetBytes(bytes.Repeat([]byte{0xff}, size)), E: 65537}
	}
	return nil
}

func decoyKey(text string) []byte {
	raw, _ := base64.RawURLEncoding.DecodeString(text) // constants, all valid
	return raw
}

// Hint is the key ID that a token's header names, or "". It proves nothing.
func Hint(tok []byte) string {
	p, err := open(tok)
	if err != nil {
		return ""
	}
	return p.kid
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}
