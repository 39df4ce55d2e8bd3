package server

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"etcha/go/config"
	"etcha/go/errs"
	"etcha/go/wire"
)

// Honest users behind an address that others use for guessing still get in.
func TestFailuresSlowButDoNotLockOut(t *testing.T) {
	l := newLone(t, func(c *config.Config) { c.HTTPServer.RateLimit = "5/h" })
	for range 8 {
		if m := l.do(http.MethodPost, wire.PathShell("debug"), wire.TypeJWT, "junk"); m.status != http.StatusNotFound {
			t.Fatalf("status %d", m.status)
		}
	}
	if !strings.Contains(l.log.String(), "are slowed") {
		t.Error("nothing was said about it")
	}
	m := l.do(http.MethodPost, wire.PathShell("debug"), wire.TypeJWT, l.token("debug", wire.Shell{Op: wire.OpOpen}, nil))
	if m.status != http.StatusServiceUnavailable {
		t.Errorf("a valid token of a slowed address: %d %s", m.status, &m.body)
	}
	for _, line := range []string{`etcha_requests_limited_total{action="delayed"} 4`, `etcha_requests_limited_total{action="refused"} 0`, "etcha_limiter_addresses 1"} {
		if !strings.Contains(l.scrape(), line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
	// Only a full lane refuses.
	l.limiter.waiting = laneWaiting
	m = l.do(http.MethodPost, wire.PathShell("debug"), wire.TypeJWT, l.token("debug", wire.Shell{Op: wire.OpOpen}, nil))
	if m.status != http.StatusTooManyRequests || m.header.Get("Retry-After") == "" || !strings.Contains(m.body.String(), `"limited"`) {
		t.Errorf("a full lane: %d %v %s", m.status, m.header, &m.body)
	}
	if !strings.Contains(l.scrape(), `etcha_requests_limited_total{action="refused"} 1`+"\n") {
		t.Error("a refusal was not counted")
	}
}

// An old token shows that somebody held a key once. Whoever sends it again and
// again is as little known as one who sends junk.
func TestOldTokensAreFailures(t *testing.T) {
	l := newLone(t, func(c *config.Config) { c.HTTPServer.RateLimit = "5/h" })
	old := l.token("debug", wire.Shell{Op: wire.OpOpen}, func(c *wire.Claims) {
		c.IssuedAt, c.NotBefore, c.Expires = c.IssuedAt-60, c.NotBefore-60, c.Expires-60
	})
	for range 8 {
		if m := l.do(http.MethodPost, wire.PathShell("debug"), wire.TypeJWT, old); m.status != http.StatusUnauthorized {
			t.Fatalf("status %d", m.status)
		}
	}
	if line := `etcha_requests_limited_total{action="delayed"} 3` + "\n"; !strings.Contains(l.scrape(), line) {
		t.Errorf("metrics lack %s", line)
	}
	if log := l.log.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "are slowed") {
		t.Errorf("warnings are for those who hold a key:\n%s", log)
	}
}

func TestSubjectIsBounded(t *testing.T) {
	l := newLone(t)
	for size, want := range map[int]int{wire.MaxSubject: http.StatusServiceUnavailable, wire.MaxSubject + 1: http.StatusBadRequest} {
		tok := l.token("debug", wire.Shell{Op: wire.OpOpen}, func(c *wire.Claims) { c.Subject = strings.Repeat("s", size) })
		if m := l.do(http.MethodPost, wire.PathShell("debug"), wire.TypeJWT, tok); m.status != want {
			t.Errorf("sub of %d bytes: status %d, want %d", size, m.status, want)
		}
	}
}

func TestBrowsersOfOtherPages(t *testing.T) {
	l := newLone(t, func(c *config.Config) { c.HTTPServer.TrustedProxies = []string{"192.0.2.8"} })
	const path = wire.PathNode + "?nonce=abc"
	for _, c := range []struct {
		name   string
		header []string
		want   int
	}{
		{"a program, any name", []string{"Host", "alias.example.net"}, 200},
		{"a program, an address", []string{"Host", "203.0.113.5:4000"}, 200},
		{"own page", []string{"Host", "localhost:4000", "Origin", "https://localhost:4000", "Sec-Fetch-Site", "same-origin"}, 200},
		{"typed by hand", []string{"Host", "localhost:4000", "Sec-Fetch-Site", "none"}, 200},
		{"by address", []string{"Host", "127.0.0.1:4000", "Origin", "http://127.0.0.1:4000"}, 200},
		{"another site", []string{"Host", "localhost:4000", "Sec-Fetch-Site", "cross-site"}, 404},
		{"a sibling", []string{"Host", "localhost:4000", "Sec-Fetch-Site", "same-site"}, 404},
		{"another origin", []string{"Host", "localhost:4000", "Origin", "https://evil.example.org"}, 404},
		{"no origin", []string{"Host", "localhost:4000", "Origin", "null"}, 404},
		{"a name that points here", []string{"Host", "evil.example.org:4000", "Origin", "http://evil.example.org:4000"}, 404},
		{"the same, newer", []string{"Host", "evil.example.org:4000", "Sec-Fetch-Site", "same-origin"}, 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			if m := l.do(http.MethodGet, path, "", "", c.header...); m.status != c.want {
				t.Errorf("status %d, want %d", m.status, c.want)
			}
		})
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://www.example.com"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "192.0.2.8:1"
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	m := newMemory()
	l.ServeHTTP(m, r)
	if m.status != http.StatusOK {
		t.Errorf("through a trusted proxy with a name of its own: %d", m.status)
	}
}

func TestMetricsKey(t *testing.T) {
	off := newLone(t)
	if m := off.do(http.MethodGet, wire.PathMetrics+"?key=", "", ""); m.status != http.StatusNotFound {
		t.Errorf("without a configured key: %d", m.status)
	}
	l := newLone(t, func(c *config.Config) { c.Run.SystemMetricsKey = "open sesame" })
	for _, c := range []struct {
		method, query, bearer string
		want                  int
	}{
		{"GET", "?key=open+sesame", "", 200},
		{"GET", "", "Bearer open sesame", 200},
		{"GET", "?key=open+sesame", "Bearer wrong", 404},
		{"GET", "?key=open", "", 404},
		{"GET", "?key=", "", 404},
		{"GET", "", "", 404},
		{"GET", "", "Basic open sesame", 404},
		{"POST", "?key=open+sesame", "", 404},
		{"HEAD", "?key=open+sesame", "", 404},
	} {
		m := l.do(c.method, wire.PathMetrics+c.query, "", "", "Authorization", c.bearer)
		if m.status != c.want && !(c.want == 200 && m.status == 0) {
			t.Errorf("%s %s %s: %d, want %d", c.method, c.query, c.bearer, m.status, c.want)
		}
		if ok := strings.Contains(m.body.String(), "etcha_build_info"); ok != (c.want == 200) {
			t.Errorf("%s %s %s: metrics shown: %v", c.method, c.query, c.bearer, ok)
		}
	}
	if strings.Contains(l.log.String(), "sesame") {
		t.Error("the key is in the log")
	}
}

func TestPanic(t *testing.T) {
	l := newLone(t)
	l.mux.HandleFunc("/early", on(func(*request) { panic("boom") }))
	m := l.do(http.MethodGet, "/early", "", "")
	if m.status != http.StatusInternalServerError || strings.Contains(m.body.String(), "boom") {
		t.Errorf("%d %s", m.status, &m.body)
	}
	if !strings.Contains(l.log.String(), "boom") || !strings.Contains(l.log.String(), "handler_linux_test.go") {
		t.Error("the log lacks the panic or where it came from")
	}
	l.mux.HandleFunc("/late", on(func(q *request) { q.WriteHeader(http.StatusOK); panic("boom") }))
	func() {
		defer func() {
			if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("a panic in the middle of an answer became %v", err)
			}
		}()
		l.do(http.MethodGet, "/late", "", "")
	}()
	if !strings.Contains(l.scrape(), "etcha_panics_recovered_total 2\n") {
		t.Error("panics were not counted")
	}
}

// Verified requests are told what is missing.
func TestNotReady(t *testing.T) {
	l := newLone(t)
	open := func() *memory {
		return l.do(http.MethodPost, wire.PathShell("debug"), wire.TypeJWT, l.token("debug", wire.Shell{Op: wire.OpOpen}, nil))
	}
	if m := open(); m.status != http.StatusServiceUnavailable || !strings.Contains(m.body.String(), `"unready"`) || m.header.Get("Retry-After") == "" {
		t.Errorf("without a keeper: %d %v %s", m.status, m.header, &m.body)
	}
	l.draining.Store(true)
	if m := open(); m.status != http.StatusServiceUnavailable || !strings.Contains(m.body.String(), `"draining"`) || m.header.Get("Retry-After") == "" {
		t.Errorf("about to stop: %d %v %s", m.status, m.header, &m.body)
	}
	m := l.do(http.MethodPost, wire.PathSession("debug", "x"), wire.TypeJWT, "junk")
	if m.status != http.StatusServiceUnavailable {
		t.Errorf("a session that a keeper may still hold: %d", m.status)
	}
}

// An error that is not meant for others does not reach them.
func TestPrivateErrorsStayPrivate(t *testing.T) {
	l := newLone(t)
	l.mux.HandleFunc("/fail", on(func(q *request) {
		q.verified = true
		q.fail(fmt.Errorf("open /secret/path: %w", net.ErrClosed))
	}))
	m := l.do(http.MethodGet, "/fail", "", "")
	if m.status != http.StatusInternalServerError || strings.Contains(m.body.String(), "secret") || !strings.Contains(m.body.String(), "request 1") {
		t.Errorf("%d %s", m.status, &m.body)
	}
	if !strings.Contains(l.log.String(), "/secret/path") {
		t.Error("the log does not say what happened")
	}
	l.mux.HandleFunc("/deny", on(func(q *request) {
		q.verified = true
		q.fail(errs.New(wire.CodeDenied, "public text").WithHint("the way out").Because(net.ErrClosed))
	}))
	m = l.do(http.MethodGet, "/deny", "", "")
	if m.status != http.StatusForbidden || !strings.Contains(m.body.String(), "public text") || !strings.Contains(m.body.String(), "the way out") || strings.Contains(m.body.String(), "closed") {
		t.Errorf("%d %s", m.status, &m.body)
	}
}

// FuzzHandler sends any body to any path by any method: it never panics, and
// what is not verified gets the uniform answer.
func FuzzHandler(f *testing.F) {
	l := newLone(f)
	now := l.clock.Unix()
	tok, err := l.alice.Sign(wire.TypeRequest, wire.Claims{Audience: wire.Audience{l.identity.ID()}, IssuedAt: now, NotBefore: now, Expires: now + 5, Source: "debug", Shell: &wire.Shell{Op: wire.OpOpen}})
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{wire.PathShell("debug"), wire.PathSession("debug", "x"), wire.PathNode, wire.PathMetrics, "/", "//", "/%2e%2e/", "*"} {
		f.Add(http.MethodPost, path, wire.TypeJWT, []byte(tok))
		f.Add(http.MethodGet, path, "", []byte(nil))
	}
	uniform := l.do(http.MethodPost, wire.PathShell("nothing"), wire.TypeJWT, "junk")
	f.Fuzz(func(t *testing.T, method, path, kind string, body []byte) {
		r, err := http.NewRequestWithContext(t.Context(), method, "https://node"+path, bytes.NewReader(body))
		if err != nil {
			t.Skip("not a request")
		}
		r.RemoteAddr = "192.0.2.7:1000"
		r.Header.Set("Content-Type", kind)
		m := newMemory()
		l.ServeHTTP(m, r)
		switch m.status {
		case http.StatusNotFound:
			if !bytes.Equal(m.body.Bytes(), uniform.body.Bytes()) || headerText(m.header) != headerText(uniform.header) {
				t.Errorf("not the uniform answer: %v %s", m.header, &m.body)
			}
		case http.StatusOK, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable:
		case http.StatusUnauthorized, http.StatusBadRequest:
			// Only the seed's own signature gets that far.
			if !bytes.Equal(body, []byte(tok)) {
				t.Errorf("%d to %q", m.status, body)
			}
		default:
			t.Errorf("status %d %s", m.status, &m.body)
		}
	})
}
