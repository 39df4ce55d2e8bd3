package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"testing"
)

// The examples of RFC 8037 A.4 and RFC 7515 A.3.
const (
	joe      = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	rfcEdDSA = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	rfcES256 = "eyJhbGciOiJFUzI1NiJ9." + joe + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)

func raw64(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 7515 and RFC 8037. They have no typ, which Verify demands.
func TestRFCExamples(t *testing.T) {
	point := append([]byte{4}, raw64(t, "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")...)
	point = append(point, raw64(t, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")...)
	p256, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).SetBytes(raw64(t, "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"))
	for name, c := range map[string]struct {
		raw     any
		token   string
		payload []byte
	}{
		"RFC 8037 A.4, Ed25519": {
			ed25519.PublicKey(raw64(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")),
			rfcEdDSA,
			[]byte("Example of Ed25519 signing"),
		},
		"RFC 7515 A.3, ES256": {
			p256,
			rfcES256,
			raw64(t, joe),
		},
		"RFC 7515 A.2, RS256": {
			&rsa.PublicKey{N: n, E: 65537},
			"eyJhbGciOiJSUzI1NiJ9." + joe + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
			raw64(t, joe),
		},
	} {
		key, err := newPublic(c.raw, "")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		payload, _, err := verify([]byte(c.token), "", []PublicKey{key})
		if err != nil || !bytes.Equal(payload, c.payload) {
			t.Errorf("%s: %q, %v", name, payload, err)
		}
		for i := range c.token {
			bad := flip(c.token, i)
			if _, _, err := verify([]byte(bad), "", []PublicKey{key}); err == nil {
				t.Fatalf("%s: verifies with character %d changed", name, i)
			}
		}
	}
}

// RFC 8037, A.1 to A.4: Ed25519 is deterministic, so the signature must be the
// same to the byte.
func TestRFC8037Sign(t *testing.T) {
	seed := raw64(t, "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	key, err := newPrivate(ed25519.NewKeyFromSeed(seed), "")
	if err != nil {
		t.Fatal(err)
	}
	got := craft(`{"alg":"EdDSA"}`, "Example of Ed25519 signing", signEd(key))
	if got != rfcEdDSA {
		t.Errorf("%s", got)
	}
	if tok := mustSign(t, key, "x", 1); tok != craft(`{"alg":"EdDSA","typ":"x"}`, "1", signEd(key)) {
		t.Errorf("Sign differs from a token made by hand: %s", tok)
	}
}
