package token

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"etcha/go/errs"
)

// ErrPassphrase means that a private key was not opened by the passphrase.
var ErrPassphrase = errors.New("wrong passphrase")

// ErrEncrypted means that a private key needs a passphrase and there was no way
// to ask for one.
var ErrEncrypted = errors.New("the private key is encrypted and needs a passphrase")

// ParsePrivate reads a private key: the own form, PEM (PKCS #8, PKCS #1, SEC 1)
// or OpenSSH's, each encrypted or not, at most 32 KiB. The passphrase is asked
// for once, when the key is encrypted; without a function for it the error is
// [ErrEncrypted], with a wrong one [ErrPassphrase]. Only the own form has an ID.
// Errors never repeat the key.
func ParsePrivate(text string, passphrase func() ([]byte, error)) (PrivateKey, error) {
	k, err := parsePrivate(text, passphrase)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("parse private key: %w", err)
	}
	return k, nil
}

func parsePrivate(text string, passphrase func() ([]byte, error)) (PrivateKey, error) {
	text, err := trimKey(text)
	if err != nil {
		return PrivateKey{}, err
	}
	if _, part, ok := isOwn(text); ok {
		if part == partPublic {
			return PrivateKey{}, errIsPublic()
		}
		return parseOwnPrivate(text, passphrase)
	}
	if isPEM(text) {
		block, err := decodePEM(text)
		if err != nil {
			return PrivateKey{}, err
		}
		return parsePEMPrivate(block, passphrase)
	}
	if _, err := parseAuthorized(text); err == nil {
		return PrivateKey{}, errIsPublic()
	}
	return PrivateKey{}, errUnknownForm()
}

func parseOwnPrivate(text string, passphrase func() ([]byte, error)) (PrivateKey, error) {
	o, err := parseOwn(text)
	if err != nil {
		return PrivateKey{}, err
	}
	if o.part == partEncrypted {
		if o.der, err = askAndDecrypt(o.der, passphrase); err != nil {
			return PrivateKey{}, err
		}
	}
	k, err := parsePKCS8(o.der, o.id)
	if err != nil {
		return PrivateKey{}, err
	}
	return k, sameKind(o.kind, k.Kind())
}

func parsePEMPrivate(block *pem.Block, passphrase func() ([]byte, error)) (PrivateKey, error) {
	switch {
	case block.Type == "OPENSSH PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return parseSSHPrivate(block, passphrase)
	case block.Type == "PRIVATE KEY":
		return parsePKCS8(block.Bytes, "")
	case block.Type == "ENCRYPTED PRIVATE KEY":
		der, err := askAndDecrypt(block.Bytes, passphrase)
		if err != nil {
			return PrivateKey{}, err
		}
		return parsePKCS8(der, "")
	case block.Type == "RSA PRIVATE KEY":
		return wrapPrivate(x509.ParsePKCS1PrivateKey(block.Bytes))
	case block.Type == "EC PRIVATE KEY":
		return wrapPrivate(x509.ParseECPrivateKey(block.Bytes))
	case strings.HasSuffix(block.Type, "PUBLIC KEY"):
		return PrivateKey{}, errIsPublic()
	default:
		return PrivateKey{}, errBlock(block.Type)
	}
}

func wrapPrivate[K crypto.Signer](raw K, err error) (PrivateKey, error) {
	if err != nil {
		return PrivateKey{}, malformed(err)
	}
	return newPrivate(raw, "")
}

func parsePKCS8(der []byte, id string) (PrivateKey, error) {
	var whole asn1.RawValue
	rest, err := asn1.Unmarshal(der, &whole)
	if err != nil {
		return PrivateKey{}, malformed(err)
	}
	if len(rest) > 0 {
		return PrivateKey{}, malformed(errors.New("there is more than the key"))
	}
	raw, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return PrivateKey{}, malformed(err)
	}
	signer, ok := raw.(crypto.Signer)
	if !ok {
		return PrivateKey{}, refused("key type %s is not supported", typeName(raw))
	}
	return newPrivate(signer, id)
}

// parseSSHPrivate reads OpenSSH's format and PEM encrypted in the older way.
func parseSSHPrivate(block *pem.Block, passphrase func() ([]byte, error)) (PrivateKey, error) {
	text := pem.EncodeToMemory(block)
	if text == nil {
		return PrivateKey{}, malformed(errors.New("malformed PEM header"))
	}
	raw, err := ssh.ParseRawPrivateKey(text)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		word, askErr := ask(passphrase)
		if askErr != nil {
			return PrivateKey{}, askErr
		}
		raw, err = ssh.ParseRawPrivateKeyWithPassphrase(text, word)
	}
	if errors.Is(err, x509.IncorrectPasswordError) {
		return PrivateKey{}, ErrPassphrase
	}
	if err != nil {
		return PrivateKey{}, malformed(err)
	}
	return fromSSH(raw)
}

func fromSSH(raw any) (PrivateKey, error) {
	if k, ok := raw.(*ed25519.PrivateKey); ok {
		// The file carries the public half too. One that does not belong to
		// the seed would let signatures give the key away.
		whole := ed25519.NewKeyFromSeed(k.Seed())
		if !bytes.Equal(whole, *k) {
			return PrivateKey{}, malformed(errors.New("its halves do not belong together"))
		}
		return newPrivate(whole, "")
	}
	signer, ok := raw.(crypto.Signer)
	if !ok {
		return PrivateKey{}, refused("key type %s is not supported", typeName(raw))
	}
	return newPrivate(signer, "")
}

func askAndDecrypt(der []byte, passphrase func() ([]byte, error)) ([]byte, error) {
	e, err := openEnvelope(der)
	if err != nil {
		return nil, err
	}
	word, err := ask(passphrase)
	if err != nil {
		return nil, err
	}
	return e.decrypt(word)
}

func ask(passphrase func() ([]byte, error)) ([]byte, error) {
	if passphrase == nil {
		return nil, ErrEncrypted
	}
	word, err := passphrase()
	if err != nil {
		return nil, &errs.Error{Text: "ask for the passphrase", Err: err}
	}
	return word, nil
}
