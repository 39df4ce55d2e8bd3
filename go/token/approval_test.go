package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

const someDigest = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func approvalClaims() wire.ApprovalClaims {
	return wire.ApprovalClaims{IssuedAt: epoch, Expires: epoch + 600, ID: NewID(), Digest: someDigest, Subject: "on call"}
}

func mustApprove(t testing.TB, key PrivateKey, c wire.ApprovalClaims) string {
	t.Helper()
	tok, err := SignApproval(context.Background(), key.Signer(), c)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestApproval(t *testing.T) {
	for _, kind := range []string{KindEd25519, KindP256, KindRSA2048} {
		key, other := mustGenerate(t, kind, "bob"), mustGenerate(t, kind, "bob")
		c := approvalClaims()
		tok := mustApprove(t, key, c)
		got, by, err := VerifyApproval([]byte(tok), []PublicKey{other.Public(), key.Public()})
		if err != nil || !by.Equal(key.Public()) {
			t.Fatalf("%s: %v", kind, err)
		}
		if got.ID == c.ID || len(got.ID) != wire.MinJTI {
			t.Errorf("%s: jti %q is not a new one", kind, got.ID)
		}
		read, err := ReadApproval([]byte(tok))
		if err != nil || read != got {
			t.Errorf("%s: read as %+v, %v", kind, read, err)
		}
		if got.ID = c.ID; got != c {
			t.Errorf("%s: %+v became %+v", kind, c, got)
		}
		if _, _, err := VerifyApproval([]byte(tok), []PublicKey{other.Public()}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: another key: %v", kind, err)
		}
		if _, _, err := VerifyApproval([]byte(tok), nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: no key: %v", kind, err)
		}
	}
}

// TestApprovalIsAKindOfItsOwn: nothing else takes it, and it takes nothing else.
func TestApprovalIsAKindOfItsOwn(t *testing.T) {
	key := mustGenerate(t, KindEd25519, "bob")
	keys := []PublicKey{key.Public()}
	tok := []byte(mustApprove(t, key, approvalClaims()))
	for _, typ := range []string{wire.TypeRequest, wire.TypeProof, wire.TypeNode, "JWT", "application/" + wire.TypeApproval, strings.ToUpper(wire.TypeApproval)} {
		if _, _, err := Verify(tok, typ, keys); !errors.Is(err, ErrInvalid) {
			t.Errorf("an approval is accepted as %s: %v", typ, err)
		}
		other := []byte(mustSign(t, key, typ, approvalClaims()))
		if _, _, err := VerifyApproval(other, keys); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s is accepted as an approval: %v", typ, err)
		}
		if _, err := ReadApproval(other); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s is read as an approval: %v", typ, err)
		}
	}
	if _, err := VerifyProof(tok, someDigest, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("an approval is a proof: %v", err)
	}
	if _, _, err := VerifyNode(tok, "nonce"); !errors.Is(err, ErrInvalid) {
		t.Errorf("an approval is about a node: %v", err)
	}
}

// TestHostileApprovals: signed well, and yet refused.
func TestHostileApprovals(t *testing.T) {
	key := mustGenerate(t, KindEd25519, "bob")
	keys := []PublicKey{key.Public()}
	good, err := json.Marshal(approvalClaims())
	if err != nil {
		t.Fatal(err)
	}
	body := strings.TrimSuffix(string(good), "}")
	header := header3("EdDSA", wire.TypeApproval)
	tok := mustApprove(t, key, approvalClaims())
	cut := strings.LastIndexByte(tok, '.')
	for name, hostile := range map[string]string{
		"empty":            "",
		"none":             craft(header3("none", wire.TypeApproval), string(good), func([]byte) []byte { return nil }),
		"HMAC":             craft(header3("HS256", wire.TypeApproval), string(good), signHMAC([]byte(key.Public().String()))),
		"no typ":           craft(`{"alg":"EdDSA"}`, string(good), signEd(key)),
		"crit":             craft(`{"alg":"EdDSA","typ":"`+wire.TypeApproval+`","crit":["b64"]}`, string(good), signEd(key)),
		"a key inside":     craft(`{"alg":"EdDSA","typ":"`+wire.TypeApproval+`","jwk":{}}`, string(good), signEd(key)),
		"padded":           tok + "=",
		"line end":         tok + "\n",
		"four parts":       tok + ".",
		"cut":              tok[:len(tok)-1],
		"no signature":     tok[:cut+1],
		"sloppy":           sloppyURL(t, tok),
		"malleable":        craft(header, string(good), malleable(key)),
		"digest twice":     craft(header, body+`,"digest":"x"}`, signEd(key)),
		"digest by case":   craft(header, body+`,"Digest":"x"}`, signEd(key)),
		"jti by case":      craft(header, body+`,"JTI":"x"}`, signEd(key)),
		"a list":           craft(header, `[]`, signEd(key)),
		"a list of claims": craft(header, `[`+string(good)+`]`, signEd(key)),
		"two objects":      craft(header, string(good)+`{}`, signEd(key)),
		"iat as text":      craft(header, `{"iat":"1"}`, signEd(key)),
		"iat as fraction":  craft(header, `{"iat":1.5}`, signEd(key)),
		"not UTF-8":        craft(header, "{\"digest\":\"\xff\"}", signEd(key)),
		"deep":             craft(header, strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 40), signEd(key)),
		"large":            craft(header, body+`,"pad":"`+strings.Repeat("x", maxApproval)+`"}`, signEd(key)),
	} {
		if c, by, err := VerifyApproval([]byte(hostile), keys); !errors.Is(err, ErrInvalid) || !by.IsZero() || c != (wire.ApprovalClaims{}) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	// Members that nobody knows yet are passed over, as in every kind of token.
	if _, _, err := VerifyApproval([]byte(craft(header, body+`,"new":{"a":1}}`, signEd(key))), keys); err != nil {
		t.Errorf("an unknown member: %v", err)
	}
	// The longest real one fits.
	if tok := mustApprove(t, mustGenerate(t, KindRSA4096, strings.Repeat("x", 128)), approvalClaims()); len(tok) > maxApproval/2 {
		t.Errorf("an approval has %d bytes", len(tok))
	}
}

func TestCheckApproval(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*wire.ApprovalClaims)
		after  time.Duration // of now, since iat
		want   wire.Code     // "": accepted
	}{
		"at once":            {nil, 0, ""},
		"at its end":         {nil, 10 * time.Minute, ""},
		"a second later":     {nil, 10*time.Minute + time.Second, wire.CodeExpired},
		"a second before":    {nil, -time.Second, ""},
		"two seconds before": {nil, -2 * time.Second, wire.CodeClockSkew},
		"short":              {func(c *wire.ApprovalClaims) { c.Expires = c.IssuedAt + 1 }, 0, ""},
		"a second too long":  {func(c *wire.ApprovalClaims) { c.Expires++ }, 0, wire.CodeBadRequest},
		"for ever":           {func(c *wire.ApprovalClaims) { c.Expires = 1<<63 - 1 }, 0, wire.CodeBadRequest},
		"at the end of time": {func(c *wire.ApprovalClaims) { c.Expires = 1<<63 - 1; c.IssuedAt = c.Expires - 1 }, 0, wire.CodeClockSkew},
		"no life":            {func(c *wire.ApprovalClaims) { c.Expires = c.IssuedAt }, 0, wire.CodeBadRequest},
		"backwards":          {func(c *wire.ApprovalClaims) { c.Expires = c.IssuedAt - 1 }, 0, wire.CodeBadRequest},
		"no iat":             {func(c *wire.ApprovalClaims) { c.IssuedAt = 0 }, 0, wire.CodeBadRequest},
		"negative":           {func(c *wire.ApprovalClaims) { c.IssuedAt = -1 << 63 }, 0, wire.CodeBadRequest},
		"no exp":             {func(c *wire.ApprovalClaims) { c.Expires = 0 }, 0, wire.CodeBadRequest},
		"no digest":          {func(c *wire.ApprovalClaims) { c.Digest = "" }, 0, wire.CodeBadRequest},
		"no jti":             {func(c *wire.ApprovalClaims) { c.ID = "" }, 0, wire.CodeBadRequest},
		"short jti":          {func(c *wire.ApprovalClaims) { c.ID = c.ID[1:] }, 0, wire.CodeBadRequest},
		"long jti":           {func(c *wire.ApprovalClaims) { c.ID = strings.Repeat("x", 65) }, 0, wire.CodeBadRequest},
		"long sub":           {func(c *wire.ApprovalClaims) { c.Subject = strings.Repeat("x", 257) }, 0, wire.CodeBadRequest},
	} {
		claims := approvalClaims()
		if c.change != nil {
			c.change(&claims)
		}
		err := CheckApproval(claims, time.Unix(epoch, 0).Add(c.after))
		if c.want == "" && err != nil || c.want != "" && errs.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	bad := approvalClaims()
	bad.Expires += 1
	if _, err := SignApproval(context.Background(), mustGenerate(t, KindEd25519, "").Signer(), bad); err == nil {
		t.Error("what no node accepts is signed")
	}
}

// TestJournalOfApprovals: a journal for tokens that live for minutes.
func TestJournalOfApprovals(t *testing.T) {
	b := newBed(t)
	exp := b.in(wire.ApprovalLife)
	if err := b.j.Use(id(1), exp); errs.CodeOf(err) != wire.CodeBadRequest {
		t.Errorf("a journal of requests takes an approval: %v", err)
	}
	if err := b.j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(b.opts.Path); err != nil {
		t.Fatal(err)
	}
	b.opts.Fresh, b.opts.MaxLife = true, wire.ApprovalLife
	b.open()
	b.opts.Fresh = false
	if b.j.Used(id(1)) {
		t.Error("used before its use")
	}
	b.use(id(1), exp, nil)
	if !b.j.Used(id(1)) || b.j.Used(id(2)) {
		t.Error("Used is wrong")
	}
	before := b.j.Now()
	b.restart()
	if now := b.j.Now(); !now.Equal(before) {
		t.Errorf("the clock went from %v to %v with a restart", before, now)
	}
	b.use(id(1), exp, ErrReplayed)
	b.clock.move(9 * time.Minute)
	b.restart()
	b.use(id(1), exp, ErrReplayed)
	b.clock.move(time.Minute + time.Second)
	if err := b.j.Use(id(1), exp); errs.CodeOf(err) != wire.CodeExpired {
		t.Errorf("after its life: %v", err)
	}
	if err := b.j.Use(id(3), b.in(wire.ApprovalLife+2*time.Second)); errs.CodeOf(err) != wire.CodeBadRequest {
		t.Errorf("a life too long: %v", err)
	}
}

// TestLostJournalOfApprovals: what could have been used before must expire first.
func TestLostJournalOfApprovals(t *testing.T) {
	b := newBed(t)
	if err := b.j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(b.opts.Path); err != nil {
		t.Fatal(err)
	}
	b.opts.MaxLife = wire.ApprovalLife
	b.open()
	if want := wire.ApprovalLife + wire.ClockLeeway; b.j.Lost() == nil || b.j.Wait() <= want {
		t.Errorf("it waits %s after %v, an approval could live %s", b.j.Wait(), b.j.Lost(), want)
	}
	b.use(id(1), b.in(time.Minute), ErrUnready)
	b.clock.move(wire.ApprovalLife)
	b.use(id(1), b.in(time.Minute), ErrUnready)
	b.clock.move(wire.LostJournalWait)
	b.use(id(1), b.in(time.Minute), nil)
}

func FuzzVerifyApproval(f *testing.F) {
	key := mustGenerate(f, KindEd25519, "bob")
	keys := []PublicKey{key.Public()}
	f.Add(mustApprove(f, key, approvalClaims()))
	f.Add("")
	f.Add(fmt.Sprintf("%s.e30.AA", base64URL([]byte(header3("EdDSA", wire.TypeApproval)))))
	f.Fuzz(func(t *testing.T, tok string) {
		read, readErr := ReadApproval([]byte(tok))
		c, by, err := VerifyApproval([]byte(tok), keys)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || !by.IsZero() {
				t.Errorf("%v", err)
			}
			return
		}
		if !by.Equal(key.Public()) || readErr != nil || read != c {
			t.Errorf("%+v and %+v, %v", c, read, readErr)
		}
	})
}
