package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"etcha/go/keeper"
	"etcha/go/metrics"
	"etcha/go/session"
	"etcha/go/token"
	"etcha/go/wire"
)

// handler answers requests. Its order is the same for each: recover, log,
// host, bound, verify, check replay, authorise, act.
type handler struct {
	parts
	settings atomic.Pointer[settings]
	shells   atomic.Pointer[shells] // the sessions; nil: the keeper is not available
	draining atomic.Bool            // the node is about to stop
	count    atomic.Uint64          // requests so far

	limiter   *limiter
	shares    *shares
	reading   *crowd
	readTime  time.Duration // for a request's body
	writeTime time.Duration // for one write of a stream
	mux       *http.ServeMux
	uniform   []byte // the body of the one answer before a signature was verified
}

// parts is what a handler is made of and never changes.
type parts struct {
	log       *slog.Logger
	metrics   *metrics.Metrics
	identity  *token.Identity
	journal   *token.Journal
	approvals *token.Journal
	tls       *tlsSource
	witness   *witness

	version string
}

func newHandler(p parts, s *settings) *handler {
	h := &handler{
		parts: p, limiter: newLimiter(s.allow, time.Now), shares: newShares(), reading: newCrowd(maxReading, maxReadingEach),
		readTime: wire.RequestRead, writeTime: wire.StreamWrite, mux: http.NewServeMux(), uniform: renderNotFound(),
	}
	h.settings.Store(s)
	h.routes()
	return h
}

// routes fills the mux. It never sees a path that it would redirect.
func (h *handler) routes() {
	h.mux.HandleFunc(wire.PatternShell, on((*request).open))
	h.mux.HandleFunc(wire.PatternSession, on((*request).inSession))
	h.mux.HandleFunc(wire.PathSessions, on((*request).sessions))
	h.mux.HandleFunc(wire.PatternSessions, on((*request).oneSession))
	h.mux.HandleFunc(wire.PathSources, on((*request).sources))
	h.mux.HandleFunc(wire.PathNode, on((*request).node))
	h.mux.HandleFunc(wire.PathMetrics, on((*request).metricsPage))
	h.mux.HandleFunc("/", on(func(q *request) {
		q.notFound(metrics.Refusal(wire.CodeNotFound), fmt.Errorf("no route %q", shorten(q.r.URL.Path)))
	}))
}

// on gives the mux a handler of requests, which is what it passes as the writer.
func on(f func(*request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if q, ok := w.(*request); ok {
			q.r = r // with the pattern and its values
			f(q)
		}
	}
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := h.newRequest(w, r)
	defer q.finish()
	if !q.readBody() {
		return
	}
	q.set = h.settings.Load() // a body may take its time, and be there before a key is taken away
	if err := h.acceptable(r); err != nil {
		q.notFound(metrics.Refusal(wire.CodeNotFound), err)
		return
	}
	h.mux.ServeHTTP(q, r)
}

// acceptable refuses paths that are not in their shortest form, and what a
// browser sends for a page that is not the node's own.
func (h *handler) acceptable(r *http.Request) error {
	p := r.URL.EscapedPath()
	if !strings.HasPrefix(p, "/") || path.Clean(p) != p || r.Method == http.MethodConnect {
		return errPath
	}
	return h.fromPage(r)
}

// fromPage checks what only browsers send. Tokens are never ambient, so a
// hostile page cannot act; this keeps it from reading what needs no token, by
// a name of its own that it points at the node (DNS rebinding). Other programs
// may call the node by any name: an alias, a proxy's, an address.
func (h *handler) fromPage(r *http.Request) error {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	if site == "" && origin == "" {
		return nil
	}
	if site == "cross-site" || site == "same-site" {
		return errPage
	}
	_, from, ok := strings.Cut(origin, "://")
	if origin != "" && (!ok || !strings.EqualFold(from, r.Host)) {
		return errPage
	}
	set := h.settings.Load()
	if !set.proxies.contain(remoteAddr(r.RemoteAddr)) && !h.tls.named(r.Host, set.names) {
		return fmt.Errorf("%w: the node is not called %q", errPage, shorten(r.Host))
	}
	return nil
}

// Why a request is not looked at any further.
var (
	errPath = errors.New("the path is not in its shortest form")
	errPage = errors.New("a web page of another site sent it")
)

// node answers with the node's identity and clock; it needs no token.
func (q *request) node() {
	nonce := q.r.URL.Query().Get("nonce")
	if q.r.Method != http.MethodGet || !validNonce(nonce) {
		q.notFound(metrics.Refusal(wire.CodeNotFound), errNonce)
		return
	}
	done, ok := q.pass()
	if !ok {
		return
	}
	defer done()
	tok, err := q.h.identity.Node(wire.NodeClaims{
		IssuedAt: q.h.journal.Now().Unix(), Nonce: nonce, Protocol: wire.Protocol, Version: q.h.version,
	})
	if err != nil {
		q.early(wire.CodeInternal, fmt.Errorf("sign the node's answer: %w", err))
		return
	}
	q.json(http.StatusOK, wire.TypeJSON, wire.NodeAnswer{Token: tok})
}

var errNonce = errors.New("not a GET with a nonce of letters, digits, - and _")

// validNonce reports whether s is base64url of a length that cannot be guessed
// and is not a burden.
func validNonce(s string) bool {
	other := func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", r)
	}
	return s != "" && len(s) <= wire.MaxNonce && !strings.ContainsFunc(s, other)
}

// metricsPage is for a scraper that has the key. Without a configured key the
// page does not exist.
func (q *request) metricsPage() {
	done, ok := q.pass()
	if !ok {
		return
	}
	defer done()
	if q.r.Method != http.MethodGet || !q.hasMetricsKey() {
		q.notFound(metrics.Refusal(wire.CodeNotFound), errMetrics)
		return
	}
	q.h.witness.measure()
	w := &streamWriter{q: q}
	defer w.end()
	accept := q.r.Header.Get("Accept")
	w.contentType = metrics.ContentType(accept)
	if _, err := q.h.metrics.Write(w, accept); err != nil && q.status == 0 {
		q.early(wire.CodeInternal, err)
	}
}

var errMetrics = errors.New("not a GET with the metrics key")

func (q *request) hasMetricsKey() bool {
	key, ok := strings.CutPrefix(q.r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		key = q.r.URL.Query().Get("key")
	}
	sum := sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(sum[:], q.set.metricsKey[:]) == 1 && q.set.metricsOn
}

// shells is what the handler needs of a keeper. When the keeper dies, that of
// another takes its place.
type shells struct {
	keeper   *keeper.Keeper
	sessions *session.Registry
}
