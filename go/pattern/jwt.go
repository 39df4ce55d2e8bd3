package pattern

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"etcha/go/token"
)

// SignJWT is the jsonnet.Options.SignJWT of this program: any claims, typ JWT, at
// most token.MaxArtifact bytes, by a private key's text that is not encrypted.
func SignJWT(ctx context.Context, claims json.RawMessage, key string) (string, error) {
	k, err := token.ParsePrivate(key, func() ([]byte, error) { return nil, errEncrypted })
	if err != nil {
		return "", fmt.Errorf("key: %w", err)
	}
	return k.SignArtifact(ctx, claims)
}

var errEncrypted = errors.New("nobody can be asked for its passphrase here")

// ParseJWT makes the jsonnet.Options.ParseJWT of this program: the signature by
// one of the public keys, and exp and nbf, where there are any, with 30 s leeway.
func ParseJWT(now func() time.Time) func(context.Context, string, []string) (json.RawMessage, error) {
	return func(_ context.Context, tok string, texts []string) (json.RawMessage, error) {
		keys := make([]token.PublicKey, len(texts))
		for i, text := range texts {
			var err error
			if keys[i], err = token.ParsePublic(text); err != nil {
				return nil, fmt.Errorf("key %d: %w", i+1, err)
			}
		}
		payload, _, err := token.VerifyArtifact([]byte(tok), keys)
		if err != nil {
			return nil, err
		}
		life, err := token.DecodeArtifact[struct {
			NotBefore int64 `json:"nbf"`
			Expires   int64 `json:"exp"`
		}](payload)
		if err != nil {
			return nil, err
		}
		if err := token.CheckArtifact(life.NotBefore, life.Expires, now()); err != nil {
			return nil, err
		}
		return payload, nil
	}
}
