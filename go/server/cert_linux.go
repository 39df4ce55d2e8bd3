package server

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"etcha/go/errs"
)

// The node's own certificate. Its clients know the node by its key, so the
// dates only have to satisfy programs that look at them.
const (
	certLife     = 397 * 24 * time.Hour // what browsers accept at most
	certRenew    = 30 * 24 * time.Hour  // left when it is replaced
	certBackdate = 24 * time.Hour       // for clients whose clock is behind
	certCheck    = time.Hour            // how often names and dates are looked at
	certFirst    = time.Minute          // after the start, for the first time
	certNames    = 64                   // addresses at most
	fqdnWait     = time.Second          // for the resolver
	maxPath      = 255                  // bytes of a path to a certificate or key
)

// names are what a node is called: DNS names in lower case, and addresses.
type names struct {
	dns []string
	ips []net.IP
}

// ownNames are the names that this machine knows without asking anybody.
func ownNames(listen string) names {
	n := names{dns: []string{"localhost"}, ips: []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}}
	if host, err := os.Hostname(); err == nil {
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		n.addDNS(host)
		if short, _, ok := strings.Cut(host, "."); ok {
			n.addDNS(short)
		}
	}
	if host, _, err := net.SplitHostPort(listen); err == nil {
		if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() {
			n.addIP(a)
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return n
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() && len(n.ips) < certNames {
			n.addIP(p.Addr())
		}
	}
	return n
}

// addDNS leaves out what no certificate can hold.
func (n *names) addDNS(name string) {
	other := func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-._", r) }
	if name != "" && !strings.ContainsFunc(name, other) && !slices.Contains(n.dns, name) {
		n.dns = append(n.dns, name)
	}
}

func (n *names) addIP(a netip.Addr) {
	ip := net.IP(a.Unmap().WithZone("").AsSlice())
	if !slices.ContainsFunc(n.ips, ip.Equal) {
		n.ips = append(n.ips, ip)
	}
}

// addFQDN asks the resolver (the hosts file first) for the full name. That may
// take fqdnWait, so it is not done while a start waits for it.
func (n *names) addFQDN(ctx context.Context) {
	host, err := os.Hostname()
	if err != nil || strings.Contains(host, ".") {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, fqdnWait)
	defer cancel()
	if full, err := net.DefaultResolver.LookupCNAME(ctx, host); err == nil && strings.HasPrefix(strings.ToLower(full), strings.ToLower(host)+".") {
		n.addDNS(strings.ToLower(strings.TrimSuffix(full, ".")))
	}
}

// covered reports whether a certificate is for all the names.
func (n names) covered(c *x509.Certificate) bool {
	for _, d := range n.dns {
		if !slices.Contains(c.DNSNames, d) {
			return false
		}
	}
	for _, ip := range n.ips {
		if !slices.ContainsFunc(c.IPAddresses, ip.Equal) {
			return false
		}
	}
	return true
}

// ownCertificate is the node's self-signed certificate: the kept one while it
// serves, else a new one, which is then kept.
func ownCertificate(state *stateDir, key crypto.Signer, want names, now time.Time) (*tls.Certificate, error) {
	kept, err := readCertificate(state, key)
	if err == nil && want.covered(kept.Leaf) && now.After(kept.Leaf.NotBefore) && now.Before(kept.Leaf.NotAfter.Add(-certRenew)) {
		return kept, nil
	}
	der, err := selfSign(key, want, now)
	if err != nil {
		return nil, fmt.Errorf("make the node's certificate: %w", err)
	}
	if err := state.writeFile(certName, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil {
		return nil, fmt.Errorf("keep the node's certificate: %w", err)
	}
	return withKey(der, key)
}

func readCertificate(state *stateDir, key crypto.Signer) (*tls.Certificate, error) {
	text, err := os.ReadFile(state.file(certName))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fs.ErrInvalid
	}
	return withKey(block.Bytes, key)
}

// withKey joins a certificate and its key, and fails when they are not a pair.
func withKey(der []byte, key crypto.Signer) (*tls.Certificate, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(leaf.PublicKey) {
		return nil, errors.New("the certificate is for another key")
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

func selfSign(key crypto.Signer, n names, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: commonName(n)},
		NotBefore:    now.Add(-certBackdate),
		NotAfter:     now.Add(certLife - certBackdate),
		DNSNames:     n.dns, IPAddresses: n.ips,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	return x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
}

// commonName is at most 64 characters (RFC 5280, appendix A.1).
func commonName(n names) string {
	const most = 64
	name := n.dns[len(n.dns)-1]
	return name[:min(len(name), most)]
}

// givenCertificate reads the configured certificate and its key, each a path or PEM.
func givenCertificate(cert, key string) (*tls.Certificate, error) {
	certPEM, err := pathOrPEM("httpServer.tlsCertificate", cert)
	if err != nil {
		return nil, err
	}
	keyPEM, err := pathOrPEM("httpServer.tlsKey", key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, &errs.Error{
			Text: "httpServer.tlsCertificate and httpServer.tlsKey do not make a pair", Err: err,
		}
	}
	return &pair, nil
}

// clientCAs reads the authorities that clients' certificates must come from.
func clientCAs(path string) (*x509.CertPool, error) {
	text, err := pathOrPEM("httpServer.clientCAFile", path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, &errs.Error{Text: "httpServer.clientCAFile has no certificate"}
	}
	return pool, nil
}

func pathOrPEM(setting, s string) ([]byte, error) {
	if strings.Contains(s, "-----BEGIN ") {
		return []byte(s), nil
	}
	// A key that lost its PEM frame must not be printed as a path.
	if len(s) > maxPath || strings.ContainsAny(s, "\r\n") {
		return nil, &errs.Error{Text: setting + " is neither a path nor PEM"}
	}
	text, err := os.ReadFile(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return text, nil
}

// sameCertificate reports whether two chains are the same bytes.
func sameCertificate(a, b *tls.Certificate) bool {
	return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal)
}
