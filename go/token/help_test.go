package token

import (
	"crypto/sha256"
	"encoding/hex"
	"os/exec"
	"testing"
)

func mustPublic(t testing.TB, text string) PublicKey {
	t.Helper()
	k, err := ParsePublic(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustGenerate(t testing.TB, kind, id string) PrivateKey {
	t.Helper()
	k, err := Generate(kind, id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustSign(t testing.TB, key PrivateKey, typ string, claims any) string {
	t.Helper()
	tok, err := key.Sign(typ, claims)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// needs skips a test, saying so, where a program is not installed.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("NOT TESTED: %s is not installed", program)
	}
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// word is a passphrase function that counts how often it is asked.
func word(text string, asked *int) func() ([]byte, error) {
	return func() ([]byte, error) {
		if asked != nil {
			*asked++
		}
		return []byte(text), nil
	}
}

func entryOf(u used) entryID {
	sum := sha256.Sum256([]byte(u.jti))
	return entryID(sum[:])
}

// cheap is a private key under a passphrase that costs no time to try.
func cheap(t testing.TB, key PrivateKey, passphrase string) string {
	t.Helper()
	text, err := key.encrypted([]byte(passphrase), scryptCost{n: 16, r: 8, p: 1})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
