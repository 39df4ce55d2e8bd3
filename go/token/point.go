package token

import (
	"crypto/ed25519"
	"errors"
	"math/big"
	"slices"
)

var (
	errPoint      = errors.New("ed25519 key is not a point of the curve")
	errSmallOrder = errors.New("ed25519 key of small order: anybody could sign for it")
)

// checkPoint refuses 32 bytes that are not a point of edwards25519 (RFC 8032,
// 5.1.3) and the points of small order, under which one signature fits many
// messages.
func checkPoint(k ed25519.PublicKey) error {
	if len(k) != ed25519.PublicKeySize {
		return errPoint
	}
	le := slices.Clone([]byte(k))
	le[31] &= 0x7f // the sign of x
	slices.Reverse(le)
	p := fieldPrime()
	y := new(big.Int).SetBytes(le)
	if y.Cmp(p) >= 0 {
		return errPoint
	}
	// x² = (y²−1)/(dy²+1), and a/b is a square when ab is. The denominator is
	// never zero: −1/d is not a square.
	yy := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(yy, big.NewInt(1))
	v := new(big.Int).Mul(yy, curveD())
	v.Add(v, big.NewInt(1))
	if big.Jacobi(u.Mul(u, v).Mod(u, p), p) < 0 {
		return errPoint
	}
	if smallOrder(y, p) {
		return errSmallOrder
	}
	return nil
}

// fieldPrime is 2^255 − 19.
func fieldPrime() *big.Int {
	p := new(big.Int).Lsh(big.NewInt(1), 255)
	return p.Sub(p, big.NewInt(19))
}

// curveD is −121665/121666 in the field (RFC 8032, 5.1).
func curveD() *big.Int {
	d, _ := new(big.Int).SetString("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3", 16)
	return d
}

// smallOrder reports whether y is the ordinate of one of the eight points whose
// order divides 8: (0,1), (0,−1), (±√−1,0) and the four with y² as below.
func smallOrder(y, p *big.Int) bool {
	one := big.NewInt(1)
	if y.Sign() == 0 || y.Cmp(one) == 0 || y.Cmp(new(big.Int).Sub(p, one)) == 0 {
		return true
	}
	// Doubling a point of order 8 gives y = 0, that is x² = −y² and, by the
	// curve's equation, dy⁴ + 2y² − 1 = 0.
	yy := new(big.Int).Mul(y, y)
	t := new(big.Int).Mul(yy, yy)
	t.Mul(t, curveD()).Add(t, yy).Add(t, yy).Sub(t, one)
	return t.Mod(t, p).Sign() == 0
}
