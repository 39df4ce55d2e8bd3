package token

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the default PRF of PBKDF2 (RFC 8018, A.2)
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"

	"etcha/go/errs"
)

// scryptCost is what trying one passphrase takes: 128·n·r bytes, p times.
type scryptCost struct{ n, r, p int }

// fullCost is for what is written: 16 MiB of memory, a third of a second. OpenSSL
// refuses scrypt above 32 MiB, hence p rather than n; OWASP asks for p = 5 at
// this n.
func fullCost() scryptCost { return scryptCost{n: 1 << 14, r: 8, p: 8} }

// Cost that is accepted from a file, so that it cannot hold up who reads it:
// some seconds, 512 MiB.
const (
	maxIterations = 10_000_000
	maxScryptMem  = 512 << 20 // bytes, 128·n·r
	maxScryptWork = 1 << 30   // bytes passed through, 128·n·r·p
)

type encryptedKeyInfo struct { // RFC 5208, 6
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Params struct { // RFC 8018, A.4
	KDF    pkix.AlgorithmIdentifier
	Cipher pkix.AlgorithmIdentifier
}

type pbkdf2Params struct { // RFC 8018, A.2
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

type scryptParams struct { // RFC 7914, 7
	Salt      []byte
	N, R, P   int
	KeyLength int `asn1:"optional"`
}

func oidPBES2() asn1.ObjectIdentifier  { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13} }
func oidPBKDF2() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12} }
func oidScrypt() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11} }

func oidAESCBC(bits int) asn1.ObjectIdentifier {
	last := map[int]int{128: 2, 192: 22, 256: 42}[bits]
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, last}
}

// Encrypted is the own form under a passphrase, which [ParsePrivate] reads:
// KIND "private-encrypted:" and the base64 of a PKCS #8 EncryptedPrivateKeyInfo
// (PBES2, scrypt, AES-256-CBC). Wrapped as PEM "ENCRYPTED PRIVATE KEY" that is
// what OpenSSL reads. An empty passphrase is an error.
func (k PrivateKey) Encrypted(passphrase []byte) (string, error) {
	return k.encrypted(passphrase, fullCost())
}

func (k PrivateKey) encrypted(passphrase []byte, cost scryptCost) (string, error) {
	if len(passphrase) == 0 {
		return "", &errs.Error{Text: "encrypt private key: the passphrase is empty"}
	}
	plain, err := k.pkcs8()
	if err != nil {
		return "", fmt.Errorf("encrypt private key: %w", err)
	}
	der, err := encryptPKCS8(plain, passphrase, cost)
	if err != nil {
		return "", fmt.Errorf("encrypt private key: %w", err)
	}
	return ownForm(k.Kind(), partEncrypted, der, k.ID()), nil
}

func encryptPKCS8(plain, passphrase []byte, cost scryptCost) ([]byte, error) {
	salt, iv := make([]byte, 16), make([]byte, aes.BlockSize)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	_, _ = rand.Read(iv)
	key, err := scrypt.Key(passphrase, salt, cost.n, cost.r, cost.p, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	data := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)

	kdf, err := algorithm(oidScrypt(), scryptParams{Salt: salt, N: cost.n, R: cost.r, P: cost.p})
	if err != nil {
		return nil, err
	}
	enc, err := algorithm(oidAESCBC(256), iv)
	if err != nil {
		return nil, err
	}
	whole, err := algorithm(oidPBES2(), pbes2Params{KDF: kdf, Cipher: enc})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(encryptedKeyInfo{Algorithm: whole, Data: data})
}

func algorithm(oid asn1.ObjectIdentifier, params any) (pkix.AlgorithmIdentifier, error) {
	der, err := asn1.Marshal(params)
	if err != nil {
		return pkix.AlgorithmIdentifier{}, err
	}
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: der}}, nil
}

// envelope is an EncryptedPrivateKeyInfo whose parameters were checked, before
// anybody is asked for a passphrase.
type envelope struct {
	derive func(passphrase []byte) ([]byte, error)
	iv     []byte
	data   []byte
}

func openEnvelope(der []byte) (envelope, error) {
	var info encryptedKeyInfo
	if err := unmarshalAll(der, &info); err != nil {
		return envelope{}, malformed(err)
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2()) {
		return envelope{}, errCipher("encryption", info.Algorithm.Algorithm)
	}
	var params pbes2Params
	if err := unmarshalAll(info.Algorithm.Parameters.FullBytes, &params); err != nil {
		return envelope{}, malformed(err)
	}
	size, iv, err := cipherOf(params.Cipher)
	if err != nil {
		return envelope{}, err
	}
	if len(info.Data) == 0 || len(info.Data)%aes.BlockSize != 0 {
		return envelope{}, malformed(errors.New("encrypted data is not whole blocks"))
	}
	derive, err := derivation(params.KDF, size)
	if err != nil {
		return envelope{}, err
	}
	return envelope{derive: derive, iv: iv, data: info.Data}, nil
}

// decrypt gives the PKCS #8. Nothing in it is authenticated: a wrong passphrase
// shows in the padding or in a result that is no key, and both are ErrPassphrase.
func (e envelope) decrypt(passphrase []byte) ([]byte, error) {
	key, err := e.derive(passphrase)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	data := bytes.Clone(e.data)
	cipher.NewCBCDecrypter(block, e.iv).CryptBlocks(data, data)
	return unpad(data)
}

func unpad(data []byte) ([]byte, error) {
	pad := int(data[len(data)-1])
	if pad == 0 || pad > aes.BlockSize || pad > len(data) ||
		!bytes.Equal(data[len(data)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, ErrPassphrase
	}
	plain := data[:len(data)-pad]
	var whole asn1.RawValue
	if unmarshalAll(plain, &whole) != nil || whole.Tag != asn1.TagSequence {
		return nil, ErrPassphrase
	}
	return plain, nil
}

func cipherOf(a pkix.AlgorithmIdentifier) (size int, iv []byte, err error) {
	for _, bits := range []int{128, 192, 256} {
		if !a.Algorithm.Equal(oidAESCBC(bits)) {
			continue
		}
		if err := unmarshalAll(a.Parameters.FullBytes, &iv); err != nil {
			return 0, nil, malformed(err)
		}
		if len(iv) != aes.BlockSize {
			return 0, nil, malformed(errors.New("initialisation vector of a wrong length"))
		}
		return bits / 8, iv, nil
	}
	return 0, nil, errCipher("cipher", a.Algorithm)
}

func derivation(kdf pkix.AlgorithmIdentifier, size int) (func([]byte) ([]byte, error), error) {
	switch {
	case kdf.Algorithm.Equal(oidPBKDF2()):
		return pbkdf2Derivation(kdf.Parameters.FullBytes, size)
	case kdf.Algorithm.Equal(oidScrypt()):
		return scryptDerivation(kdf.Parameters.FullBytes, size)
	default:
		return nil, errCipher("key derivation", kdf.Algorithm)
	}
}

func pbkdf2Derivation(params []byte, size int) (func([]byte) ([]byte, error), error) {
	var p pbkdf2Params
	if err := unmarshalAll(params, &p); err != nil {
		return nil, malformed(err)
	}
	if p.Iterations < 1 || p.Iterations > maxIterations || p.KeyLength != 0 && p.KeyLength != size {
		return nil, errCost()
	}
	prf, err := prfOf(p.PRF.Algorithm)
	if err != nil {
		return nil, err
	}
	return func(word []byte) ([]byte, error) {
		return pbkdf2.Key(prf, string(word), p.Salt, p.Iterations, size)
	}, nil
}

func prfOf(oid asn1.ObjectIdentifier) (func() hash.Hash, error) {
	base := asn1.ObjectIdentifier{1, 2, 840, 113549, 2}
	switch {
	case len(oid) == 0, oid.Equal(append(base, 7)):
		return sha1.New, nil
	case oid.Equal(append(base, 9)):
		return sha256.New, nil
	case oid.Equal(append(base, 11)):
		return sha512.New, nil
	default:
		return nil, errCipher("pseudo-random function", oid)
	}
}

func scryptDerivation(params []byte, size int) (func([]byte) ([]byte, error), error) {
	var p scryptParams
	if err := unmarshalAll(params, &p); err != nil {
		return nil, malformed(err)
	}
	if !scryptAffordable(p) || p.KeyLength != 0 && p.KeyLength != size {
		return nil, errCost()
	}
	return func(word []byte) ([]byte, error) {
		key, err := scrypt.Key(word, p.Salt, p.N, p.R, p.P, size)
		if err != nil {
			return nil, malformed(err)
		}
		return key, nil
	}, nil
}

// scryptAffordable divides rather than multiplies: the numbers come from a file.
func scryptAffordable(p scryptParams) bool {
	if p.N < 2 || p.N&(p.N-1) != 0 || p.R < 1 || p.P < 1 || p.N > maxScryptMem/128 || p.R > maxScryptMem/128 {
		return false
	}
	memory := int64(p.N) * int64(p.R) * 128
	return memory <= maxScryptMem && int64(p.P) <= maxScryptWork/memory
}

func unmarshalAll(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		return errors.New("there is more than the value")
	}
	return err
}

func errCipher(what string, oid asn1.ObjectIdentifier) error {
	return &errs.Error{
		Text: fmt.Sprintf("the private key is encrypted in a way that is not supported (%s %s)", what, oid),
		Hint: "write it anew with openssl pkcs8 -topk8 -v2 aes-256-cbc",
	}
}

func errCost() error {
	return &errs.Error{Text: "the private key's passphrase parameters are out of bounds"}
}
