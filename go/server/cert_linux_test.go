package server

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etcha/go/config"
)

func newState(t *testing.T) *stateDir {
	t.Helper()
	s, err := openState(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOwnCertificate(t *testing.T) {
	s, key, now := newState(t), newKey(t), time.Now()
	first, err := ownCertificate(s, key, ownNames("127.0.0.9:4000"), now)
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", strings.ToLower(host), "127.0.0.1", "::1", "127.0.0.9"} {
		if err := first.Leaf.VerifyHostname(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(first.Leaf)
	if _, err := first.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now}); err != nil {
		t.Errorf("who trusts the certificate cannot verify it: %v", err)
	}
	if info, err := os.Stat(s.file(certName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kept as %v, %v", info.Mode(), err)
	}

	for _, c := range []struct {
		name   string
		listen string
		key    crypto.Signer
		now    time.Time
		same   bool
	}{
		{"a restart", "127.0.0.9:4000", key, now.Add(time.Hour), true},
		{"fewer names", ":4000", key, now.Add(time.Hour), true},
		{"near its end", ":4000", key, now.Add(certLife - certRenew), false},
		{"after its end", ":4000", key, now.Add(certLife + time.Hour), false},
		{"a clock set back", ":4000", key, now.Add(-certBackdate - time.Hour), false},
		{"another address", "127.0.0.10:4000", key, now, false},
		{"another key", "127.0.0.9:4000", newKey(t), now, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: first.Certificate[0]})
			if err := os.WriteFile(s.file(certName), text, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := ownCertificate(s, c.key, ownNames(c.listen), c.now)
			if err != nil {
				t.Fatal(err)
			}
			if same := bytes.Equal(got.Certificate[0], first.Certificate[0]); same != c.same {
				t.Errorf("same certificate: %v, want %v", same, c.same)
			}
			kept, err := readCertificate(s, c.key)
			if err != nil || !sameCertificate(kept, got) {
				t.Errorf("what is kept is not what is used: %v", err)
			}
		})
	}
}

func TestBrokenKeptCertificateIsReplaced(t *testing.T) {
	s, key := newState(t), newKey(t)
	for _, junk := range []string{"", "junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if err := os.WriteFile(s.file(certName), []byte(junk), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ownCertificate(s, key, ownNames(":0"), time.Now()); err != nil {
			t.Errorf("%q: %v", junk, err)
		}
		if _, err := readCertificate(s, key); err != nil {
			t.Errorf("%q was not replaced: %v", junk, err)
		}
	}
}

func TestNamesThatNoCertificateHolds(t *testing.T) {
	n := names{dns: []string{"localhost"}}
	for _, bad := range []string{"", "wörk", "a b", "localhost"} {
		n.addDNS(bad)
	}
	n.addDNS("web_1.example.com")
	if want := []string{"localhost", "web_1.example.com"}; !slices.Equal(n.dns, want) {
		t.Errorf("%q, want %q", n.dns, want)
	}
	long := names{dns: []string{strings.Repeat("a", 60) + ".example.com"}, ips: []net.IP{net.IPv6loopback}}
	if _, err := selfSign(newKey(t), long, time.Now()); err != nil {
		t.Errorf("a long name: %v", err)
	}
}

// pemPair is a certificate and its key as an administrator has them.
func pemPair(t *testing.T, names names) (cert, key string) {
	t.Helper()
	k := newKey(t)
	der, err := selfSign(k, names, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(t, der, k)
}

func pemOf(t *testing.T, der []byte, k crypto.Signer) (cert, key string) {
	t.Helper()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestConfiguredCertificate(t *testing.T) {
	cert, key := pemPair(t, names{dns: []string{"node.example.com"}})
	_, other := pemPair(t, names{dns: []string{"node.example.com"}})
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	frameless := strings.ReplaceAll(strings.TrimPrefix(key, "-----BEGIN PRIVATE KEY-----"), "-----END PRIVATE KEY-----", "")
	for _, c := range []struct{ name, cert, key, cas, want string }{
		{"paths", file("c.pem", cert), file("k.pem", key), "", ""},
		{"PEM", cert, key, cert, ""},
		{"not a pair", cert, other, "", "do not make a pair"},
		{"no key", cert, "", "", "httpServer.tlsKey: open"},
		{"no certificate", "", key, "", "httpServer.tlsCertificate: open"},
		{"missing key", cert, filepath.Join(dir, "none"), "", "httpServer.tlsKey: open " + filepath.Join(dir, "none")},
		{"key without frame", cert, frameless, "", "httpServer.tlsKey is neither a path nor PEM"},
		{"no authority", cert, key, key, "clientCAFile has no certificate"},
		{"missing authority", cert, key, filepath.Join(dir, "none"), "httpServer.clientCAFile: open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readTLS(config.HTTPServer{TLSCertificate: c.cert, TLSKey: config.Secret(c.key), ClientCAFile: c.cas})
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), strings.Split(frameless, "\n")[1]):
				t.Errorf("the key is in the error: %v", err)
			}
		})
	}
	if _, err := readTLS(config.HTTPServer{TLSKey: config.Secret(key), DisableTLS: true}); err != nil {
		t.Errorf("without TLS: %v", err)
	}
}

func TestNodeNames(t *testing.T) {
	cert, key := pemPair(t, names{dns: []string{"node.example.com", "*.wild.example.com"}})
	pair, err := givenCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	var s tlsSource
	own := []string{"localhost", "myhost"}
	if !s.named("MyHost:4000", own) || s.named("node.example.com", own) {
		t.Error("names without a certificate")
	}
	s.set(tlsFiles{pair: pair}, nil)
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:4000": true, "myhost.": true, "127.0.0.1:4000": true, "[::1]:4000": true, "[::1]": true,
		"203.0.113.7": true, "node.example.com:443": true, "x.wild.example.com": true,
		"evil.example.org:4000": false, "": false, "example.com": false, "localhost.evil.org": false,
	} {
		if got := s.named(host, own); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}
