package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

// Shapes of the payloads; never changed.
var (
	claimsSchema = schemaOfClaims()
	proofSchema  = schemaOf(reflect.TypeFor[wire.ProofClaims]())
	nodeSchema   = schemaOf(reflect.TypeFor[wire.NodeClaims]())
)

// DecodeClaims reads the payload of a request token whose signature was
// verified. Unknown members are ignored; members that are given twice at any
// depth, that differ from a known one in case only, are of the wrong type, text
// that is not UTF-8, nesting deeper than 32 and anything behind the object are
// an errs.Error of wire.CodeBadRequest. It also is [ErrInvalid].
//
// What is missing is zero: [CheckLife] and the caller decide what is required.
func DecodeClaims(payload []byte) (wire.Claims, error) {
	long, err := checkObject(payload, claimsSchema)
	if err != nil {
		return wire.Claims{}, badClaims(err)
	}
	if long.to-long.from < longData {
		return unmarshal[wire.Claims](payload)
	}
	// encoding/json looks at each byte of a string three times. What a client
	// sends is nearly all of a large token and base64 already.
	rest := slices.Concat(payload[:long.from], payload[long.to:])
	c, err := unmarshal[wire.Claims](rest)
	if err != nil {
		return wire.Claims{}, err
	}
	data, err := base64.StdEncoding.AppendDecode(nil, payload[long.from:long.to])
	if err != nil {
		return wire.Claims{}, badClaims(errors.New(`member "data" is not base64`))
	}
	c.Shell.Data = data
	return c, nil
}

// longData is from where on wire.Shell.Data is decoded apart, bytes of base64.
const longData = 1 << 10

func schemaOfClaims() *schema {
	s := schemaOf(reflect.TypeFor[wire.Claims]())
	s.fields["etchaShell"].fields["data"] = &schema{long: true}
	return s
}

func decode[T any](payload []byte, s *schema) (T, error) {
	if _, err := checkObject(payload, s); err != nil {
		var none T
		return none, badClaims(err)
	}
	return unmarshal[T](payload)
}

func unmarshal[T any](payload []byte) (T, error) {
	var out, none T
	if err := json.Unmarshal(payload, &out); err != nil {
		return none, badClaims(plainJSON(err))
	}
	return out, nil
}

func badClaims(err error) error {
	return errs.New(wire.CodeBadRequest, "the token's claims: %v", err).Because(ErrInvalid)
}

// plainJSON says what encoding/json refused in words without Go's types.
func plainJSON(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("member %q is of a wrong type: %s", kind.Field, kind.Value)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return errSyntax
	}
	return err
}

// CheckLife checks iat, nbf and exp of a request token against now, which for a
// node is [Journal.Now]. They are whole Unix seconds and all required. Refusals
// are an errs.Error:
//
//   - wire.CodeBadRequest when one is missing, they contradict each other, or
//     the token lives longer than wire.MaxTokenLife: signed anew in the same way
//     it would be refused again, so that this is not to be retried
//   - wire.CodeExpired when exp is more than wire.ClockLeeway ago
//   - wire.CodeClockSkew when iat or nbf is more than wire.ClockLeeway ahead
func CheckLife(c wire.Claims, now time.Time) error {
	const (
		leeway  = int64(wire.ClockLeeway / time.Second)
		maxLife = int64(wire.MaxTokenLife / time.Second)
	)
	sec := now.Unix() // whole seconds compare exactly: the claims have no fraction
	switch {
	case c.IssuedAt <= 0 || c.NotBefore <= 0 || c.Expires <= 0:
		return errs.New(wire.CodeBadRequest, "iat, nbf and exp are required")
	case c.Expires <= c.IssuedAt || c.Expires <= c.NotBefore:
		return errs.New(wire.CodeBadRequest, "exp is not after iat and nbf")
	case c.Expires-c.IssuedAt > maxLife:
		return errs.New(wire.CodeBadRequest, "the token lives %d s, at most %d s are accepted", c.Expires-c.IssuedAt, maxLife)
	case c.IssuedAt > sec+leeway || c.NotBefore > sec+leeway:
		ahead := max(c.IssuedAt, c.NotBefore)
		return clockError(wire.CodeClockSkew, "the token is from the future: it counts from %s, here it is %s", ahead, sec)
	case sec >= c.Expires+leeway:
		return clockError(wire.CodeExpired, "the token has expired: it was good until %s, here it is %s", c.Expires, sec)
	}
	return nil
}

func clockError(code wire.Code, format string, claim, now int64) error {
	e := errs.New(code, format, clock(claim), clock(now))
	return e.WithHint("set the clock of one of the two machines")
}

func clock(sec int64) string { return time.Unix(sec, 0).UTC().Format(time.RFC3339) }
