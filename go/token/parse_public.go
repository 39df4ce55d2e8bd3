package token

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"etcha/go/errs"
)

// ParsePublic reads a public key: the own form, PEM (PKIX or PKCS #1) or a line
// of authorized_keys, at most 32 KiB. The ID is that of the own form, or the
// comment of the line where it can be one. A private key, a kind that is not
// supported and anything behind the key are errors, which have a public text
// and often a hint and never repeat the key.
func ParsePublic(text string) (PublicKey, error) {
	k, err := parsePublic(text)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parse public key: %w", err)
	}
	return k, nil
}

func parsePublic(text string) (PublicKey, error) {
	text, err := trimKey(text)
	if err != nil {
		return PublicKey{}, err
	}
	if _, part, ok := isOwn(text); ok {
		if part != partPublic {
			return PublicKey{}, errIsPrivate()
		}
		return parseOwnPublic(text)
	}
	if isPEM(text) {
		block, err := decodePEM(text)
		if err != nil {
			return PublicKey{}, err
		}
		return parsePEMPublic(block)
	}
	return parseAuthorized(text)
}

func parseOwnPublic(text string) (PublicKey, error) {
	o, err := parseOwn(text)
	if err != nil {
		return PublicKey{}, err
	}
	k, err := parsePKIX(o.der, o.id)
	if err != nil {
		return PublicKey{}, err
	}
	return k, sameKind(o.kind, k.Kind())
}

func parsePKIX(der []byte, id string) (PublicKey, error) {
	raw, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, malformed(err)
	}
	return newPublic(raw, id)
}

func parsePEMPublic(block *pem.Block) (PublicKey, error) {
	switch {
	case block.Type == "PUBLIC KEY":
		return parsePKIX(block.Bytes, "")
	case block.Type == "RSA PUBLIC KEY":
		raw, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return PublicKey{}, malformed(err)
		}
		return newPublic(raw, "")
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return PublicKey{}, errIsPrivate()
	default:
		return PublicKey{}, errBlock(block.Type)
	}
}

func parseAuthorized(line string) (PublicKey, error) {
	if strings.ContainsAny(line, "\r\n") {
		return PublicKey{}, &errs.Error{Text: "there is more than one line", Hint: "give each key its own entry"}
	}
	if !strings.ContainsAny(line, " \t") {
		return PublicKey{}, errUnknownForm()
	}
	pub, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return PublicKey{}, errUnknownForm()
	}
	if len(options) > 0 {
		return PublicKey{}, &errs.Error{
			Text: "the authorized_keys line has options, which would not be honoured here",
			Hint: "remove what stands before the key type",
		}
	}
	raw, err := sshPublic(pub)
	if err != nil {
		return PublicKey{}, err
	}
	if checkID(comment) != nil {
		comment = ""
	}
	return newPublic(raw, comment)
}

// sshPublic refuses certificates and security keys: their signatures are of
// another form.
func sshPublic(pub ssh.PublicKey) (crypto.PublicKey, error) {
	switch pub.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSA:
		if c, ok := pub.(ssh.CryptoPublicKey); ok {
			return c.CryptoPublicKey(), nil
		}
	}
	return nil, refused("key type %s is not supported", pub.Type())
}

func malformed(err error) error {
	return &errs.Error{Text: "the key is malformed", Hint: "was it copied whole?", Err: err}
}

func errBlock(kind string) error {
	e := &errs.Error{Text: fmt.Sprintf("a PEM block %q is not a key that is supported", kind)}
	if kind == "CERTIFICATE" {
		e.Hint = "take the key out of it with openssl x509 -noout -pubkey"
	}
	return e
}
