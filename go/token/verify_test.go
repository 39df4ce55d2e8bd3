package token

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"

	"etcha/go/wire"
)

const testTyp = wire.TypeRequest

func header3(alg, typ string) string { return fmt.Sprintf(`{"alg":%q,"typ":%q}`, alg, typ) }

// Tokens that a careless verifier accepts. Every one of them is ErrInvalid with
// the same first words, and carries a reason for the log.
func TestHostileTokens(t *testing.T) {
	ed, ec, rs := mustGenerate(t, KindEd25519, "ed"), mustGenerate(t, KindP256, "ec"), mustGenerate(t, KindRSA2048, "rs")
	stranger := mustGenerate(t, KindEd25519, "ed")
	keys := []PublicKey{ed.Public(), ec.Public(), rs.Public()}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := mustSign(t, ed, testTyp, map[string]int{"a": 1})
	split := strings.Split(good, ".")
	with := func(member string) string {
		return craft(`{"alg":"EdDSA","typ":"`+testTyp+`",`+member+`}`, "{}", signEd(ed))
	}
	head := func(h string) string { return craft(h, "{}", signEd(ed)) }
	edPub := ed.pub.p.raw.(ed25519.PublicKey)
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}

	hostile := map[string]string{
		"empty":            "",
		"dot":              ".",
		"two dots":         "..",
		"one part":         split[0],
		"two parts":        split[0] + "." + split[1],
		"four parts":       good + ".e30",
		"dot behind":       good + ".",
		"dots behind":      good + "..",
		"dot before":       "." + good,
		"no header":        "." + split[1] + "." + split[2],
		"no payload":       split[0] + ".." + split[2],
		"no signature":     split[0] + "." + split[1] + ".",
		"space before":     " " + good,
		"space behind":     good + " ",
		"line end":         good + "\n",
		"line end inside":  split[0] + "." + split[1][:4] + "\n" + split[1][4:] + "." + split[2],
		"CR inside":        split[0] + "." + split[1] + "." + split[2][:8] + "\r" + split[2][8:],
		"zero byte":        good + "\x00",
		"padded":           split[0] + "=." + split[1] + "." + split[2],
		"padded signature": good + "==",
		"other alphabet":   craft(header3("EdDSA", testTyp), "\xff\xff\xff", signEd(ed)) + "",
		"sloppy signature": sloppyURL(t, good),
		"JSON":             `{"payload":"` + split[1] + `","protected":"` + split[0] + `","signature":"` + split[2] + `"}`,
		"1 MiB of junk":    strings.Repeat("A", 1<<20),
		"1 MiB of dots":    strings.Repeat(".", 1<<20),
		"1 MiB header":     strings.Repeat("A", 1<<18) + "." + split[1] + "." + split[2],
		"too large":        mustSignBig(t, ed),
		"binary":           string(bytes.Repeat([]byte{0xff, 0x2e}, 99)),

		"none":                   craft(header3("none", testTyp), "{}", func([]byte) []byte { return []byte{0} }),
		"none, empty signature":  base64URL([]byte(header3("none", testTyp))) + "." + split[1] + ".",
		"None":                   craft(header3("None", testTyp), "{}", signEd(ed)),
		"HS256, raw key":         craft(header3("HS256", testTyp), "{}", signHMAC(edPub)),
		"HS256, DER":             craft(header3("HS256", testTyp), "{}", signHMAC(ed.Public().DER())),
		"HS256, text":            craft(header3("HS256", testTyp), "{}", signHMAC([]byte(ed.Public().String()))),
		"HS256, RSA DER":         craft(header3("HS256", testTyp), "{}", signHMAC(rs.Public().DER())),
		"HS256, RSA PEM":         craft(header3("HS256", testTyp), "{}", signHMAC([]byte(pemText("PUBLIC KEY", rs.Public().DER())))),
		"P-384 as ES256":         craft(header3("ES256", testTyp), "{}", signEC(t, p384)),
		"P-384 as ES384":         craft(header3("ES384", testTyp), "{}", signEC(t, p384)),
		"P-256 as ES256K":        craft(header3("ES256K", testTyp), "{}", signEC(t, ec.raw().(*ecdsa.PrivateKey))),
		"P-256 as ES512":         craft(header3("ES512", testTyp), "{}", signEC(t, ec.raw().(*ecdsa.PrivateKey))),
		"P-256 as EdDSA":         craft(header3("EdDSA", testTyp), "{}", signEC(t, ec.raw().(*ecdsa.PrivateKey))),
		"ed25519 as ES256":       craft(header3("ES256", testTyp), "{}", signEd(ed)),
		"ed25519 as Ed25519":     craft(header3("Ed25519", testTyp), "{}", signEd(ed)),
		"ed25519 as eddsa":       craft(header3("eddsa", testTyp), "{}", signEd(ed)),
		"RSA as PS256":           craft(header3("PS256", testTyp), "{}", signRSA(t, rs, crypto.SHA256, pss)),
		"RSA-PSS as RS256":       craft(header3("RS256", testTyp), "{}", signRSA(t, rs, crypto.SHA256, pss)),
		"RSA as RS512":           craft(header3("RS512", testTyp), "{}", signRSA(t, rs, crypto.SHA512, crypto.SHA512)),
		"RSA SHA-512 as RS256":   craft(header3("RS256", testTyp), "{}", signRSA(t, rs, crypto.SHA512, crypto.SHA512)),
		"RS256 by another":       craft(header3("RS256", testTyp), "{}", signRSA(t, mustGenerate(t, KindRSA2048, ""), crypto.SHA256, crypto.SHA256)),
		"RS256, another length":  craft(header3("RS256", testTyp), "{}", func([]byte) []byte { return make([]byte, 384) }),
		"ES256, zeros":           craft(header3("ES256", testTyp), "{}", func([]byte) []byte { return make([]byte, 64) }),
		"ES256, DER signature":   craft(header3("ES256", testTyp), "{}", derSignature(t, ec)),
		"EdDSA, zeros":           craft(header3("EdDSA", testTyp), "{}", func([]byte) []byte { return make([]byte, 64) }),
		"EdDSA, long":            craft(header3("EdDSA", testTyp), "{}", func(b []byte) []byte { return append(signEd(ed)(b), 0) }),
		"EdDSA, short":           craft(header3("EdDSA", testTyp), "{}", func(b []byte) []byte { return signEd(ed)(b)[:63] }),
		"EdDSA, S not reduced":   craft(header3("EdDSA", testTyp), "{}", malleable(ed)),
		"unknown key, known kid": mustSign(t, stranger, testTyp, 1),

		"no alg":            head(`{"typ":"` + testTyp + `"}`),
		"no typ":            head(`{"alg":"EdDSA"}`),
		"empty header":      head(`{}`),
		"empty alg":         head(header3("", testTyp)),
		"header list":       head(`[]`),
		"header text":       head(`"alg"`),
		"header null":       head(`null`),
		"header number":     head(`1`),
		"header behind":     head(header3("EdDSA", testTyp) + "{}"),
		"header comma":      head(`{"alg":"EdDSA","typ":"` + testTyp + `",}`),
		"header unclosed":   head(`{"alg":"EdDSA","typ":"` + testTyp + `"`),
		"header BOM":        head("\ufeff" + header3("EdDSA", testTyp)),
		"header bytes":      head("{\"alg\":\"EdDSA\",\"typ\":\"" + testTyp + "\",\"kid\":\"\xff\"}"),
		"alg list":          head(`{"alg":["EdDSA"],"typ":"` + testTyp + `"}`),
		"alg null":          head(`{"alg":null,"typ":"` + testTyp + `"}`),
		"ALG":               head(`{"ALG":"EdDSA","typ":"` + testTyp + `"}`),
		"wrong typ":         head(header3("EdDSA", wire.TypeProof)),
		"typ JWT":           head(header3("EdDSA", "JWT")),
		"typ in capitals":   head(header3("EdDSA", strings.ToUpper(testTyp))),
		"typ with prefix":   head(header3("EdDSA", "application/"+testTyp)),
		"typ with a space":  head(header3("EdDSA", testTyp+" ")),
		"long kid":          with(`"kid":"` + strings.Repeat("x", maxTokenHeader) + `"`),
		"empty payload":     craft(header3("EdDSA", testTyp), "", signEd(ed)),
		"sloppy payload":    sloppyPart(header3("EdDSA", testTyp), signEd(ed)),
		"empty kid":         with(`"kid":""`),
		"kid number":        with(`"kid":1`),
		"crit":              with(`"crit":["exp"]`),
		"empty crit":        with(`"crit":[]`),
		"crit and b64":      with(`"crit":["b64"],"b64":false`),
		"b64 false":         with(`"b64":false`),
		"b64 true":          with(`"b64":true`),
		"jku":               with(`"jku":"https://example.com/keys"`),
		"jwk":               with(`"jwk":{"kty":"OKP","crv":"Ed25519","x":"` + base64URL(edPub) + `"}`),
		"x5u":               with(`"x5u":"https://example.com/cert"`),
		"x5c":               with(`"x5c":["AAAA"]`),
		"x5t":               with(`"x5t":"AAAA"`),
		"zip":               with(`"zip":"DEF"`),
		"cty":               with(`"cty":"JWT"`),
		"enc":               with(`"enc":"A128GCM"`),
		"unknown member":    with(`"x":"y"`),
		"alg twice":         with(`"alg":"EdDSA"`),
		"alg twice, none":   with(`"alg":"none"`),
		"typ twice":         with(`"typ":"JWT"`),
		"kid twice":         with(`"kid":"ed","kid":"ec"`),
		"alg twice, escape": with(`"\u0061lg":"none"`),
		"Alg beside alg":    with(`"Alg":"none"`),
	}
	hostile["other alphabet"] = strings.NewReplacer("-", "+", "_", "/").Replace(hostile["other alphabet"])
	for name, tok := range hostile {
		payload, by, err := Verify([]byte(tok), testTyp, keys)
		if !errors.Is(err, ErrInvalid) || payload != nil || !by.IsZero() {
			t.Errorf("%s: payload %q by %q: %v", name, payload, by.ID(), err)
			continue
		}
		if reason, ok := strings.CutPrefix(err.Error(), ErrInvalid.Error()+": "); !ok || reason == "" || len(reason) > 300 {
			t.Errorf("%s: reason %q", name, reason)
		}
	}
	if _, _, err := Verify([]byte(good), testTyp, keys); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// The table above is worth something only if the same by an honest signer holds.
func TestHonestTokens(t *testing.T) {
	ed, ec, rs := mustGenerate(t, KindEd25519, "ed"), mustGenerate(t, KindP256, "ec"), mustGenerate(t, KindRSA2048, "rs")
	keys := []PublicKey{ed.Public(), ec.Public(), rs.Public()}
	for name, c := range map[string]struct {
		tok string
		by  PrivateKey
	}{
		"EdDSA":         {craft(header3("EdDSA", testTyp), "{}", signEd(ed)), ed},
		"ES256":         {craft(header3("ES256", testTyp), "{}", signEC(t, ec.raw().(*ecdsa.PrivateKey))), ec},
		"RS256":         {craft(header3("RS256", testTyp), "{}", signRSA(t, rs, crypto.SHA256, crypto.SHA256)), rs},
		"unknown kid":   {craft(`{"alg":"EdDSA","typ":"`+testTyp+`","kid":"nobody"}`, "{}", signEd(ed)), ed},
		"kid of other":  {craft(`{"alg":"EdDSA","typ":"`+testTyp+`","kid":"ec"}`, "{}", signEd(ed)), ed},
		"white space":   {craft(" {\r\n\t\"typ\" : \""+testTyp+"\" , \"alg\" : \"EdDSA\" } ", "{}", signEd(ed)), ed},
		"escapes":       {craft(`{"alg":"Ed\u0044SA","typ":"etcha-\u0072equest+jwt"}`, "{}", signEd(ed)), ed},
		"Sign, ed25519": {mustSign(t, ed, testTyp, struct{}{}), ed},
		"Sign, P-256":   {mustSign(t, ec, testTyp, struct{}{}), ec},
		"Sign, RSA":     {mustSign(t, rs, testTyp, struct{}{}), rs},
	} {
		payload, by, err := Verify([]byte(c.tok), testTyp, keys)
		if err != nil || string(payload) != "{}" || by.ID() != c.by.ID() {
			t.Errorf("%s: %q by %q: %v", name, payload, by.ID(), err)
		}
	}
}

// A candidate is picked by alg, kid first, and every one is tried.
func TestCandidates(t *testing.T) {
	var keys []PublicKey
	var privs []PrivateKey
	for i := range 6 {
		kind := []string{KindEd25519, KindP256}[i%2]
		privs = append(privs, mustGenerate(t, kind, fmt.Sprint("same", i/4)))
		keys = append(keys, privs[i].Public())
	}
	for i, priv := range privs {
		tok := mustSign(t, priv, testTyp, i)
		_, by, err := Verify([]byte(tok), testTyp, keys)
		if err != nil || !by.Equal(keys[i]) {
			t.Errorf("key %d: by %q, %v", i, by.ID(), err)
		}
		without := slices.Delete(slices.Clone(keys), i, i+1)
		if _, _, err := Verify([]byte(tok), testTyp, without); !errors.Is(err, ErrInvalid) {
			t.Errorf("key %d is not among them: %v", i, err)
		}
		if _, _, err := Verify([]byte(tok), testTyp, nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("no keys: %v", err)
		}
	}
	p, err := open([]byte(mustSign(t, privs[4], testTyp, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if fit := candidates(keys, p); len(fit) != 3 || !fit[0].Equal(keys[4]) {
		t.Errorf("%d candidates, the named one is not first", len(fit))
	}
}

// Where no key fits a check is made all the same: the decoys are real keys. That
// one of them signed a token counts for nothing.
func TestDecoys(t *testing.T) {
	for _, tok := range []string{rfcEdDSA, rfcES256} {
		p, err := open([]byte(tok))
		if err != nil {
			t.Fatal(err)
		}
		alg := jwa.SignatureAlgorithm(p.alg)
		if err := check(p, alg, decoy(alg, 64)); err != nil {
			t.Errorf("%s: the decoy does not do the work of a key: %v", alg, err)
		}
		if _, _, err := verify([]byte(tok), "", nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: accepted by the decoy: %v", alg, err)
		}
	}
	for _, size := range []int{256, 384, 512, 1024} {
		key, ok := decoy(jwa.RS256, size).(*rsa.PublicKey)
		if !ok || key.Size() != size {
			t.Fatalf("RS256, %d: %v", size, key)
		}
		// The number is no product of primes, but the arithmetic is done.
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, make([]byte, 32), bytes.Repeat([]byte{1}, size)); !errors.Is(err, rsa.ErrVerification) {
			t.Errorf("RS256, %d: %v", size, err)
		}
	}
	if decoy("none", 64) != nil {
		t.Error("a decoy for none")
	}
}

func TestVerifyWantsTyp(t *testing.T) {
	key := mustGenerate(t, KindEd25519, "")
	tok := craft(`{"alg":"EdDSA"}`, "{}", signEd(key))
	if _, _, err := Verify([]byte(tok), "", []PublicKey{key.Public()}); !errors.Is(err, ErrInvalid) {
		t.Errorf("typ was not asked for: %v", err)
	}
	if _, err := key.Sign("", 1); err == nil {
		t.Error("signed without typ")
	}
}

func TestHint(t *testing.T) {
	key := mustGenerate(t, KindEd25519, "name")
	tok := mustSign(t, key, testTyp, 1)
	for text, want := range map[string]string{
		tok: "name", tok[:len(tok)-10]: "", "": "", "a.b.c": "",
		craft(header3("EdDSA", testTyp), "{}", signEd(key)): "",
	} {
		if got := Hint([]byte(text)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSignTooLarge(t *testing.T) {
	key := mustGenerate(t, KindEd25519, "")
	if _, err := key.Sign(testTyp, strings.Repeat("x", maxToken)); err == nil {
		t.Error("a token that nobody takes was made")
	}
	if _, err := key.Sign(testTyp, func() {}); err == nil {
		t.Error("claims that are not JSON were signed")
	}
	full := wire.Claims{Shell: &wire.Shell{Op: wire.OpInput, Data: make([]byte, wire.MaxInput)}, Pad: strings.Repeat("x", wire.PadStep)}
	if _, err := key.Sign(testTyp, full); err != nil {
		t.Errorf("a full input: %v", err)
	}
}

func TestSigner(t *testing.T) {
	key := mustGenerate(t, KindEd25519, "name")
	s := key.Signer()
	tok, err := s.Sign(context.Background(), testTyp, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, by, err := Verify([]byte(tok), testTyp, []PublicKey{s.Public()}); err != nil || by.ID() != "name" {
		t.Errorf("by %q: %v", by.ID(), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Sign(ctx, testTyp, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRequestHash(t *testing.T) {
	sum := sha256.Sum256([]byte("a.b.c"))
	if got := RequestHash([]byte("a.b.c")); got != base64URL(sum[:]) || len(got) != 43 {
		t.Errorf("%q", got)
	}
}
