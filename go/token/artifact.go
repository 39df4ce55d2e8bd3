package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

// TypeArtifact is the typ header of an artifact: a built Pattern. Unlike the
// tokens between a client and a node it is that of a plain JWT, so that other
// tools read and make it; no kind of request is accepted as one, or the reverse.
const TypeArtifact = "JWT"

// Bounds of an artifact.
const (
	// MaxArtifact bounds an artifact, bytes.
	MaxArtifact = 32 << 20
	// ArtifactLeeway is how far clocks may differ when exp and nbf are checked.
	ArtifactLeeway = 30 * time.Second
)

// SignArtifact makes an artifact of claims as JSON, a compact JWS. The key is one
// in memory: others bound what they sign as [Signer] does.
func (k PrivateKey) SignArtifact(ctx context.Context, claims any) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("sign artifact: %w", err)
	}
	tok, err := k.sign(TypeArtifact, claims)
	if err != nil {
		return "", fmt.Errorf("sign artifact: %w", err)
	}
	if len(tok) > MaxArtifact {
		return "", fmt.Errorf("sign artifact: %d bytes, at most %d", len(tok), MaxArtifact)
	}
	return string(tok), nil
}

// VerifyArtifact checks the signature of an artifact by one of the keys and gives
// its payload and that key; white space around the token is passed over, as files
// have it. Anything wrong is [ErrInvalid]. The payload is not JSON yet: see
// [DecodeArtifact].
func VerifyArtifact(tok []byte, keys []PublicKey) (payload []byte, by PublicKey, err error) {
	p, err := openWithin(bytes.TrimSpace(tok), MaxArtifact)
	if err != nil {
		return nil, PublicKey{}, err
	}
	return verifyOpened(p, TypeArtifact, keys)
}

// ReadArtifact gives the payload of an artifact whose signature nobody has
// checked, for a person to look at. Nothing is decided by it. Anything wrong is
// [ErrInvalid].
func ReadArtifact(tok []byte) ([]byte, error) {
	p, err := openWithin(bytes.TrimSpace(tok), MaxArtifact)
	if err != nil {
		return nil, err
	}
	if p.typ != TypeArtifact {
		return nil, invalid("typ is %.64q and not %q", p.typ, TypeArtifact)
	}
	return decodePart(p.payload)
}

// DecodeArtifact reads an artifact's payload into a struct, strictly: members
// that are given twice, unknown in case only, or of a wrong type, text that is
// not UTF-8, nesting deeper than 32 and anything behind the object are
// [ErrInvalid]. Unknown members are ignored.
func DecodeArtifact[T any](payload []byte) (T, error) {
	return decode[T](payload, schemaOf(reflect.TypeFor[T]()))
}

// CheckArtifact checks nbf and exp of an artifact, Unix seconds, against now,
// with [ArtifactLeeway]; 0 is no bound. Refusals are an errs.Error of
// wire.CodeExpired or wire.CodeClockSkew.
func CheckArtifact(notBefore, expires int64, now time.Time) error {
	const leeway = int64(ArtifactLeeway / time.Second)
	sec := now.Unix()
	switch {
	case notBefore < 0 || expires < 0:
		return badClaims(errors.New("nbf and exp are times after 1970"))
	case notBefore > sec+leeway:
		return artifactClock(wire.CodeClockSkew, "the artifact is not valid before %s, here it is %s", notBefore, sec)
	case expires != 0 && sec >= expires+leeway:
		return artifactClock(wire.CodeExpired, "the artifact has expired: it was good until %s, here it is %s", expires, sec)
	}
	return nil
}

func artifactClock(code wire.Code, format string, claim, now int64) error {
	return errs.New(code, format, clock(claim), clock(now)).WithHint("build it again, or set the clock")
}
