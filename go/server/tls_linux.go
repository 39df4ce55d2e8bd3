package server

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"etcha/go/config"
)

// tlsFiles are what the configuration names for TLS, read and checked.
type tlsFiles struct {
	pair *tls.Certificate // nil: the node's own
	cas  *x509.CertPool   // nil: clients need no certificate
}

func readTLS(c config.HTTPServer) (tlsFiles, error) {
	var f tlsFiles
	var err error
	if c.DisableTLS {
		return f, nil
	}
	if c.TLSCertificate != "" || c.TLSKey != "" {
		if f.pair, err = givenCertificate(c.TLSCertificate, c.TLSKey.Reveal()); err != nil {
			return f, err
		}
	}
	if c.ClientCAFile != "" {
		f.cas, err = clientCAs(c.ClientCAFile)
	}
	return f, err
}

// tlsState is what new connections are answered with; it is replaced whole.
type tlsState struct {
	files  tlsFiles
	config *tls.Config
	leaf   *x509.Certificate
}

// tlsSource holds the current state. The zero value has none.
type tlsSource struct{ current atomic.Pointer[tlsState] }

// set makes a state current. The certificate is the configured one or own.
func (s *tlsSource) set(f tlsFiles, own *tls.Certificate) {
	pair := own
	if f.pair != nil {
		pair = f.pair
	}
	if old := s.current.Load(); old != nil && old.files.cas.Equal(f.cas) && sameCertificate(&old.config.Certificates[0], pair) {
		return
	}
	s.current.Store(&tlsState{files: f, config: tlsConfig(pair, f.cas), leaf: pair.Leaf})
}

// tlsConfig accepts TLS 1.2 with forward-secret, authenticated ciphers beside
// TLS 1.3: nginx 1.22 speaks no more than 1.2 to its upstreams by default.
func tlsConfig(pair *tls.Certificate, cas *x509.CertPool) *tls.Config {
	c := &tls.Config{
		Certificates: []tls.Certificate{*pair},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1"},
	}
	if cas != nil {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.ClientCAs = cas
		// A resumed session would not be held against the authorities of now.
		c.SessionTicketsDisabled = true
	}
	return c
}

// server is the configuration of the listener: each connection takes the
// state that is current when it begins.
func (s *tlsSource) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.current.Load().config, nil
		},
	}
}

// named reports whether host, from a request's Host header, is one of the
// node's names: any address, a name of this machine, or one in its certificate.
func (s *tlsSource) named(host string, own []string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if slices.Contains(own, strings.TrimSuffix(host, ".")) {
		return true
	}
	state := s.current.Load()
	return state != nil && state.leaf != nil && state.leaf.VerifyHostname(host) == nil
}

// refreshTLS reads the configured files again, and makes the node's own
// certificate anew when it is due for these names.
func (n *node) refreshTLS(c config.HTTPServer, want names, now time.Time) error {
	if c.DisableTLS {
		return nil
	}
	files, err := readTLS(c)
	if err != nil {
		return err
	}
	own := (*tls.Certificate)(nil)
	if files.pair == nil {
		if own, err = ownCertificate(n.state, n.identity.Signer(), want, now); err != nil {
			return err
		}
	}
	n.tls.set(files, own)
	return nil
}
