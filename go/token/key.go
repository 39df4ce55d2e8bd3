package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwa"

	"etcha/go/errs"
)

// errNoKey means that a zero PublicKey or PrivateKey was used.
var errNoKey = errors.New("no key")

// PublicKey is one that signatures are checked with. The zero value has no key
// and verifies nothing. It cannot be compared with ==; see [PublicKey.Equal].
type PublicKey struct {
	_ [0]func()
	p *public
}

type public struct {
	raw   crypto.PublicKey // ed25519.PublicKey, *ecdsa.PublicKey or *rsa.PublicKey
	kind  string
	alg   jwa.SignatureAlgorithm
	id    string
	der   []byte // PKIX
	thumb string
}

func newPublic(raw crypto.PublicKey, id string) (PublicKey, error) {
	kind, alg, err := classify(raw)
	if err != nil {
		return PublicKey{}, err
	}
	if err := checkID(id); err != nil {
		return PublicKey{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(raw)
	if err != nil {
		return PublicKey{}, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	thumb := "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
	return PublicKey{p: &public{raw: raw, kind: kind, alg: alg, id: id, der: der, thumb: thumb}}, nil
}

// IsZero reports whether there is no key.
func (k PublicKey) IsZero() bool { return k.p == nil }

// ID is the key's name as its text form has it, or "". It is for logs and for
// the kid header and proves nothing.
func (k PublicKey) ID() string {
	if k.p == nil {
		return ""
	}
	return k.p.id
}

// Kind is one of [Kinds], or rsa and the bits of another RSA key.
func (k PublicKey) Kind() string {
	if k.p == nil {
		return ""
	}
	return k.p.kind
}

// Thumbprint is "SHA256:" and the unpadded base64 of the SHA-256 of the PKIX
// DER: the form of a node ID. It identifies the key whatever its ID.
func (k PublicKey) Thumbprint() string {
	if k.p == nil {
		return ""
	}
	return k.p.thumb
}

// DER is the PKIX encoding, a copy.
func (k PublicKey) DER() []byte {
	if k.p == nil {
		return nil
	}
	return slices.Clone(k.p.der)
}

// String is the module's own text form, which [ParsePublic] reads.
func (k PublicKey) String() string {
	if k.p == nil {
		return ""
	}
	return ownForm(k.p.kind, partPublic, k.p.der, k.p.id)
}

// Equal reports whether both are the same key, whatever their IDs. Two zero
// values are not equal.
func (k PublicKey) Equal(o PublicKey) bool {
	return k.p != nil && o.p != nil && k.p.thumb == o.p.thumb
}

// PrivateKey signs. The zero value has no key and signs nothing. It prints
// masked; [PrivateKey.Secret] is its text.
type PrivateKey struct {
	pub PublicKey
	// An ed25519.PrivateKey, *ecdsa.PrivateKey or *rsa.PrivateKey. It is behind
	// a function because fmt follows pointers in structs that hold a key
	// unexported (%s of those), where no method of the key can mask it.
	raw func() crypto.Signer
}

func newPrivate(raw crypto.Signer, id string) (PrivateKey, error) {
	pub, err := newPublic(raw.Public(), id)
	if err != nil {
		return PrivateKey{}, err
	}
	return PrivateKey{pub: pub, raw: func() crypto.Signer { return raw }}, nil
}

// Generate makes a key of one of [Kinds]. An empty id is replaced by ten random
// letters and digits.
func Generate(kind, id string) (PrivateKey, error) {
	if id == "" {
		id = randomID()
	}
	raw, err := generate(kind)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("generate %s key: %w", kind, err)
	}
	return newPrivate(raw, id)
}

func generate(kind string) (crypto.Signer, error) {
	switch kind {
	case KindEd25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case KindP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case KindRSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case KindRSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case KindRSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	default:
		return nil, &errs.Error{Text: "unknown kind", Hint: fmt.Sprintf("one of %v", Kinds()), Exit: errs.ExitUsage}
	}
}

// IsZero reports whether there is no key.
func (k PrivateKey) IsZero() bool { return k.raw == nil }

// Public is the other half, with the same ID.
func (k PrivateKey) Public() PublicKey { return k.pub }

// ID is the key's name as its text form has it, or "".
func (k PrivateKey) ID() string { return k.pub.ID() }

// Kind is as [PublicKey.Kind].
func (k PrivateKey) Kind() string { return k.pub.Kind() }

// Secret is the module's own text form, unencrypted, which [ParsePrivate] reads.
func (k PrivateKey) Secret() string {
	der, err := k.pkcs8()
	if err != nil {
		return ""
	}
	return ownForm(k.Kind(), partPrivate, der, k.ID())
}

func (k PrivateKey) pkcs8() ([]byte, error) {
	if k.raw == nil {
		return nil, errNoKey
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.raw())
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return der, nil
}

// String is the text form with the key masked.
func (k PrivateKey) String() string {
	if k.raw == nil {
		return ""
	}
	s := k.Kind() + partPrivate + ":***"
	if id := k.ID(); id != "" {
		s += ":" + id
	}
	return s
}

// Format prints the masked form for every verb.
func (k PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText gives the masked form, to JSON and to slog.
func (k PrivateKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
