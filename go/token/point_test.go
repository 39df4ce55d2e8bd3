package token

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"testing"
)

// Points of small order: anybody can make signatures that hold for one message
// in eight or more. Each is proved weak by making one.
func TestSmallOrderPoints(t *testing.T) {
	weak := []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	}
	for _, text := range weak {
		key := unhex(t, text)
		if !forgeable(key) {
			t.Errorf("%s is not weak: the test is wrong", text)
		}
		if err := checkPoint(key); !errors.Is(err, errSmallOrder) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if forgeable(mustPublic(t, publishedPublic).p.raw.(ed25519.PublicKey)) {
		t.Error("an honest key is forgeable: the test is wrong")
	}
}

// forgeable tries the signature R = identity, S = 0 on some messages.
func forgeable(key ed25519.PublicKey) bool {
	sig := make([]byte, ed25519.SignatureSize)
	sig[0] = 1
	for i := range 500 {
		if ed25519.Verify(key, fmt.Appendf(nil, "message %d", i), sig) {
			return true
		}
	}
	return false
}

func TestPointsOfTheCurve(t *testing.T) {
	for range 50 {
		pub, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkPoint(pub); err != nil {
			t.Fatalf("%x: %v", pub, err)
		}
	}
	// p + 1 is another writing of 1; y = 2 is no point (its x² is no square).
	p1 := append([]byte{0xee}, bytes.Repeat([]byte{0xff}, 31)...)
	p1[31] = 0x7f
	no := make([]byte, 32)
	no[0] = 2
	for name, key := range map[string][]byte{"not reduced": p1, "off the curve": no, "short": no[:31], "long": append(no, 0)} {
		if err := checkPoint(key); !errors.Is(err, errPoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if big.Jacobi(twoSquared(), fieldPrime()) != -1 {
		t.Error("y = 2 is a point: the test is wrong")
	}
}

func TestCurveD(t *testing.T) {
	p := fieldPrime()
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)
	if d.Cmp(curveD()) != 0 {
		t.Errorf("d is %x", d)
	}
}

// twoSquared is (y²−1)(dy²+1) for y = 2.
func twoSquared() *big.Int {
	p := fieldPrime()
	v := new(big.Int).Mul(big.NewInt(4), curveD())
	v.Add(v, big.NewInt(1)).Mul(v, big.NewInt(3))
	return v.Mod(v, p)
}
