package token

import (
	"encoding/base64"
	"encoding/pem"
	"strings"

	"etcha/go/errs"
)

// maxKeyText bounds a key's text, bytes. The largest, an RSA key of 8192 bits
// as encrypted PEM, takes about 9 KiB.
const maxKeyText = 32 << 10

// Second half of the word before the first colon of the own form.
const (
	partPublic    = "public"
	partPrivate   = "private"
	partEncrypted = "private-encrypted"
)

func ownForm(kind, part string, der []byte, id string) string {
	s := kind + part + ":" + base64.StdEncoding.EncodeToString(der)
	if id != "" {
		s += ":" + id
	}
	return s
}

// own is a key in the own form, taken apart.
type own struct {
	kind, part string
	der        []byte
	id         string
}

// isOwn reports whether text is meant to be the own form, and which part of it.
func isOwn(text string) (kind, part string, ok bool) {
	word, _, found := strings.Cut(text, ":")
	if !found {
		return "", "", false
	}
	for _, part := range []string{partPublic, partPrivate, partEncrypted} {
		if kind, ok := strings.CutSuffix(word, part); ok && kind != "" && isWord(kind) {
			return kind, part, true
		}
	}
	return "", "", false
}

func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// parseOwn takes text apart that [isOwn] accepted.
func parseOwn(text string) (own, error) {
	kind, part, _ := isOwn(text)
	_, rest, _ := strings.Cut(text, ":")
	body, id, hasID := strings.Cut(rest, ":")
	if strings.ContainsAny(body, "\r\n") {
		return own{}, &errs.Error{Text: "the key is not on one line"}
	}
	der, err := base64.StdEncoding.Strict().DecodeString(body)
	if err != nil || len(der) == 0 {
		return own{}, &errs.Error{Text: "the key after the first colon is not base64", Hint: "was it copied whole?"}
	}
	if hasID && id == "" {
		return own{}, &errs.Error{Text: "the key ends in a colon without an ID"}
	}
	if err := checkID(id); err != nil {
		return own{}, err
	}
	return own{kind: kind, part: part, der: der, id: id}, nil
}

// sameKind compares what the text says with what the key is.
func sameKind(said, is string) error {
	if said != is {
		return &errs.Error{Text: "the key says it is " + said + " and is " + is}
	}
	return nil
}

// trimKey bounds and trims a key's text.
func trimKey(text string) (string, error) {
	if len(text) > maxKeyText {
		return "", &errs.Error{Text: "the text is too long for a key"}
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return "", &errs.Error{Text: "the key is empty"}
	}
	return text, nil
}

func isPEM(text string) bool { return strings.HasPrefix(text, "-----BEGIN ") }

// decodePEM gives the one block of text. An "EC PARAMETERS" block, which
// openssl writes before an EC key, is passed over.
func decodePEM(text string) (*pem.Block, error) {
	rest := []byte(text)
	var block *pem.Block
	for len(rest) > 0 {
		if !strings.HasPrefix(string(rest), "-----BEGIN ") {
			return nil, &errs.Error{Text: "there is more than the PEM block"}
		}
		b, after := pem.Decode(rest)
		if b == nil {
			return nil, &errs.Error{Text: "the PEM block is malformed", Hint: "was it copied whole, with its BEGIN and END lines?"}
		}
		rest = []byte(strings.TrimSpace(string(after)))
		if b.Type == "EC PARAMETERS" && block == nil {
			continue
		}
		if block != nil {
			return nil, &errs.Error{Text: "there is more than one PEM block"}
		}
		block = b
	}
	if block == nil {
		return nil, &errs.Error{Text: "there is no key in the PEM text"}
	}
	return block, nil
}

// Errors of taking one half of a key for the other. They never show it.
func errIsPrivate() error {
	return &errs.Error{
		Text: "this is a private key; its public half is wanted here",
		Hint: "keep a private key where it was made, and give this place the matching public key",
	}
}

func errIsPublic() error {
	return &errs.Error{Text: "this is a public key; the private one is wanted here"}
}

func errUnknownForm() error {
	return &errs.Error{
		Text: "this is no form of a key",
		Hint: "a key is etcha's own text (ed25519public:…), PEM, or OpenSSH's",
	}
}
