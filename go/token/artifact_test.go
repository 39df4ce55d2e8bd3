package token

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

type artifactClaims struct {
	Subject string            `json:"sub,omitempty"`
	Files   map[string]string `json:"files,omitempty"`
}

func TestArtifactOfEachKind(t *testing.T) {
	for _, kind := range []string{KindEd25519, KindP256, KindRSA2048} {
		key, err := Generate(kind, "id")
		if err != nil {
			t.Fatal(err)
		}
		other, err := Generate(kind, "id")
		if err != nil {
			t.Fatal(err)
		}
		claims := artifactClaims{Subject: "x", Files: map[string]string{"big": strings.Repeat("é", maxToken)}}
		tok, err := key.SignArtifact(context.Background(), claims)
		if err != nil {
			t.Fatal(err)
		}
		payload, by, err := VerifyArtifact([]byte(tok+"\n"), []PublicKey{other.Public(), key.Public()})
		if err != nil || !by.Equal(key.Public()) {
			t.Fatalf("%s: %v by %v", kind, err, by)
		}
		got, err := DecodeArtifact[artifactClaims](payload)
		if err != nil || got.Subject != "x" || got.Files["big"] != claims.Files["big"] {
			t.Errorf("%s: claims differ after the round trip: %v", kind, err)
		}
		if _, _, err := VerifyArtifact([]byte(tok), []PublicKey{other.Public()}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: another key gives %v", kind, err)
		}
		if read, err := ReadArtifact([]byte(tok)); err != nil || string(read) != string(payload) {
			t.Errorf("%s: read %v", kind, err)
		}
	}
}

func TestArtifactsAndRequestsAreNotEachOther(t *testing.T) {
	key, err := Generate(KindEd25519, "")
	if err != nil {
		t.Fatal(err)
	}
	keys := []PublicKey{key.Public()}
	request, err := key.Sign(wire.TypeRequest, artifactClaims{Subject: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := VerifyArtifact([]byte(request), keys); !errors.Is(err, ErrInvalid) {
		t.Errorf("a request as an artifact: %v", err)
	}
	if _, err := ReadArtifact([]byte(request)); !errors.Is(err, ErrInvalid) {
		t.Errorf("a request read as an artifact: %v", err)
	}
	artifact, err := key.SignArtifact(context.Background(), artifactClaims{Subject: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Verify([]byte(artifact), wire.TypeRequest, keys); !errors.Is(err, ErrInvalid) {
		t.Errorf("an artifact as a request: %v", err)
	}
}

func TestArtifactIsBounded(t *testing.T) {
	key, err := Generate(KindEd25519, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.SignArtifact(context.Background(), artifactClaims{Subject: strings.Repeat("a", MaxArtifact)}); err == nil {
		t.Error("an artifact over the bound was signed")
	}
	if _, _, err := VerifyArtifact(make([]byte, MaxArtifact+1), nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("one over the bound: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := key.SignArtifact(ctx, artifactClaims{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDecodeArtifactIsStrict(t *testing.T) {
	for _, text := range []string{``, `[]`, `{"sub": 1}`, `{"sub": "a", "sub": "b"}`, `{"SUB": "a"}`, `{} x`, "{\"sub\": \"\xff\"}", `{"files": {"a": "1", "a": "2"}}`} {
		if got, err := DecodeArtifact[artifactClaims]([]byte(text)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q gives %v, %v", text, got, err)
		}
	}
	if _, err := DecodeArtifact[artifactClaims]([]byte(`{"other": 1}`)); err != nil {
		t.Errorf("an unknown member: %v", err)
	}
}

func TestCheckArtifact(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		nbf, exp int64
		code     wire.Code
	}{
		{0, 0, ""},
		{1_000_030, 0, ""},
		{1_000_031, 0, wire.CodeClockSkew},
		{0, 1_000_000, ""},
		{0, 999_971, ""},
		{0, 999_970, wire.CodeExpired},
		{-1, 0, wire.CodeBadRequest},
		{0, -1, wire.CodeBadRequest},
	} {
		err := CheckArtifact(c.nbf, c.exp, now)
		if (err == nil) != (c.code == "") || err != nil && errs.CodeOf(err) != c.code {
			t.Errorf("nbf %d, exp %d: %v, want %q", c.nbf, c.exp, err, c.code)
		}
	}
}
