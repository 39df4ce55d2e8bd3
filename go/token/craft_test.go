package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"testing"
)

func base64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// craft makes a token by hand: header and payload as given, signed by sign.
func craft(header, payload string, sign func([]byte) []byte) string {
	input := base64URL([]byte(header)) + "." + base64URL([]byte(payload))
	return input + "." + base64URL(sign([]byte(input)))
}

func signEd(key PrivateKey) func([]byte) []byte {
	return func(b []byte) []byte { return ed25519.Sign(key.raw().(ed25519.PrivateKey), b) }
}

func signEC(t *testing.T, key *ecdsa.PrivateKey) func([]byte) []byte {
	return func(b []byte) []byte {
		sum := sha256.Sum256(b)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		out := make([]byte, 2*size)
		r.FillBytes(out[:size])
		s.FillBytes(out[size:])
		return out
	}
}

func signRSA(t *testing.T, key PrivateKey, h crypto.Hash, opts crypto.SignerOpts) func([]byte) []byte {
	return func(b []byte) []byte {
		d := h.New()
		d.Write(b)
		out, err := key.raw().Sign(rand.Reader, d.Sum(nil), opts)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func signHMAC(secret []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write(b)
		return m.Sum(nil)
	}
}

// sloppyURL sets bits of the last character that are no part of the signature.
func sloppyURL(t *testing.T, tok string) string {
	t.Helper()
	const order = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(order, tok[len(tok)-1])
	if last%16 != 0 {
		t.Fatal("a signature of 64 bytes has no bits to spare: the test is wrong")
	}
	return tok[:len(tok)-1] + string(order[last+1])
}

// sloppyPart is a token whose payload "1" has bits behind the byte, signed so.
func sloppyPart(header string, sign func([]byte) []byte) string {
	input := base64URL([]byte(header)) + ".MR"
	return input + "." + base64URL(sign([]byte(input)))
}

// mustSignBig is a token that verifies but for its size.
func mustSignBig(t *testing.T, key PrivateKey) string {
	t.Helper()
	return craft(header3("EdDSA", testTyp), `"`+strings.Repeat("x", maxToken)+`"`, signEd(key))
}

func derSignature(t *testing.T, key PrivateKey) func([]byte) []byte {
	return func(b []byte) []byte {
		sum := sha256.Sum256(b)
		out, err := ecdsa.SignASN1(rand.Reader, key.raw().(*ecdsa.PrivateKey), sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// malleable adds the group's order to S: the equation still holds (RFC 8032, 8.4).
func malleable(key PrivateKey) func([]byte) []byte {
	return func(b []byte) []byte {
		sig := signEd(key)(b)
		le := slices.Clone(sig[32:])
		slices.Reverse(le)
		order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
		s := order.Add(order, new(big.Int).SetBytes(le)).FillBytes(make([]byte, 32))
		slices.Reverse(s)
		return append(sig[:32], s...)
	}
}
