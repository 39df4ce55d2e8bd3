package server

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcha/go/audit"
	"etcha/go/authz"
	"etcha/go/config"
	"etcha/go/metrics"
	"etcha/go/token"
	"etcha/go/wire"
)

// lone is a handler without a keeper, and all that it needs.
type lone struct {
	*handler
	t     testing.TB
	log   *logBuffer
	alice token.PrivateKey
	conf  *config.Config
	clock time.Time // stands still, so that no token expires
}

func newLone(t testing.TB, changes ...func(*config.Config)) *lone {
	t.Helper()
	l := &lone{t: t, log: &logBuffer{}, alice: newPrivate(t, "ed25519", "alice"), clock: time.Now()}
	l.conf = newConfig(t, t.TempDir(), l.alice, newPrivate(t, "ecp256", "bob"))
	for _, change := range changes {
		change(l.conf)
	}
	state, err := openState(l.conf.Run.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := token.LoadIdentity(state.path)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := token.OpenJournal(token.JournalOptions{Path: state.file(journalName), Now: func() time.Time { return l.clock }, Fresh: true})
	if err != nil {
		t.Fatal(err)
	}
	approvals, err := token.OpenJournal(token.JournalOptions{Path: state.file(approvalsName), MaxLife: wire.ApprovalLife, Fresh: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { journal.Close(); approvals.Close(); state.close() })
	own, err := ownCertificate(state, identity.Signer(), ownNames(":0"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSettings(l.conf)
	if err != nil {
		t.Fatal(err)
	}
	source := new(tlsSource)
	source.set(tlsFiles{}, own)
	log, count := slog.New(slog.NewTextHandler(l.log, &slog.HandlerOptions{Level: slog.LevelDebug})), metrics.New("test")
	l.handler = newHandler(parts{
		log: log, metrics: count, identity: identity, journal: journal, approvals: approvals, tls: source, version: "test",
		witness: newWitness(t, state, log, count),
	}, s)
	l.handler.metrics.Sources(s.sources)
	return l
}

// newWitness writes down what happens, with nobody who looks.
func newWitness(t testing.TB, state *stateDir, log *slog.Logger, count *metrics.Metrics) *witness {
	t.Helper()
	w := &witness{
		log: log, metrics: count, feeds: newFeeds(func(authz.Identity, authz.Record) bool { return false }),
		records: func(string) (authz.Record, bool) { return authz.Record{}, false },
	}
	var err error
	if w.audit, err = audit.Open(audit.Options{Dir: state.file(auditName)}); err != nil {
		t.Fatal(err)
	}
	w.start()
	t.Cleanup(func() {
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// serve answers on a port of its own, as the configuration says.
func (l *lone) serve(change func(*http.Server)) string {
	l.t.Helper()
	ln, err := bind(l.t.Context(), "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	srv := newHTTP(l.handler, l.conf.HTTPServer, l.tls, l.handler.log)
	if change != nil {
		change(srv)
	}
	ended := make(chan error, 1)
	trusted := l.handler.settings.Load().proxies.contain
	go func() {
		ended <- serve(srv, &listener{Listener: ln, unverified: newCrowd(4, 3), trusted: trusted})
	}()
	l.t.Cleanup(func() {
		srv.Close()
		if err := <-ended; err != nil {
			l.t.Error(err)
		}
	})
	return ln.Addr().String()
}

func (l *lone) token(source string, sh wire.Shell, change func(*wire.Claims)) string {
	l.t.Helper()
	now := l.clock.Unix()
	c := wire.Claims{
		Audience: wire.Audience{l.identity.ID()}, IssuedAt: now, NotBefore: now, Expires: now + 5,
		ID: token.NewID(), Source: source, Shell: &sh,
	}
	if change != nil {
		change(&c)
	}
	tok, err := l.alice.Sign(wire.TypeRequest, c)
	if err != nil {
		l.t.Fatal(err)
	}
	return tok
}

// memory is a response writer that takes deadlines.
type memory struct {
	header   http.Header
	status   int
	body     bytes.Buffer
	deadline time.Time // of reading
}

func newMemory() *memory { return &memory{header: http.Header{}} }

func (m *memory) Header() http.Header { return m.header }

func (m *memory) WriteHeader(status int) { m.status = status }

func (m *memory) Write(p []byte) (int, error) { return m.body.Write(p) }

func (m *memory) SetReadDeadline(t time.Time) error { m.deadline = t; return nil }

func (m *memory) SetWriteDeadline(time.Time) error { return nil }

func (l *lone) do(method, path, contentType, body string, header ...string) *memory {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), method, "https://node.example.com"+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.RemoteAddr = "192.0.2.7:1000"
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if h := r.Header.Get("Host"); h != "" {
		r.Host = h
	}
	m := newMemory()
	l.ServeHTTP(m, r)
	return m
}

func (l *lone) scrape() string {
	l.t.Helper()
	var b bytes.Buffer
	if _, err := l.handler.metrics.Write(&b, ""); err != nil {
		l.t.Fatal(err)
	}
	return b.String()
}

func dialTLS(t testing.TB, addr string) net.Conn {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}
