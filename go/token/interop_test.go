package token

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// opensslKeys are commands that write a key to a file.
var opensslKeys = map[string][]string{
	"ed25519":           {"genpkey", "-algorithm", "ed25519", "-out"},
	"P-256 PKCS8":       {"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"},
	"P-256 SEC1":        {"ecparam", "-name", "prime256v1", "-genkey", "-out"},
	"RSA PKCS8":         {"genrsa", "-out"},
	"RSA PKCS1":         {"genrsa", "-traditional", "-out"},
	"RSA legacy cipher": {"genrsa", "-traditional", "-aes128", "-passout", "pass:right", "-out"},
}

func TestOpenSSLKeys(t *testing.T) {
	needs(t, "openssl")
	for name, args := range opensslKeys {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			run(t, "openssl", append(args, path)...)
			pub := run(t, "openssl", "pkey", "-in", path, "-passin", "pass:right", "-pubout")
			checkPair(t, path, pub)
			if strings.Contains(name, "cipher") {
				wantWrongPassphrase(t, path)
			}
		})
	}
}

// Encrypted PKCS #8 as openssl writes it.
func TestOpenSSLEncrypted(t *testing.T) {
	needs(t, "openssl")
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	run(t, "openssl", "genpkey", "-algorithm", "ed25519", "-out", plain)
	pub := run(t, "openssl", "pkey", "-in", plain, "-pubout")
	for name, args := range map[string][]string{
		"default":       nil,
		"pbkdf2 sha1":   {"-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"},
		"pbkdf2 sha256": {"-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA256"},
		"pbkdf2 sha512": {"-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"},
		"scrypt":        {"-scrypt"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			run(t, "openssl", append([]string{"pkcs8", "-topk8", "-in", plain, "-out", path, "-passout", "pass:right"}, args...)...)
			checkPair(t, path, pub)
			wantWrongPassphrase(t, path)
		})
	}
	old := filepath.Join(dir, "des3")
	run(t, "openssl", "pkcs8", "-topk8", "-v2", "des3", "-in", plain, "-out", old, "-passout", "pass:right")
	text, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParsePrivate(string(text), word("right", nil)); err == nil || !strings.Contains(err.Error(), "not supported") {
		t.Errorf("des3: %v", err)
	}
}

// What Encrypted and Secret write, openssl reads.
func TestOpenSSLReadsOurs(t *testing.T) {
	needs(t, "openssl")
	for _, kind := range []string{KindEd25519, KindP256, KindRSA2048} {
		key := mustGenerate(t, kind, "")
		text := cheap(t, key, "right")
		if kind == KindEd25519 { // once as users get it
			var err error
			if text, err = key.Encrypted([]byte("right")); err != nil {
				t.Fatal(err)
			}
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "key.der")
		writeBody(t, path, text)
		pub := run(t, "openssl", "pkey", "-inform", "DER", "-in", path, "-passin", "pass:right", "-pubout")
		if !mustPublic(t, pub).Equal(key.Public()) {
			t.Errorf("%s encrypted: another key", kind)
		}
		writeBody(t, path, key.Secret())
		pub = run(t, "openssl", "pkey", "-inform", "DER", "-in", path, "-pubout")
		if !mustPublic(t, pub).Equal(key.Public()) {
			t.Errorf("%s: another key", kind)
		}
		writeBody(t, path, key.Public().String())
		pub = run(t, "openssl", "pkey", "-inform", "DER", "-pubin", "-in", path, "-pubout")
		if !mustPublic(t, pub).Equal(key.Public()) {
			t.Errorf("%s public: another key", kind)
		}
	}
}

// writeBody writes the DER inside the own form.
func writeBody(t *testing.T, path, own string) {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(strings.Split(own, ":")[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, der, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSSHKeygen(t *testing.T) {
	needs(t, "ssh-keygen")
	for name, args := range map[string][]string{
		"ed25519":        {"-t", "ed25519", "-N", ""},
		"P-256":          {"-t", "ecdsa", "-b", "256", "-N", ""},
		"RSA":            {"-t", "rsa", "-b", "3072", "-N", ""},
		"encrypted":      {"-t", "ed25519", "-a", "1", "-N", "right"},
		"encrypted PEM":  {"-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "right"},
		"encrypted P8":   {"-t", "ecdsa", "-m", "PKCS8", "-N", "right"},
		"more rounds":    {"-t", "ed25519", "-a", "3", "-N", "right"},
		"cipher aes-cbc": {"-t", "ed25519", "-Z", "aes256-cbc", "-a", "1", "-N", "right"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			run(t, "ssh-keygen", append([]string{"-q", "-C", "me@host", "-f", path}, args...)...)
			pub, err := os.ReadFile(path + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			checkPair(t, path, string(pub))
			if mustPublic(t, string(pub)).ID() != "me@host" {
				t.Error("the comment is not the ID")
			}
			if args[len(args)-1] != "" {
				wantWrongPassphrase(t, path)
			}
			// The SHA256 fingerprint of ssh is over another encoding.
			if strings.Contains(run(t, "ssh-keygen", "-lf", path+".pub"), mustPublic(t, string(pub)).Thumbprint()) {
				t.Error("the thumbprint is that of ssh")
			}
		})
	}
	path := filepath.Join(t.TempDir(), "p384")
	run(t, "ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", path)
	if _, err := ReadPrivate(path, nil); err == nil || !strings.Contains(err.Error(), "P-384") {
		t.Errorf("P-384: %v", err)
	}
}

func checkPair(t *testing.T, path, public string) {
	t.Helper()
	key, err := ReadPrivate(path, word("right", nil))
	if err != nil {
		t.Fatal(err)
	}
	pub := mustPublic(t, public)
	if !key.Public().Equal(pub) {
		t.Error("the halves do not belong together")
	}
	tok := mustSign(t, key, "x", 1)
	if _, _, err := Verify([]byte(tok), "x", []PublicKey{pub}); err != nil {
		t.Error(err)
	}
}

func wantWrongPassphrase(t *testing.T, path string) {
	t.Helper()
	if _, err := ReadPrivate(path, word("wrong", nil)); err == nil || !strings.Contains(err.Error(), ErrPassphrase.Error()) {
		t.Errorf("wrong passphrase: %v", err)
	}
}
