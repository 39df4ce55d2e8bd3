package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"

	"etcha/go/errs"
	"etcha/go/wire"
)

// Values of a session key's JWK (RFC 8037, 2).
const (
	jwkType  = "OKP"
	jwkCurve = "Ed25519"
)

// NewConfirm makes a session's own key and the cnf claim with its public half.
// The key has no ID: a session has one, and shorter tokens.
func NewConfirm() (PrivateKey, wire.Confirmation, error) {
	raw, err := generate(KindEd25519)
	if err != nil {
		return PrivateKey{}, wire.Confirmation{}, err
	}
	key, err := newPrivate(raw, "")
	if err != nil {
		return PrivateKey{}, wire.Confirmation{}, err
	}
	pub, ok := key.pub.p.raw.(ed25519.PublicKey)
	if !ok {
		return PrivateKey{}, wire.Confirmation{}, errors.New("session key is not ed25519")
	}
	jwk := wire.JWK{KeyType: jwkType, Curve: jwkCurve, X: base64.RawURLEncoding.EncodeToString(pub)}
	return key, wire.Confirmation{JWK: jwk}, nil
}

// ConfirmKey is the key of a cnf claim. Anything but an Ed25519 point in
// canonical unpadded base64url is an errs.Error of wire.CodeBadRequest, and so
// is a nil claim.
func ConfirmKey(c *wire.Confirmation) (PublicKey, error) {
	if c == nil {
		return PublicKey{}, badConfirm("is missing")
	}
	if c.JWK.KeyType != jwkType || c.JWK.Curve != jwkCurve {
		return PublicKey{}, badConfirm("kty and crv are %.16q and %.16q, not %q and %q", c.JWK.KeyType, c.JWK.Curve, jwkType, jwkCurve)
	}
	if len(c.JWK.X) != base64.RawURLEncoding.EncodedLen(ed25519.PublicKeySize) {
		return PublicKey{}, badConfirm("x is not %d bytes in base64url", ed25519.PublicKeySize)
	}
	raw, err := decodePart([]byte(c.JWK.X))
	if err != nil {
		return PublicKey{}, badConfirm("x is not base64url")
	}
	key, err := newPublic(ed25519.PublicKey(raw), "")
	if err != nil {
		return PublicKey{}, badConfirm("%v", err)
	}
	return key, nil
}

func badConfirm(format string, args ...any) error {
	e := errs.New(wire.CodeBadRequest, format, args...)
	e.Text = "the token's cnf: " + e.Text
	return e
}
