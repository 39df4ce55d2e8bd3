package pattern

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"etcha/go/command"
	"etcha/go/token"
	"etcha/go/wire"
)

// Bounds of claims.
const (
	maxText = 1024 // bytes of iss, sub, jti, etchaVersion and of one aud
	maxAud  = 256  // entries
	maxVars = 4096
)

// Events of build that claims are made of.
const (
	eventManifest = "buildManifest"
	eventRunVar   = "runVar_" // and the name of the variable
)

// Claims is the payload of an artifact. Times are Unix seconds unless it says
// otherwise; 0 and empty are missing.
type Claims struct {
	Audience  wire.Audience `json:"aud,omitempty"`
	Expires   int64         `json:"exp,omitempty"`
	IssuedAt  int64         `json:"iat"`
	Issuer    string        `json:"iss,omitempty"`
	ID        string        `json:"jti"`
	NotBefore int64         `json:"nbf"`
	Subject   string        `json:"sub,omitempty"`

	Manifest string                     `json:"etchaBuildManifest,omitempty"`
	Pattern  *Source                    `json:"etchaPattern"`
	RunVars  map[string]json.RawMessage `json:"etchaRunVars,omitempty"`
	Serial   int64                      `json:"etchaSerial"` // Unix milliseconds of the build
	Version  string                     `json:"etchaVersion,omitempty"`
}

// Built is what a build knows beside the Pattern.
type Built struct {
	Events  []command.Emitted // of its build commands, in order
	Now     time.Time
	Version string // of the program that builds
}

// Claims makes the claims of an artifact: the Pattern's own, its files, the
// outputs of etcha:buildManifest, a line each, and of etcha:runVar_NAME, which win
// over runVars as text.
func (p *Pattern) Claims(b Built) (Claims, error) {
	source := p.Source
	c := Claims{
		Audience: p.Audience, IssuedAt: b.Now.Unix(), NotBefore: b.Now.Unix(), Issuer: p.Issuer, ID: p.ID,
		Subject: p.Subject, Pattern: &source, RunVars: maps.Clone(p.RunVars), Serial: b.Now.UnixMilli(), Version: b.Version,
	}
	if c.ID == "" {
		c.ID = token.NewID()
	}
	if p.ExpiresIn > 0 {
		c.Expires = b.Now.Add(p.ExpiresIn).Unix()
	}
	var manifest []string
	for _, e := range b.Events {
		name, isVar := strings.CutPrefix(e.Name, eventRunVar)
		switch {
		case e.Name == eventManifest:
			manifest = append(manifest, e.Output)
		case isVar && name != "":
			raw, err := json.Marshal(e.Output)
			if err != nil {
				return Claims{}, fmt.Errorf("build Pattern: event %s: %w", e.Name, err)
			}
			if c.RunVars == nil {
				c.RunVars = make(map[string]json.RawMessage)
			}
			c.RunVars[name] = raw
		}
	}
	c.Manifest = strings.Join(manifest, "\n")
	if err := c.check(); err != nil {
		return Claims{}, fmt.Errorf("build Pattern: %w", err)
	}
	return c, nil
}

// Sign makes the artifact. What no node would accept is not signed.
func (c Claims) Sign(ctx context.Context, key token.PrivateKey) (string, error) {
	payload, err := json.Marshal(c)
	if err == nil {
		_, err = decodeClaims(payload)
	}
	if err != nil {
		return "", fmt.Errorf("sign artifact: %w", err)
	}
	return key.SignArtifact(ctx, json.RawMessage(payload))
}

// check refuses claims that contradict each other or lack something.
func (c Claims) check() error {
	switch {
	case c.Pattern == nil:
		return errors.New("etchaPattern is missing")
	case c.IssuedAt <= 0 || c.NotBefore <= 0 || c.Serial <= 0:
		return errors.New("iat, nbf and etchaSerial are required")
	case c.Expires < 0 || c.Expires != 0 && (c.Expires <= c.NotBefore || c.Expires <= c.IssuedAt):
		return errors.New("exp is not after iat and nbf")
	case len(c.Audience) > maxAud:
		return fmt.Errorf("aud has %d entries, at most %d", len(c.Audience), maxAud)
	case len(c.RunVars) > maxVars:
		return fmt.Errorf("etchaRunVars has %d names, at most %d", len(c.RunVars), maxVars)
	case c.ID == "":
		return errors.New("jti is missing")
	}
	for _, s := range append([]string{c.Issuer, c.ID, c.Subject, c.Version}, c.Audience...) {
		if len(s) > maxText {
			return fmt.Errorf("%.32q…: %d bytes, at most %d", s, len(s), maxText)
		}
	}
	return c.Pattern.check()
}

// Artifact is a verified artifact.
type Artifact struct {
	Claims  Claims
	Payload json.RawMessage // all claims, for rules and for var jwt
	Key     token.PublicKey // that signed it
}

// Verify checks an artifact: the signature by one of the keys, the shape of its
// claims, and nbf and exp against now with 30 s leeway. The error is
// token.ErrInvalid, or an errs.Error of wire.CodeExpired or wire.CodeClockSkew.
// Who it is for, rules and etchaSerial are the caller's to check.
func Verify(tok []byte, keys []token.PublicKey, now time.Time) (Artifact, error) {
	payload, by, err := token.VerifyArtifact(tok, keys)
	if err != nil {
		return Artifact{}, fmt.Errorf("verify artifact: %w", err)
	}
	c, err := decodeClaims(payload)
	if err != nil {
		return Artifact{}, fmt.Errorf("verify artifact: %w", err)
	}
	if err := token.CheckArtifact(c.NotBefore, c.Expires, now); err != nil {
		return Artifact{}, fmt.Errorf("verify artifact: %w", err)
	}
	return Artifact{Claims: c, Payload: payload, Key: by}, nil
}

// Unverified is what an artifact says that nobody has checked. It is of a type
// of its own, so that it cannot be taken for an [Artifact].
type Unverified struct {
	Claims  Claims
	Payload json.RawMessage
}

// Read gives what an artifact says without checking its signature or times, for a
// person to look at, or after a verifyCommand has. The error is token.ErrInvalid.
func Read(tok []byte) (Unverified, error) {
	payload, err := token.ReadArtifact(tok)
	if err != nil {
		return Unverified{}, fmt.Errorf("read artifact: %w", err)
	}
	c, err := decodeClaims(payload)
	if err != nil {
		return Unverified{}, fmt.Errorf("read artifact: %w", err)
	}
	return Unverified{Claims: c, Payload: payload}, nil
}

func decodeClaims(payload []byte) (Claims, error) {
	c, err := token.DecodeArtifact[Claims](payload)
	if err != nil {
		return Claims{}, err
	}
	if err := c.check(); err != nil {
		return Claims{}, fmt.Errorf("%w: %w", token.ErrInvalid, err)
	}
	return c, nil
}
