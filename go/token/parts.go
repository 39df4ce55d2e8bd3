package token

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"

	"github.com/lestrrat-go/jwx/v2/jwa"
)

// maxTokenHeader bounds a token's header before decoding, bytes.
const maxTokenHeader = 1 << 10

// parts are a token taken apart and not trusted.
type parts struct {
	header
	signed    []byte // the header and the payload, encoded
	payload   []byte // encoded
	signature []byte // decoded
}

func open(tok []byte) (parts, error) { return openWithin(tok, maxToken) }

// openWithin is open with another bound, bytes.
func openWithin(tok []byte, most int) (parts, error) {
	if len(tok) > most {
		return parts{}, invalid("%d bytes, at most %d", len(tok), most)
	}
	first, rest, ok := bytes.Cut(tok, []byte{'.'})
	payload, last, ok2 := bytes.Cut(rest, []byte{'.'})
	if !ok || !ok2 { // a fourth part is refused with its dot
		return parts{}, invalid("not three parts")
	}
	if len(first) > maxTokenHeader {
		return parts{}, invalid("header of %d bytes, at most %d", len(first), maxTokenHeader)
	}
	for _, part := range [][]byte{first, payload, last} {
		if err := checkAlphabet(part); err != nil {
			return parts{}, err
		}
	}
	raw, err := decodePart(first)
	if err != nil {
		return parts{}, err
	}
	signature, err := decodePart(last)
	if err != nil {
		return parts{}, err
	}
	h, err := parseHeader(raw)
	if err != nil {
		return parts{}, invalid("header: %w", err)
	}
	if err := checkAlg(h.alg, len(signature)); err != nil {
		return parts{}, err
	}
	return parts{header: h, signed: tok[:len(first)+1+len(payload)], payload: payload, signature: signature}, nil
}

// checkAlg refuses algorithms and lengths of signatures that fit no key.
func checkAlg(alg string, size int) error {
	switch jwa.SignatureAlgorithm(alg) {
	case jwa.EdDSA, jwa.ES256:
		if size == ed25519.SignatureSize {
			return nil
		}
	case jwa.RS256:
		if size >= minRSA/8 && size <= maxRSA/8 {
			return nil
		}
	default:
		return invalid("alg %.64q is not accepted", alg)
	}
	return invalid("a signature of %d bytes for alg %s", size, alg)
}

// checkAlphabet refuses what Go's decoder would pass over: line breaks.
func checkAlphabet(part []byte) error {
	if len(part) == 0 {
		return invalid("an empty part")
	}
	var wrong byte
	for _, c := range part {
		wrong |= notBase64URL[c]
	}
	if wrong != 0 {
		return invalid("a character that is not base64url")
	}
	return nil
}

// notBase64URL is 1 for bytes outside the alphabet of RFC 4648, 5. A table,
// because every byte of every token is looked up; never changed.
var notBase64URL = func() (t [256]byte) {
	for c := range t {
		t[c] = 1
	}
	for _, c := range []byte(alphabet + "-_") {
		t[c] = 0
	}
	return t
}()

// decodePart decodes what is in the alphabet. Bits behind the last byte that are
// not zero are refused: two texts of one token would be two request hashes.
func decodePart(part []byte) ([]byte, error) {
	out := make([]byte, base64.RawURLEncoding.DecodedLen(len(part)))
	n, err := base64.RawURLEncoding.Strict().Decode(out, part)
	if err != nil {
		return nil, invalid("base64url that is not canonical")
	}
	return out[:n], nil
}
