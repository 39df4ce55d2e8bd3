package client_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"etcha/go/client"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// events collects what a client tells its user.
type events struct {
	mu  sync.Mutex
	all []client.Event
}

func (e *events) add(v client.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, v)
}

func (e *events) kinds() (all []client.EventKind) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, v := range e.all {
		all = append(all, v.Kind)
	}
	return all
}

// firstUse are the options of a client that has never seen the node.
func (n *node) firstUse(t testing.TB, known *client.KnownNodes) (client.Options, *events) {
	o, e := n.options(), &events{}
	o.NodeID, o.Known, o.Notify = "", known, e.add
	return o, e
}

// withKey serves the node behind a TLS key that is not its identity.
func (n *node) withKey(t testing.TB) (*node, tls.Certificate) {
	cert := certificate(t, newTLSKey(t))
	n.start(overHTTP2)
	n.server.TLS.Certificates = []tls.Certificate{cert}
	n.server.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}, SessionTicketsDisabled: true}, nil
	}
	return n, cert
}

func keyOf(t testing.TB, c tls.Certificate) string {
	t.Helper()
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

func read(t testing.TB, k *client.KnownNodes) string {
	t.Helper()
	b, err := os.ReadFile(k.Path())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFirstUse(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		n := newNode(t, cat)
		var mu sync.Mutex
		conns := map[string]bool{}
		n.before = func(_ http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			conns[r.RemoteAddr] = true
			return false
		}
		n.start(how)
		known := knownFile(t)
		o, e := n.firstUse(t, known)
		c := newClient(t, o)
		open(t, c, wire.Shell{}, nil, nil)
		if len(conns) != 1 {
			t.Errorf("%d connections for the first session", len(conns))
		}
		open(t, c, wire.Shell{}, nil, nil)
		open(t, newClient(t, o), wire.Shell{}, nil, nil)
		if n.questions() != 1 {
			t.Errorf("the node was asked %d times who it is", n.questions())
		}
		if want := "myhost " + n.identity.ID() + "\n"; read(t, known) != want {
			t.Errorf("known nodes %q, want %q", read(t, known), want)
		}
		if len(e.all) != 1 || e.all[0].Kind != client.EventFirstUse || !strings.Contains(e.all[0].Text, n.identity.ID()) || e.all[0].Node != n.identity.ID() {
			t.Errorf("events %+v", e.all)
		}
		if info, err := os.Stat(known.Path()); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("file %v, %v", info.Mode(), err)
		}
	})
}

// Several sessions at once meet a new node once.
func TestFirstUseTogether(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	o, e := n.firstUse(t, knownFile(t))
	c := newClient(t, o)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s, err := c.Open(context.Background(), source, wire.Shell{}, nil, nil)
			if err != nil {
				t.Error(err)
				return
			}
			_ = s.Close()
		})
	}
	all.Wait()
	if n.questions() != 1 || len(e.kinds()) != 1 {
		t.Errorf("%d questions, events %v", n.questions(), e.kinds())
	}
}

// The target's name is the host and port where none is given.
func TestFirstUseTargetName(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	known := knownFile(t)
	o, _ := n.firstUse(t, known)
	o.Target = ""
	if _, err := newClient(t, o).Node(context.Background()); err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimPrefix(n.server.URL, "https://") + " " + n.identity.ID() + "\n"; read(t, known) != want {
		t.Errorf("known nodes %q, want %q", read(t, known), want)
	}
}

func TestNode(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	o, e := n.firstUse(t, knownFile(t))
	c := newClient(t, o)
	for range 2 {
		got, err := c.Node(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != n.identity.ID() || got.Key.Thumbprint() != got.ID || got.Version != "test" || got.Protocol != wire.Protocol || got.Clock.IsZero() {
			t.Errorf("node %+v", got)
		}
	}
	if len(e.kinds()) != 1 {
		t.Errorf("events %v", e.kinds())
	}
}

// An answer that is not signed for this question pins nothing.
func TestNodeAnswerMustBeProven(t *testing.T) {
	old := ""
	for name, edit := range map[string]func(n *node, nonce string) string{
		"junk":  func(*node, string) string { return "x" },
		"empty": func(*node, string) string { return "" },
		"old answer": func(n *node, nonce string) string {
			tok, err := n.identity.Node(wire.NodeClaims{IssuedAt: 1, Nonce: old})
			if err != nil {
				t.Error(err)
			}
			old = nonce
			return tok
		},
		"proof instead": func(n *node, _ string) string {
			tok, err := n.identity.Prove(wire.ProofClaims{IssuedAt: 1, Session: "x", Request: "x"})
			if err != nil {
				t.Error(err)
			}
			return tok
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, cat)
			n.before = func(w http.ResponseWriter, r *http.Request) bool {
				answerJSON(w, wire.NodeAnswer{Token: edit(n, r.URL.Query().Get("nonce"))})
				return true
			}
			n.start(overHTTP2)
			known := knownFile(t)
			o, e := n.firstUse(t, known)
			err := tryOpen(t, newClient(t, o))
			if !errors.Is(err, token.ErrInvalid) {
				t.Errorf("error %v", err)
			}
			if _, err := os.Stat(known.Path()); err == nil || len(e.kinds()) != 0 {
				t.Errorf("remembered %v, events %v", err == nil, e.kinds())
			}
		})
	}
}

// Something else answers, with a text that only looks right.
func TestNodeAnswerOfAnotherKind(t *testing.T) {
	n := newNode(t, cat)
	n.before = func(w http.ResponseWriter, r *http.Request) bool {
		tok, err := n.identity.Node(wire.NodeClaims{IssuedAt: 1, Nonce: r.URL.Query().Get("nonce")})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/html")
		_ = json.NewEncoder(w).Encode(wire.NodeAnswer{Token: tok})
		return true
	}
	n.start(overHTTP2)
	_, err := newClient(t, n.options()).Node(context.Background())
	var proxy *client.ProxyError
	if !errors.As(err, &proxy) || proxy.ContentType != "text/html" {
		t.Errorf("error %v", err)
	}
}

// Another node answers at a known name: refused, old and new named, nothing sent.
func TestNodeChanged(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		known := knownFile(t)
		before := newNode(t, cat).start(how)
		o, _ := before.firstUse(t, known)
		open(t, newClient(t, o), wire.Shell{}, nil, nil)

		after := newNode(t, cat).start(how)
		o.URL = after.server.URL
		o.ForgetCommand = "etcha forget myhost"
		err := tryOpen(t, newClient(t, o))
		var changed *client.NodeChangedError
		if !errors.As(err, &changed) || errs.CodeOf(err) != client.CodeNodeChanged {
			t.Fatalf("error %v", err)
		}
		for _, part := range []string{before.identity.ID(), after.identity.ID(), known.Path() + ":1"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q is not in: %v", part, err)
			}
		}
		if !strings.Contains(errs.HintOf(err), "etcha forget myhost") {
			t.Errorf("hint %q", errs.HintOf(err))
		}
		if how != overHTTP && after.asked(wire.OpOpen) != 0 {
			t.Errorf("requests %v reached the other node", after.asked(wire.OpOpen))
		}
		if len(after.opens()) != 0 && how != overHTTP {
			t.Error("an open request reached the other node")
		}
		_, err = newClient(t, o).Node(context.Background())
		if !errors.As(err, &changed) {
			t.Errorf("Node: %v", err)
		}

		if found, err := known.Forget("myhost"); !found || err != nil {
			t.Fatalf("forget: %v, %v", found, err)
		}
		o.Signer = after.opener.Signer()
		open(t, newClient(t, o), wire.Shell{}, nil, nil)
		if !strings.Contains(read(t, known), after.identity.ID()) {
			t.Error("the new node is not known")
		}
	})
}

// A configured node ID is pinned without any file, and is not overruled by one.
func TestNodeIDConfigured(t *testing.T) {
	n, other := newNode(t, cat).start(overHTTP2), newNode(t, cat).start(overHTTP2)
	o := n.options()
	o.NodeID = other.identity.ID()
	var changed *client.NodeChangedError
	if err := tryOpen(t, newClient(t, o)); !errors.As(err, &changed) || changed.File != "" {
		t.Errorf("error %v", err)
	}
	known := knownFile(t)
	if _, err := known.Remember(client.KnownNode{Target: "myhost", ID: other.identity.ID()}, false); err != nil {
		t.Fatal(err)
	}
	o.NodeID, o.Known = n.identity.ID(), known
	open(t, newClient(t, o), wire.Shell{}, nil, nil)
}

// Meanwhile another program has met another node under the same name.
func TestFirstUseConflict(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	known := knownFile(t)
	o, _ := n.firstUse(t, known)
	c := newClient(t, o)
	other := "SHA256:" + strings.Repeat("A", 43)
	if _, err := known.Remember(client.KnownNode{Target: "myhost", ID: other}, false); err != nil {
		t.Fatal(err)
	}
	var changed *client.NodeChangedError
	if err := tryOpen(t, c); !errors.As(err, &changed) || changed.Old != other {
		t.Errorf("error %v", err)
	}
}

// A certificate of its own, or a proxy's: its key is remembered at first use,
// and another one is refused.
func TestTLSKeyIsPinned(t *testing.T) {
	for _, configured := range []bool{false, true} {
		n, cert := newNode(t, cat).withKey(t)
		known := knownFile(t)
		o, e := n.firstUse(t, known)
		if configured {
			o.NodeID = n.identity.ID()
		}
		open(t, newClient(t, o), wire.Shell{}, nil, nil)
		if want := "myhost " + n.identity.ID() + " tls=" + keyOf(t, cert) + "\n"; read(t, known) != want {
			t.Errorf("known nodes %q, want %q", read(t, known), want)
		}
		if len(e.all) != 1 || !strings.Contains(e.all[0].Text, keyOf(t, cert)) {
			t.Errorf("events %+v", e.all)
		}
		open(t, newClient(t, o), wire.Shell{}, nil, nil)
		before := n.asked(wire.OpOpen)

		// The same node behind another key.
		middle := proxyTo(t, n)
		o.URL = middle.URL
		err := tryOpen(t, newClient(t, o))
		var trust *client.TrustError
		if !errors.As(err, &trust) || errs.CodeOf(err) != client.CodeUntrusted {
			t.Fatalf("error %v", err)
		}
		if trust.Known != keyOf(t, cert) || !strings.Contains(err.Error(), trust.Key) || !strings.Contains(err.Error(), known.Path()+":1") || !strings.Contains(errs.HintOf(err), "tlsSkipVerify") {
			t.Errorf("error %v, hint %q", err, errs.HintOf(err))
		}
		if n.asked(wire.OpOpen) != before {
			t.Error("a request was sent")
		}
		o.TLSSkipVerify = true
		open(t, newClient(t, o), wire.Shell{}, nil, nil)
	}
}

// proxyTo is a middle man with a TLS key of its own.
func proxyTo(t testing.TB, n *node) *httptest.Server {
	middle := httptest.NewUnstartedServer(n)
	middle.EnableHTTP2 = true
	middle.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, newTLSKey(t))}}
	middle.Config.ErrorLog = n.server.Config.ErrorLog
	middle.StartTLS()
	t.Cleanup(func() {
		n.stopPrograms()
		middle.CloseClientConnections()
		middle.Close()
	})
	return middle
}

// A pinned node that was reached directly must not suddenly be behind a proxy.
func TestMiddleManIsRefused(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	known := knownFile(t)
	o, _ := n.firstUse(t, known)
	open(t, newClient(t, o), wire.Shell{}, nil, nil)
	before := n.asked(wire.OpOpen)
	o.URL = proxyTo(t, n).URL
	var trust *client.TrustError
	if err := tryOpen(t, newClient(t, o)); !errors.As(err, &trust) || trust.NodeID != n.identity.ID() {
		t.Fatalf("error %v", err)
	}
	o.NodeID, o.Known = n.identity.ID(), nil
	if err := tryOpen(t, newClient(t, o)); !errors.As(err, &trust) {
		t.Fatalf("with a configured node ID: %v", err)
	}
	if n.asked(wire.OpOpen) != before {
		t.Error("a request was sent")
	}
}

// A TLS key that was met when first use failed is not trusted for that.
func TestFirstUseThatFailsTrustsNothing(t *testing.T) {
	n := newNode(t, cat)
	failing := true
	n.before = func(w http.ResponseWriter, _ *http.Request) bool {
		if failing {
			w.WriteHeader(http.StatusBadGateway)
		}
		return failing
	}
	n, _ = n.withKey(t)
	known := knownFile(t)
	o, _ := n.firstUse(t, known)
	o.HTTP1 = true
	c := newClient(t, o)
	_ = tryOpen(t, c)
	c.Close() // the next connection is a new one
	failing = false
	cert := certificate(t, newTLSKey(t))
	n.server.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{cert}}, nil
	}
	open(t, c, wire.Shell{}, nil, nil)
	if want := "myhost " + n.identity.ID() + " tls=" + keyOf(t, cert) + "\n"; read(t, known) != want {
		t.Errorf("known nodes %q, want %q", read(t, known), want)
	}
}

// Through a proxy the node's key is checked all the same, and a proxy that is
// itself reached by TLS is checked as any server is.
func TestProxy(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	tunnel := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := net.Dial("tcp", r.Host)
		if err != nil || r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(to, from)
			_ = to.Close()
		}()
		_, _ = io.Copy(from, to)
		_ = from.Close()
	})
	plain := httptest.NewServer(tunnel)
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(tunnel)
	cert := certificate(t, newTLSKey(t))
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	secure.Config.ErrorLog = n.server.Config.ErrorLog
	secure.StartTLS()
	t.Cleanup(secure.Close)
	named := strings.Replace(secure.URL, "127.0.0.1", "localhost", 1)

	o := n.options()
	for _, url := range []string{plain.URL, named} {
		o.Proxy, o.CAFile = url, caFile(t, cert)
		out := newBuffer()
		s := open(t, newClient(t, o), wire.Shell{}, out, nil)
		writePieces(t, s, "x")
		out.waitFor(1)
	}
	o.CAFile = ""
	_ = tryOpen(t, newClient(t, o))
	o.Proxy, o.NodeID = plain.URL, newNode(t, cat).identity.ID()
	_ = tryOpen(t, newClient(t, o))
}

func caFile(t testing.TB, c tls.Certificate) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A certificate authority vouches: no key is remembered, in both modes, so that
// certificates may change.
func TestCertificateAuthority(t *testing.T) {
	for _, trust := range []string{client.TrustPin, client.TrustCA} {
		t.Run(trust, func(t *testing.T) {
			n, cert := newNode(t, cat).withKey(t)
			known := knownFile(t)
			o, _ := n.firstUse(t, known)
			o.Trust, o.CAFile, o.NoSystemCA = trust, caFile(t, cert), true
			open(t, newClient(t, o), wire.Shell{}, nil, nil)
			if want := "myhost " + n.identity.ID() + "\n"; read(t, known) != want {
				t.Errorf("known nodes %q, want %q", read(t, known), want)
			}
			open(t, newClient(t, o), wire.Shell{}, nil, nil)
			o.URL = strings.Replace(o.URL, "127.0.0.1", "127.0.0.2", 1)
			o.CAFile = caFile(t, certificate(t, newTLSKey(t)))
			_ = tryOpen(t, newClient(t, o))
		})
	}
}

// In the mode ca the node's own certificate is not enough, and the node is
// pinned all the same.
func TestModeCA(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	o := n.options()
	o.Trust = client.TrustCA
	if err := tryOpen(t, newClient(t, o)); !strings.Contains(errs.HintOf(err), "caFile") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
	o.CAFile = caFile(t, n.server.TLS.Certificates[0])
	open(t, newClient(t, o), wire.Shell{}, nil, nil)
	other := newNode(t, cat)
	o.NodeID = other.identity.ID()
	var changed *client.NodeChangedError
	if err := tryOpen(t, newClient(t, o)); !errors.As(err, &changed) {
		t.Errorf("error %v", err)
	}
}

func TestClientCertificate(t *testing.T) {
	n := newNode(t, cat).start(overHTTP1)
	key := newTLSKey(t)
	cert := certificate(t, key)
	n.server.TLS.ClientAuth = tls.RequireAnyClientCert
	var seen string
	n.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.TLS != nil && len(r.TLS.PeerCertificates) == 1 {
			seen = keyOf(t, tls.Certificate{Certificate: [][]byte{r.TLS.PeerCertificates[0].Raw}})
		}
		return false
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	o := n.options()
	_ = tryOpen(t, newClient(t, o))
	o.Certificate = caFile(t, cert)
	o.Key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	open(t, newClient(t, o), wire.Shell{}, nil, nil)
	if seen != keyOf(t, cert) {
		t.Errorf("the node saw %q", seen)
	}
}
