package client

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"etcha/go/errs"
)

// trust decides about TLS connections and holds what is pinned. A connection
// is judged by the key of its certificate, before anything is sent on it.
type trust struct {
	target string
	host   string         // of the node's URL
	proxy  string         // host of a proxy that is reached by TLS itself; else empty
	roots  *x509.CertPool // nil: the system's
	mode   string
	skip   bool

	mu    sync.Mutex
	pin   string    // node ID; empty before first use
	entry KnownNode // the target's line; without Target: none
	file  string    // where entry stands
	// first lets one unknown TLS key in, which is kept in seen: at the first
	// use of a node only.
	first bool
	seen  string // that key
}

// tlsConfig is the client's side of TLS. In the mode pin the usual check of
// names and authorities is one of three ways to be trusted, so that it is done
// here; resumed connections are judged too.
func (t *trust) tlsConfig(o Options) (*tls.Config, error) {
	cfg := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            t.roots,
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	if o.Certificate != "" {
		cert, err := loadCertificate(o.Certificate, o.Key)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	if t.skip || t.mode == TrustPin {
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = t.verify
	}
	return cfg, nil
}

// verify judges a connection in the mode pin.
func (t *trust) verify(cs tls.ConnectionState) error {
	if t.skip {
		return nil
	}
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the node has sent no certificate")
	}
	if t.proxy != "" && cs.ServerName == serverName(t.proxy) && cs.ServerName != serverName(t.host) {
		return t.authority(cs, t.proxy)
	}
	key := keyID(cs.PeerCertificates[0])
	t.mu.Lock()
	defer t.mu.Unlock()
	if key == t.pin || key == t.entry.TLSKey || key == t.seen {
		return nil
	}
	err := t.authority(cs, t.host)
	if err == nil {
		return nil
	}
	if t.first && t.seen == "" {
		t.seen = key
		return nil
	}
	known := t.entry.TLSKey
	if known == "" {
		known = t.seen
	}
	return &TrustError{
		Target: t.target, NodeID: t.pin, Known: known, Key: key,
		File: t.file, Line: t.entry.Line, Err: err,
	}
}

// serverName is what TLS names a host by: nothing for an address.
func serverName(host string) string {
	if net.ParseIP(host) != nil {
		return ""
	}
	return strings.TrimSuffix(host, ".")
}

// authority checks the certificate for a host as a browser would.
func (t *trust) authority(cs tls.ConnectionState, host string) error {
	chain := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		chain.AddCert(c)
	}
	_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{
		DNSName: strings.TrimSuffix(host, "."), Roots: t.roots, Intermediates: chain,
	})
	return err
}

// pinned is the node ID to sign for, and whether the target has a line in the
// known nodes.
func (t *trust) pinned() (id string, listed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pin, t.entry.Target != ""
}

// allowFirst lets one unknown TLS key in.
func (t *trust) allowFirst() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first = true
}

// abandonFirst forgets the key that was let in: first use has not succeeded.
func (t *trust) abandonFirst() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first, t.seen = false, ""
}

// firstUse is what to remember of the node that was just met.
func (t *trust) firstUse(id string) KnownNode {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := KnownNode{Target: t.target, ID: id}
	if t.seen != id {
		n.TLSKey = t.seen
	}
	return n
}

// settle pins a node for good.
func (t *trust) settle(n KnownNode, file string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pin, t.entry, t.file, t.first = n.ID, n, file, false
}

// changed is the error of another node than the pinned one.
func (t *trust) changed(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := &NodeChangedError{Target: t.target, Old: t.pin, New: id}
	if t.entry.ID == t.pin {
		e.File, e.Line = t.file, t.entry.Line
	}
	return e
}

// keyID is the fingerprint of a certificate's public key, in a node ID's form:
// for the certificate that a node makes itself it is the node ID.
func keyID(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// loadRoots are the certificate authorities to trust; nil: the system's.
func loadRoots(o Options) (*x509.CertPool, error) {
	if o.CAFile == "" {
		if o.NoSystemCA {
			return x509.NewCertPool(), nil
		}
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !o.NoSystemCA {
		if system, err := x509.SystemCertPool(); err == nil {
			pool = system
		}
	}
	text, err := pathOrPEM(o.CAFile)
	if err != nil {
		return nil, errs.Usage("certificate authorities: %v", err)
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, errs.Usage("certificate authorities: no certificate in %s", nameOf(o.CAFile))
	}
	return pool, nil
}

func loadCertificate(cert, key string) (tls.Certificate, error) {
	certPEM, err := pathOrPEM(cert)
	if err != nil {
		return tls.Certificate{}, errs.Usage("client certificate: %v", err)
	}
	keyPEM, err := pathOrPEM(key)
	if err != nil {
		return tls.Certificate{}, errs.Usage("client key: %v", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return tls.Certificate{}, errs.Usage("client certificate: %v", err)
	}
	return pair, nil
}

func pathOrPEM(s string) ([]byte, error) {
	if isPEM(s) {
		return []byte(s), nil
	}
	return os.ReadFile(s)
}

func isPEM(s string) bool { return strings.Contains(s, "-----BEGIN ") }

// nameOf names a setting in a message without showing PEM.
func nameOf(s string) string {
	if isPEM(s) {
		return "the given PEM"
	}
	return fmt.Sprintf("%q", s)
}
