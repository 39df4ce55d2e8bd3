package token

import (
	"crypto/rand"
	"encoding/base64"

	"etcha/go/errs"
)

const (
	idLength   = 10 // characters of a random key ID
	maxIDBytes = 128
	alphabet   = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// randomID is a key ID: it need not be secret, only differ from the others.
func randomID() string {
	out := make([]byte, 0, idLength)
	var b [2 * idLength]byte
	for len(out) < idLength {
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		for _, c := range b {
			// Values from 248 on would make some letters likelier.
			if int(c) < 4*len(alphabet) && len(out) < idLength {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// checkID refuses key IDs that a text form, a header or a log could not carry
// as they are.
func checkID(id string) error {
	if len(id) > maxIDBytes {
		return &errs.Error{Text: "key ID is too long", Hint: "at most 128 characters"}
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c <= ' ' || c > '~', c == ':', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return &errs.Error{
				Text: "key ID has a character that is not allowed",
				Hint: `printable ASCII without space and : " \ < > &`,
			}
		}
	}
	return nil
}

// NewID makes a jti: 128 random bits in unpadded base64url.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}
