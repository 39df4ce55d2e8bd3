package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwa"

	"etcha/go/errs"
)

// Kinds of keys that [Generate] makes.
const (
	KindEd25519 = "ed25519"
	KindP256    = "ecp256"
	KindRSA2048 = "rsa2048"
	KindRSA3072 = "rsa3072"
	KindRSA4096 = "rsa4096"
)

// Sizes of RSA keys that are read, bits. Below, signatures can be forged;
// above, one check costs milliseconds.
const (
	minRSA = 2048
	maxRSA = 8192
)

// Kinds lists the kinds of keys that [Generate] makes, the recommended one first.
func Kinds() []string {
	return []string{KindEd25519, KindP256, KindRSA2048, KindRSA3072, KindRSA4096}
}

// classify names the kind of a public key of the standard library and the one
// algorithm it signs with. It is the gate through which every key comes.
func classify(raw crypto.PublicKey) (kind string, alg jwa.SignatureAlgorithm, err error) {
	switch k := raw.(type) {
	case ed25519.PublicKey:
		return KindEd25519, jwa.EdDSA, checkPoint(k)
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return "", "", refused("elliptic curve %s is not supported", k.Curve.Params().Name)
		}
		return KindP256, jwa.ES256, nil
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		if bits < minRSA || bits > maxRSA {
			return "", "", refused("RSA key of %d bits: %d to %d are supported", bits, minRSA, maxRSA)
		}
		return fmt.Sprintf("rsa%d", bits), jwa.RS256, nil
	default:
		return "", "", refused("key type %s is not supported", typeName(raw))
	}
}

func typeName(raw any) string {
	return strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", raw), "*"), "crypto/")
}

func refused(format string, args ...any) error {
	return &errs.Error{
		Text: fmt.Sprintf(format, args...),
		Hint: "use ed25519, ECDSA P-256 (ecp256) or RSA of at least 2048 bits",
	}
}
