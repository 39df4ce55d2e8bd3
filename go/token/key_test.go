package token

import (
	"bytes"
	"crypto"
	//lint:ignore SA1019 a key of this kind is refused
	"crypto/dsa"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"etcha/go/errs"
	"etcha/go/wire"
)

// The pair that upstream Etcha's manual publishes.
const (
	publishedPrivate = "ed25519private:MC4CAQAwBQYDK2VwBCIEIBq+BhDRYk8OJv1ksMwKtf0td5p3FGwypXq96gHKefGS:reqYEklgP4"
	publishedPublic  = "ed25519public:MCowBQYDK2VwAyEAw7eTEuEH0+TfgtX3zB+JZVnYD0eskY6qn3n7ZCA7wWM=:reqYEklgP4"
)

func TestPublishedPair(t *testing.T) {
	priv, err := ParsePrivate(publishedPrivate, nil)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ParsePublic(publishedPublic)
	if err != nil {
		t.Fatal(err)
	}
	if !pub.Equal(priv.Public()) {
		t.Error("the halves do not belong together")
	}
	if pub.ID() != "reqYEklgP4" || priv.ID() != pub.ID() || pub.Kind() != KindEd25519 || priv.Kind() != pub.Kind() {
		t.Errorf("ID %q and %q, kind %q and %q", pub.ID(), priv.ID(), pub.Kind(), priv.Kind())
	}
	if priv.Secret() != publishedPrivate || pub.String() != publishedPublic || priv.Public().String() != publishedPublic {
		t.Error("the text forms differ from what was read")
	}
	tok := mustSign(t, priv, wire.TypeRequest, wire.Claims{ID: "x"})
	if _, by, err := Verify([]byte(tok), wire.TypeRequest, []PublicKey{pub}); err != nil || by.ID() != pub.ID() {
		t.Errorf("verify: by %q, %v", by.ID(), err)
	}
	if Hint([]byte(tok)) != "reqYEklgP4" {
		t.Errorf("hint %q", Hint([]byte(tok)))
	}
}

func TestThumbprint(t *testing.T) {
	pub := mustPublic(t, publishedPublic)
	der, err := base64.StdEncoding.DecodeString(strings.Split(publishedPublic, ":")[1])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	if want := "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]); pub.Thumbprint() != want {
		t.Errorf("%s, want %s", pub.Thumbprint(), want)
	}
	got := pub.DER()
	if !bytes.Equal(got, der) {
		t.Error("another DER")
	}
	got[0]++
	if !bytes.Equal(pub.DER(), der) {
		t.Error("DER is not a copy")
	}
}

func TestGenerate(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			key, err := Generate(kind, "")
			if err != nil {
				t.Fatal(err)
			}
			if key.Kind() != kind {
				t.Errorf("kind %q", key.Kind())
			}
			if !regexp.MustCompile(`^[0-9A-Za-z]{10}$`).MatchString(key.ID()) {
				t.Errorf("ID %q", key.ID())
			}
			again, err := ParsePrivate(" "+key.Secret()+"\n", nil)
			if err != nil {
				t.Fatal(err)
			}
			pub, err := ParsePublic(key.Public().String() + "\r\n")
			if err != nil {
				t.Fatal(err)
			}
			if again.Secret() != key.Secret() || !again.Public().Equal(key.Public()) || !pub.Equal(key.Public()) || pub.ID() != key.ID() {
				t.Error("text form does not read back")
			}
			tok := mustSign(t, again, "x+jwt", map[string]int{"a": 1})
			if _, _, err := Verify([]byte(tok), "x+jwt", []PublicKey{pub}); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := Generate("ecp384", ""); errs.HintOf(err) == "" || errs.ExitOf(err) != errs.ExitUsage {
		t.Errorf("unknown kind: %v", err)
	}
	named := mustGenerate(t, KindEd25519, "laptop@example.com")
	if named.ID() != "laptop@example.com" {
		t.Errorf("ID %q", named.ID())
	}
}

func TestRandomIDs(t *testing.T) {
	seen, letters := map[string]bool{}, map[rune]bool{}
	for range 500 {
		id := randomID()
		if seen[id] {
			t.Fatal("an ID twice")
		}
		seen[id] = true
		for _, c := range id {
			letters[c] = true
		}
	}
	if len(letters) != len(alphabet) {
		t.Errorf("%d different letters of %d", len(letters), len(alphabet))
	}
	if id := NewID(); len(id) < wire.MinJTI || len(id) > wire.MaxJTI || id == NewID() {
		t.Errorf("jti %q", id)
	}
}

func TestKeyIDs(t *testing.T) {
	base := strings.TrimSuffix(publishedPublic, ":reqYEklgP4")
	if k := mustPublic(t, base); k.ID() != "" || k.String() != base {
		t.Errorf("without an ID: %q", k.String())
	}
	for _, id := range []string{"a", "me@host", "a.b-c_d/e+f=", strings.Repeat("x", maxIDBytes)} {
		if k := mustPublic(t, base+":"+id); k.ID() != id {
			t.Errorf("%q became %q", id, k.ID())
		}
	}
	for _, id := range []string{"", "a b", "a:b", "a\"b", "ä", "a\\b", "<a>", "a&b", "\x7f", strings.Repeat("x", maxIDBytes+1)} {
		if _, err := ParsePublic(base + ":" + id); err == nil {
			t.Errorf("ID %q was taken", id)
		}
	}
	if _, err := Generate(KindEd25519, "a b"); err == nil {
		t.Error("Generate took an ID with a space")
	}
}

func TestZeroKeys(t *testing.T) {
	var pub PublicKey
	var priv PrivateKey
	if !pub.IsZero() || !priv.IsZero() || pub.Equal(PublicKey{}) || pub.Equal(mustPublic(t, publishedPublic)) {
		t.Error("a zero key is equal to one")
	}
	for _, s := range []string{pub.ID(), pub.Kind(), pub.Thumbprint(), pub.String(), priv.ID(), priv.Kind(), priv.Secret(), priv.String()} {
		if s != "" {
			t.Errorf("a zero key says %q", s)
		}
	}
	if pub.DER() != nil {
		t.Error("a zero key has DER")
	}
	if _, err := priv.Sign("x", 1); !errors.Is(err, errNoKey) {
		t.Errorf("sign: %v", err)
	}
	if _, err := priv.Encrypted([]byte("x")); !errors.Is(err, errNoKey) {
		t.Errorf("encrypt: %v", err)
	}
	tok := mustSign(t, mustGenerate(t, KindEd25519, ""), "x", 1)
	if _, _, err := Verify([]byte(tok), "x", []PublicKey{{}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("verify: %v", err)
	}
}

// A private key must not get out by being printed.
func TestPrivateKeyIsMasked(t *testing.T) {
	for _, kind := range []string{KindEd25519, KindP256, KindRSA2048} {
		key := mustGenerate(t, kind, "name")
		secrets := secretsOf(t, key)
		holder := struct{ key PrivateKey }{key}
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
			fmt.Fprintf(&out, verb+"\n", key)
			fmt.Fprintf(&out, verb+"\n", &key)
			fmt.Fprintf(&out, verb+"\n", holder)
			fmt.Fprintf(&out, verb+"\n", key.Signer())
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", key, "signer", key.Signer())
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", key, "in", map[string]any{"key": key})
		if err := json.NewEncoder(&out).Encode([]any{key, &key, map[string]any{"key": key}}); err != nil {
			t.Fatal(err)
		}
		masked := kind + "private:***:name"
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, key); got != masked {
				t.Errorf("%s prints %s", verb, got)
			}
		}
		for _, want := range []string{"key=" + masked, `"key":"` + masked + `"`, `["` + masked + `","` + masked + `",`} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %s in %s", want, out.String())
			}
		}
		for _, s := range secrets {
			if strings.Contains(out.String(), s) {
				t.Errorf("%s: part of the key was printed", kind)
			}
		}
	}
}

// secretsOf lists forms in which a key could be seen in a text.
func secretsOf(t *testing.T, key PrivateKey) []string {
	t.Helper()
	der, err := key.pkcs8()
	if err != nil {
		t.Fatal(err)
	}
	middle := der[len(der)/2 : len(der)/2+8]
	body := strings.Split(key.Secret(), ":")[1]
	return []string{
		body[len(body)/2 : len(body)/2+12],
		fmt.Sprintf("%x", middle), fmt.Sprintf("%X", middle), string(middle),
		strings.Trim(fmt.Sprint(middle), "[]"),
	}
}

func TestUnsupportedKinds(t *testing.T) {
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]any{"x25519": x25519, "P-384": p384, "P-521": p521, "RSA 1024": shortRSA(t)} {
		t.Run(name, func(t *testing.T) {
			refusesEveryForm(t, raw)
		})
	}
}

func refusesEveryForm(t *testing.T, raw any) {
	t.Helper()
	privDER, err := x509.MarshalPKCS8PrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	public := raw.(interface{ Public() crypto.PublicKey }).Public()
	pubDER, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	for _, text := range []string{"ecp256private:" + b64(privDER), "ecp384private:" + b64(privDER), pemText("PRIVATE KEY", privDER)} {
		_, err := ParsePrivate(text, nil)
		wantRefusal(t, err)
	}
	for _, text := range []string{"ecp256public:" + b64(pubDER), "ecp384public:" + b64(pubDER), pemText("PUBLIC KEY", pubDER)} {
		_, err := ParsePublic(text)
		wantRefusal(t, err)
	}
	if pub, err := ssh.NewPublicKey(public); err == nil {
		_, err := ParsePublic(string(ssh.MarshalAuthorizedKey(pub)))
		wantRefusal(t, err)
	}
}

func wantRefusal(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("it was read")
	}
	if !strings.Contains(errs.HintOf(err), "ed25519") {
		t.Errorf("no hint what is supported: %v", err)
	}
}

// shortRSA is a key of 1024 bits, which crypto/rsa no longer makes by itself.
func shortRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestUnsupportedSSHKinds(t *testing.T) {
	key := mustGenerate(t, KindEd25519, "")
	sshKey, err := ssh.NewPublicKey(key.pub.p.raw)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(key.raw())
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: sshKey, CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	sk := ssh.Marshal(struct {
		Type, Key, App string
	}{ssh.KeyAlgoSKED25519, string(key.pub.p.raw.(ed25519.PublicKey)), "ssh:"})
	skKey, err := ssh.ParsePublicKey(sk)
	if err != nil {
		t.Fatal(err)
	}
	dsaKey, err := ssh.NewPublicKey(testDSA(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]ssh.PublicKey{"certificate": cert, "security key": skKey, "DSA": dsaKey} {
		_, err := ParsePublic(string(ssh.MarshalAuthorizedKey(k)))
		if err == nil {
			t.Errorf("%s was read", name)
			continue
		}
		if name != "DSA" {
			wantRefusal(t, err)
		}
	}
}

func testDSA(t *testing.T) *dsa.PublicKey {
	t.Helper()
	var key dsa.PrivateKey
	if err := dsa.GenerateParameters(&key.Parameters, rand.Reader, dsa.L1024N160); err != nil {
		t.Fatal(err)
	}
	if err := dsa.GenerateKey(&key, rand.Reader); err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
