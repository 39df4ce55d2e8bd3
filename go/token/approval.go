package token

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

// approvalSchema is the shape of the payload; never changed.
var approvalSchema = schemaOf(reflect.TypeFor[wire.ApprovalClaims]())

// maxApproval bounds a counter-signature, bytes. The longest signature takes
// less than a fifth of it.
const maxApproval = 8 << 10

// SignApproval makes a counter-signature, a token of wire.TypeApproval. The
// claims' ID is filled in; they must pass [CheckApproval] at the moment of iat.
func SignApproval(ctx context.Context, by Signer, c wire.ApprovalClaims) (string, error) {
	c.ID = NewID()
	if err := CheckApproval(c, time.Unix(c.IssuedAt, 0)); err != nil {
		return "", fmt.Errorf("sign approval: %w", err)
	}
	return by.Sign(ctx, wire.TypeApproval, c)
}

// VerifyApproval checks the signature of a counter-signature by one of the keys
// and gives its claims and that key. Anything wrong is [ErrInvalid]; what is
// wrong with the claims alone is an errs.Error of wire.CodeBadRequest too, as of
// [DecodeClaims]. It says nothing about what is approved, for how long and
// whether it was used: see [CheckApproval] and [Journal.Use].
func VerifyApproval(tok []byte, keys []PublicKey) (wire.ApprovalClaims, PublicKey, error) {
	if len(tok) > maxApproval {
		return wire.ApprovalClaims{}, PublicKey{}, invalid("%d bytes, at most %d", len(tok), maxApproval)
	}
	payload, by, err := Verify(tok, wire.TypeApproval, keys)
	if err != nil {
		return wire.ApprovalClaims{}, PublicKey{}, err
	}
	c, err := decode[wire.ApprovalClaims](payload, approvalSchema)
	if err != nil {
		return wire.ApprovalClaims{}, PublicKey{}, err
	}
	return c, by, nil
}

// ReadApproval gives the claims of a counter-signature whose signature nobody
// has checked, to tell the person who hands it on what is wrong with it before
// a node does. Nothing is decided by it. Anything wrong is [ErrInvalid].
func ReadApproval(tok []byte) (wire.ApprovalClaims, error) {
	if len(tok) > maxApproval {
		return wire.ApprovalClaims{}, invalid("%d bytes, at most %d", len(tok), maxApproval)
	}
	p, err := open(tok)
	if err != nil {
		return wire.ApprovalClaims{}, err
	}
	if p.typ != wire.TypeApproval {
		return wire.ApprovalClaims{}, invalid("typ is %.64q and not %q", p.typ, wire.TypeApproval)
	}
	return unverified[wire.ApprovalClaims](tok, approvalSchema)
}

// CheckApproval checks what the claims of a counter-signature say of themselves:
// iat and exp, whole Unix seconds, against now, and the length of jti and sub.
// Refusals are an errs.Error:
//
//   - wire.CodeBadRequest when something is missing or too long, or the
//     counter-signature lives longer than wire.ApprovalLife
//   - wire.CodeExpired when exp is more than wire.ClockLeeway ago
//   - wire.CodeClockSkew when iat is more than wire.ClockLeeway ahead
func CheckApproval(c wire.ApprovalClaims, now time.Time) error {
	const (
		leeway  = int64(wire.ClockLeeway / time.Second)
		maxLife = int64(wire.ApprovalLife / time.Second)
	)
	sec := now.Unix()
	switch {
	case c.IssuedAt <= 0 || c.Expires <= 0 || c.Digest == "":
		return errs.New(wire.CodeBadRequest, "iat, exp and digest are required")
	case len(c.ID) < wire.MinJTI || len(c.ID) > wire.MaxJTI:
		return errs.New(wire.CodeBadRequest, "jti must have %d to %d characters", wire.MinJTI, wire.MaxJTI)
	case len(c.Subject) > wire.MaxSubject:
		return errs.New(wire.CodeBadRequest, "sub must have at most %d bytes", wire.MaxSubject)
	case c.Expires <= c.IssuedAt:
		return errs.New(wire.CodeBadRequest, "exp is not after iat")
	case c.Expires-c.IssuedAt > maxLife:
		return errs.New(wire.CodeBadRequest, "it lives %d s, at most %d s are accepted", c.Expires-c.IssuedAt, maxLife)
	case c.IssuedAt > sec+leeway:
		return clockError(wire.CodeClockSkew, "it is from the future: it counts from %s, here it is %s", c.IssuedAt, sec)
	case sec >= c.Expires+leeway:
		return clockError(wire.CodeExpired, "it has expired: it was good until %s, here it is %s", c.Expires, sec)
	}
	return nil
}
