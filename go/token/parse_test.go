package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"etcha/go/errs"
)

// privateForms are all texts of a key that are read, without a passphrase.
func privateForms(t *testing.T, key PrivateKey) map[string]string {
	t.Helper()
	der, err := key.pkcs8()
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key.raw(), "me@host")
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]string{
		"own":     key.Secret(),
		"PKCS8":   pemText("PRIVATE KEY", der),
		"OpenSSH": string(pem.EncodeToMemory(block)),
	}
	switch raw := key.raw().(type) {
	case *rsa.PrivateKey:
		forms["PKCS1"] = pemText("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(raw))
	case *ecdsa.PrivateKey:
		sec1, err := x509.MarshalECPrivateKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		forms["SEC1"] = pemText("EC PRIVATE KEY", sec1)
		// As openssl ecparam -genkey writes it.
		params := pemText("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})
		forms["SEC1 with parameters"] = params + forms["SEC1"]
	}
	return forms
}

func publicForms(t *testing.T, key PublicKey) map[string]string {
	t.Helper()
	sshKey, err := ssh.NewPublicKey(key.p.raw)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshKey)))
	forms := map[string]string{
		"own":                     key.String(),
		"PKIX":                    pemText("PUBLIC KEY", key.DER()),
		"authorized_keys":         line,
		"authorized_keys comment": line + " me@host",
		"authorized_keys spaced":  "  " + strings.ReplaceAll(line, " ", "\t") + " a comment of words\r\n",
	}
	if raw, ok := key.p.raw.(*rsa.PublicKey); ok {
		forms["PKCS1"] = pemText("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(raw))
	}
	return forms
}

func TestForms(t *testing.T) {
	for _, kind := range []string{KindEd25519, KindP256, KindRSA2048} {
		key := mustGenerate(t, kind, "name")
		for name, text := range privateForms(t, key) {
			got, err := ParsePrivate("\n"+text+"\n", nil)
			if err != nil {
				t.Errorf("%s private %s: %v", kind, name, err)
				continue
			}
			if !got.Public().Equal(key.Public()) {
				t.Errorf("%s private %s: another key", kind, name)
			}
			if _, err := ParsePublic(text); err == nil || !strings.Contains(err.Error(), "private key") || errs.HintOf(err) == "" {
				t.Errorf("%s private %s as public: %v", kind, name, err)
			}
		}
		for name, text := range publicForms(t, key.Public()) {
			got, err := ParsePublic(text)
			if err != nil {
				t.Errorf("%s public %s: %v", kind, name, err)
				continue
			}
			if !got.Equal(key.Public()) {
				t.Errorf("%s public %s: another key", kind, name)
			}
			want := map[string]string{"own": "name", "authorized_keys comment": "me@host"}[name]
			if got.ID() != want {
				t.Errorf("%s public %s: ID %q, want %q", kind, name, got.ID(), want)
			}
			if _, err := ParsePrivate(text, nil); err == nil || !strings.Contains(err.Error(), "public key") {
				t.Errorf("%s public %s as private: %v", kind, name, err)
			}
		}
	}
}

func TestRefusedTexts(t *testing.T) {
	key := mustGenerate(t, KindEd25519, "")
	other := mustGenerate(t, KindP256, "")
	forms, pub := privateForms(t, key), publicForms(t, key.Public())
	public := map[string]string{
		"empty":                     "",
		"blank":                     " \n\t",
		"words":                     "hello world",
		"a path":                    "/etc/ssh/id_ed25519.pub",
		"own, no base64":            "ed25519public:!!!!:x",
		"own, no key":               "ed25519public::x",
		"own, colon at the end":     pub["own"][:strings.LastIndex(pub["own"], ":")+1],
		"own, cut":                  pub["own"][:40],
		"own, two lines":            strings.Replace(pub["own"], "MCow", "MC\now", 1),
		"own, sloppy base64":        "ed25519public:" + sloppy(t, key.Public().DER()),
		"own, another kind":         strings.Replace(other.Public().String(), "ecp256", "ed25519", 1),
		"own, unknown kind":         strings.Replace(pub["own"], "ed25519", "ed448", 1),
		"own, more behind the DER":  "ed25519public:" + base64.StdEncoding.EncodeToString(append(key.Public().DER(), 0)),
		"PEM, cut":                  pub["PKIX"][:60],
		"PEM, two blocks":           pub["PKIX"] + pub["PKIX"],
		"PEM, something behind":     pub["PKIX"] + "hello",
		"PEM, certificate":          pemText("CERTIFICATE", key.Public().DER()),
		"PEM, parameters alone":     pemText("EC PARAMETERS", []byte{6, 1, 0}),
		"PEM, wrong content":        pemText("PUBLIC KEY", []byte("hello")),
		"authorized_keys, options":  `restrict,command="date" ` + pub["authorized_keys"],
		"authorized_keys, option":   "restrict " + pub["authorized_keys"],
		"authorized_keys, two":      pub["authorized_keys"] + "\n" + pub["authorized_keys"],
		"authorized_keys, cut":      pub["authorized_keys"][:40],
		"authorized_keys, mistyped": strings.Replace(pub["authorized_keys"], "ssh-ed25519", "ssh-rsa", 1),
		"authorized_keys, comment":  "# " + pub["authorized_keys"],
		"too long":                  pub["own"] + strings.Repeat(" ", maxKeyText),
	}
	for name, text := range public {
		if _, err := ParsePublic(text); err == nil {
			t.Errorf("public, %s: was read", name)
		}
	}
	private := map[string]string{
		"empty":                    "",
		"words":                    "hello world",
		"own, cut":                 forms["own"][:40],
		"own, another kind":        strings.Replace(other.Secret(), "ecp256", "ed25519", 1),
		"own, more behind the DER": "ed25519private:" + base64.StdEncoding.EncodeToString(append(mustDER(t, key), 0)),
		"PEM, two blocks":          forms["PKCS8"] + forms["PKCS8"],
		"PEM, certificate":         pemText("CERTIFICATE", []byte{1}),
		"PEM, wrong name":          pemText("EC PRIVATE KEY", mustDER(t, key)),
		"PEM, DSA":                 pemText("DSA PRIVATE KEY", mustDER(t, key)),
		"OpenSSH, cut":             pemText("OPENSSH PRIVATE KEY", []byte("openssh-key-v1\x00")),
		"too long":                 forms["own"] + strings.Repeat(" ", maxKeyText),
	}
	for name, text := range private {
		if _, err := ParsePrivate(text, nil); err == nil {
			t.Errorf("private, %s: was read", name)
		}
	}
}

// sloppy is base64 with bits behind the last byte, which are no part of it.
func sloppy(t *testing.T, der []byte) string {
	t.Helper()
	text := []byte(base64.StdEncoding.EncodeToString(der))
	i := strings.IndexByte(string(text), '=')
	if i < 0 {
		t.Fatal("the encoding has no padding: the test is wrong")
	}
	text[i-1]++
	return string(text)
}

func mustDER(t *testing.T, key PrivateKey) []byte {
	t.Helper()
	der, err := key.pkcs8()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// An OpenSSH file whose public half was swapped would make Ed25519 signatures
// that give the private half away.
func TestSwappedHalf(t *testing.T) {
	a := mustGenerate(t, KindEd25519, "").raw().(ed25519.PrivateKey)
	b := mustGenerate(t, KindEd25519, "").raw().(ed25519.PrivateKey)
	mixed := append(append(ed25519.PrivateKey{}, a[:32]...), b[32:]...)
	block, err := ssh.MarshalPrivateKey(mixed, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParsePrivate(string(pem.EncodeToMemory(block)), nil); err == nil || !strings.Contains(err.Error(), "malformed") {
		t.Errorf("it was read: %v", err)
	}
}

// Whatever is wrong with a private key's text, the error does not repeat it.
func TestErrorsDoNotShowKeys(t *testing.T) {
	for _, kind := range []string{KindEd25519, KindP256, KindRSA2048} {
		key := mustGenerate(t, kind, "name")
		secrets := secretsOf(t, key)
		for name, text := range privateForms(t, key) {
			body := text[len(text)/2 : len(text)/2+12]
			for cut := 0; cut < len(text); cut += 1 + len(text)/40 {
				for _, bad := range []string{text[:cut], text[cut:], text[:cut] + "~" + text[cut:], text[:cut] + "\n" + text[cut:]} {
					_, err := ParsePublic(bad)
					checkSilent(t, kind+" "+name, err, append(secrets, body))
					_, err = ParsePrivate(bad, nil)
					checkSilent(t, kind+" "+name, err, append(secrets, body))
				}
			}
		}
	}
}

func checkSilent(t *testing.T, what string, err error, secrets []string) {
	t.Helper()
	if err == nil {
		return
	}
	for _, s := range secrets {
		if strings.Contains(err.Error()+errs.HintOf(err), s) {
			t.Fatalf("%s: the error shows the key", what)
		}
	}
}

func TestPassphrases(t *testing.T) {
	for _, kind := range []string{KindEd25519, KindRSA2048} {
		key := mustGenerate(t, kind, "name")
		block, err := ssh.MarshalPrivateKeyWithPassphrase(key.raw(), "", []byte("right"))
		if err != nil {
			t.Fatal(err)
		}
		own := cheap(t, key, "right")
		if !strings.HasPrefix(own, kind+"private-encrypted:") || !strings.HasSuffix(own, ":name") || strings.ContainsAny(own, "\r\n") {
			t.Errorf("encrypted form: %s", own)
		}
		der, err := base64.StdEncoding.DecodeString(strings.Split(own, ":")[1])
		if err != nil {
			t.Fatal(err)
		}
		forms := map[string]string{
			"own":     own,
			"PKCS8":   pemText("ENCRYPTED PRIVATE KEY", der),
			"OpenSSH": string(pem.EncodeToMemory(block)),
		}
		if kind == KindRSA2048 {
			delete(forms, "OpenSSH") // its passphrase takes long
		}
		for name, text := range forms {
			t.Run(kind+" "+name, func(t *testing.T) { checkEncrypted(t, key, text) })
		}
	}
}

// What users get takes its time and memory to try.
func TestEncryptedCost(t *testing.T) {
	key := mustGenerate(t, KindEd25519, "")
	if _, err := key.Encrypted(nil); err == nil {
		t.Error("encrypted without a passphrase")
	}
	text, err := key.Encrypted([]byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	der, err := base64.StdEncoding.DecodeString(strings.Split(text, ":")[1])
	if err != nil {
		t.Fatal(err)
	}
	var info encryptedKeyInfo
	var params pbes2Params
	var cost scryptParams
	for _, step := range []struct {
		der  func() []byte
		into any
	}{
		{func() []byte { return der }, &info},
		{func() []byte { return info.Algorithm.Parameters.FullBytes }, &params},
		{func() []byte { return params.KDF.Parameters.FullBytes }, &cost},
	} {
		if err := unmarshalAll(step.der(), step.into); err != nil {
			t.Fatal(err)
		}
	}
	if 128*cost.N*cost.R < 16<<20 || cost.P < 5 || len(cost.Salt) < 16 {
		t.Errorf("%+v", cost)
	}
	if got, err := ParsePrivate(text, word("right", nil)); err != nil || got.Secret() != key.Secret() {
		t.Errorf("does not read back: %v", err)
	}
}

func checkEncrypted(t *testing.T, key PrivateKey, text string) {
	t.Helper()
	asked := 0
	got, err := ParsePrivate(text, word("right", &asked))
	if err != nil {
		t.Fatal(err)
	}
	if asked != 1 || !got.Public().Equal(key.Public()) {
		t.Errorf("asked %d times, or another key", asked)
	}
	if _, err := ParsePrivate(text, word("wrong", nil)); !errors.Is(err, ErrPassphrase) {
		t.Errorf("wrong passphrase: %v", err)
	}
	if _, err := ParsePrivate(text, nil); !errors.Is(err, ErrEncrypted) {
		t.Errorf("nobody to ask: %v", err)
	}
	stop := errors.New("stop")
	if _, err := ParsePrivate(text, func() ([]byte, error) { return nil, stop }); !errors.Is(err, stop) {
		t.Errorf("asking stopped: %v", err)
	}
	if _, err := ParsePublic(text); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Errorf("as public: %v", err)
	}
}

// No passphrase is asked for when the key does not need one, or cannot be read
// with one either.
func TestPassphraseNotAsked(t *testing.T) {
	key := mustGenerate(t, KindEd25519, "")
	asked := 0
	for name, text := range privateForms(t, key) {
		if _, err := ParsePrivate(text, word("x", &asked)); err != nil || asked != 0 {
			t.Errorf("%s: asked %d times, %v", name, asked, err)
		}
	}
	own := cheap(t, key, "x")
	for _, bad := range []string{own[:80], strings.Replace(own, ":MI", ":AA", 1), "ed25519private-encrypted:AAAA"} {
		if _, err := ParsePrivate(bad, word("x", &asked)); err == nil || asked != 0 {
			t.Errorf("asked %d times, %v", asked, err)
		}
	}
}

// Two encryptions share nothing.
func TestEncryptedIsSalted(t *testing.T) {
	key := mustGenerate(t, KindEd25519, "")
	var datas []string
	for range 2 {
		der, err := base64.StdEncoding.DecodeString(strings.Split(cheap(t, key, "x"), ":")[1])
		if err != nil {
			t.Fatal(err)
		}
		e, err := openEnvelope(der)
		if err != nil {
			t.Fatal(err)
		}
		datas = append(datas, string(e.iv), string(e.data))
	}
	if datas[0] == datas[2] || datas[1] == datas[3] {
		t.Error("the same initialisation vector or text twice")
	}
}

func TestScryptBounds(t *testing.T) {
	for _, p := range []scryptParams{
		{N: 1, R: 8, P: 1},
		{N: 3 << 10, R: 8, P: 1},
		{N: 1 << 14, R: 0, P: 1},
		{N: 1 << 14, R: 8, P: 0},
		{N: 1 << 20, R: 8, P: 1},
		{N: 1 << 14, R: 8, P: 1 << 20},
		{N: 1 << 62, R: 1 << 62, P: 1 << 62},
		{N: 1 << 62, R: 1, P: 1},
		{N: 2, R: 1 << 62, P: 1},
	} {
		if scryptAffordable(p) {
			t.Errorf("%+v is let through", p)
		}
	}
	for _, p := range []scryptParams{
		{N: fullCost().n, R: fullCost().r, P: fullCost().p},
		{N: 1 << 17, R: 8, P: 1},
	} {
		if !scryptAffordable(p) {
			t.Errorf("%+v is refused", p)
		}
	}
}
