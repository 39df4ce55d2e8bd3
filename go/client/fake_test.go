package client_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"etcha/go/errs"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

const source = "debug"

// node is a node in memory that speaks the protocol over real HTTP, and breaks
// it where a test asks for that.
type node struct {
	t        testing.TB
	identity *token.Identity
	opener   token.PrivateKey
	server   *httptest.Server
	program  func(p *program) wire.Exit

	// The tests' hands in it; set before the first request, or under mu.
	clock      func() time.Time
	window     uint64                                            // output kept unacknowledged
	room       uint64                                            // input accepted beyond what the program reads
	before     func(w http.ResponseWriter, r *http.Request) bool // true: answered
	fault      func(w http.ResponseWriter, c *wire.Claims) bool  // true: answered; the request has no effect
	lose       func(c *wire.Claims) bool                         // the request has its effect, its answer is lost
	editInfo   func(info *wire.Session)
	attach     func(w http.ResponseWriter, c *wire.Claims) bool // true: answered
	cut        func() bool                                      // true: the owner's stream breaks off
	cutShow    func() bool                                      // true: a viewer's does
	editStream func(w io.Writer) io.Writer
	quiet      bool // no input events

	mu       sync.Mutex
	used     map[string]bool
	sessions map[string]*program
	requests map[wire.Op]int
	gets     int
	tokens   map[wire.Op][]int // sizes
	opened   []wire.Claims
	guests   []*guest
}

// newNode makes a node; start it with a transport.
func newNode(t testing.TB, run func(p *program) wire.Exit) *node {
	t.Helper()
	identity, err := token.LoadIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	opener, err := token.Generate(token.KindEd25519, "tester")
	if err != nil {
		t.Fatal(err)
	}
	return &node{
		t: t, identity: identity, opener: opener, program: run,
		clock: time.Now, window: wire.DefaultWindow, room: wire.InputWindow,
		used: make(map[string]bool), sessions: make(map[string]*program),
		requests: make(map[wire.Op]int), tokens: make(map[wire.Op][]int),
	}
}

// over says how a test's node is reached.
type over string

const (
	overHTTP  over = "http"
	overHTTP1 over = "https, HTTP/1.1"
	overHTTP2 over = "https, HTTP/2"
)

func (n *node) start(how over) *node {
	n.server = httptest.NewUnstartedServer(n)
	n.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	switch how {
	case overHTTP:
		n.server.Start()
	default:
		n.server.EnableHTTP2 = how == overHTTP2
		n.server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(n.t, n.identity.Signer())}}
		n.server.StartTLS()
	}
	n.t.Cleanup(func() {
		n.stopPrograms()
		n.server.CloseClientConnections()
		n.server.Close()
	})
	return n
}

func (n *node) stopPrograms() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.sessions {
		p.end(wire.Exit{Code: 137, Reason: wire.ReasonStopped})
	}
}

// certificate is a self-signed one, as a node makes it.
func certificate(t testing.TB, key crypto.Signer) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newTLSKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// problem answers with a refusal.
func problem(w http.ResponseWriter, p wire.Problem) {
	if p.Status == 0 {
		p.Status = p.Code.Status()
	}
	w.Header().Set("Content-Type", wire.TypeProblem)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func refuse(code wire.Code) func(http.ResponseWriter, *wire.Claims) bool {
	return func(w http.ResponseWriter, _ *wire.Claims) bool {
		problem(w, wire.Problem{Code: code, Title: string(code), Detail: "because of the test"})
		return true
	}
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n.before != nil && n.before(w, r) {
		return
	}
	if r.Method == http.MethodGet && r.URL.Path == wire.PathNode {
		n.serveNode(w, r)
		return
	}
	tok, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxBody))
	if err != nil {
		return
	}
	if n.byOpener(w, r, tok) {
		return
	}
	session, claims, p, ok := n.verify(tok, r.URL.EscapedPath())
	if !ok {
		problem(w, wire.Problem{Code: wire.CodeNotFound, Title: "not found"})
		return
	}
	n.count(claims, len(tok))
	if err := token.CheckLife(*claims, n.clock()); err != nil {
		problem(w, wire.Problem{Code: errs.CodeOf(err), Title: "the clock", Now: n.clock().Unix()})
		return
	}
	if n.fault != nil && n.fault(w, claims) {
		return
	}
	switch {
	case session == "":
		n.open(w, r, claims, tok)
	case claims.Shell.Op == wire.OpAttach:
		n.reattach(w, r, claims, p, tok)
	default:
		n.act(w, claims, p)
	}
}

func (n *node) serveNode(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.gets++
	n.mu.Unlock()
	tok, err := n.identity.Node(wire.NodeClaims{IssuedAt: n.clock().Unix(), Nonce: r.URL.Query().Get("nonce"), Version: "test"})
	if err != nil {
		n.t.Error(err)
	}
	answerJSON(w, wire.NodeAnswer{Token: tok})
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", wire.TypeJSON)
	_ = json.NewEncoder(w).Encode(v)
}

func (n *node) count(c *wire.Claims, size int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests[c.Shell.Op]++
	n.tokens[c.Shell.Op] = append(n.tokens[c.Shell.Op], size)
	if c.Shell.Op == wire.OpOpen {
		n.opened = append(n.opened, *c)
	}
}

// verify is the whole of the access check, by the rules of the protocol.
func (n *node) verify(tok []byte, path string) (session string, c *wire.Claims, p *program, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	keys := []token.PublicKey{n.opener.Public()}
	for id, known := range n.sessions {
		if path == wire.PathSession(source, id) {
			session, p = id, known
			keys = []token.PublicKey{known.key, keys[0]}
		}
	}
	if p == nil && path != wire.PathShell(source) {
		return "", nil, nil, false
	}
	payload, by, err := token.Verify(tok, wire.TypeRequest, keys)
	if err != nil {
		return "", nil, nil, false
	}
	claims, err := token.DecodeClaims(payload)
	if err != nil || claims.Shell == nil || !claims.Audience.Contains(n.identity.ID()) ||
		claims.Source != source || claims.Session != session {
		return "", nil, nil, false
	}
	opening := claims.Shell.Op == wire.OpOpen
	if opening != (session == "") || opening && !by.Equal(n.opener.Public()) ||
		!opening && claims.Shell.Op != wire.OpAttach && !by.Equal(p.key) {
		return "", nil, nil, false
	}
	return session, &claims, p, true
}

func (n *node) open(w http.ResponseWriter, r *http.Request, c *wire.Claims, tok []byte) {
	if len(c.ID) < wire.MinJTI || !n.use(c.ID) {
		problem(w, wire.Problem{Code: wire.CodeReplayed, Title: "replayed"})
		return
	}
	key, err := token.ConfirmKey(c.Confirm)
	if err != nil {
		problem(w, wire.Problem{Code: wire.CodeBadRequest, Title: "bad cnf"})
		return
	}
	p := newProgram(n, token.NewID(), key)
	p.pty, p.cols, p.rows = c.Shell.PTY, c.Shell.Cols, c.Shell.Rows
	n.mu.Lock()
	n.sessions[p.id] = p
	n.mu.Unlock()
	go func() { p.end(n.program(p)) }()
	n.stream(w, r, p, p.takeOver(0), tok)
}

// describe is the data of a stream's first event, for who has given so much input.
func (n *node) describe(p *program, tok []byte, input uint64) wire.Session {
	info := wire.Session{
		Session: p.id, Node: n.identity.ID(), Source: source, User: "tester",
		Started: n.clock().UnixMilli(), Window: n.window, ResumeFor: 300,
	}
	var err error
	if info.Proof, err = n.identity.Prove(wire.ProofClaims{IssuedAt: n.clock().Unix(), Session: p.id, Request: token.RequestHash(tok), Input: input}); err != nil {
		n.t.Error(err)
	}
	return info
}

// stream answers with a session's events, as its stream with this number.
func (n *node) stream(w http.ResponseWriter, r *http.Request, p *program, gen int, tok []byte) {
	p.mu.Lock()
	accepted := p.accepted
	p.mu.Unlock()
	info := n.describe(p, tok, accepted)
	p.mu.Lock()
	info.OutputStart, info.InputOffset, info.Seq = p.tail(), p.accepted, p.seq
	if p.pty {
		info.Cols, info.Rows = p.cols, p.rows
	}
	p.mu.Unlock()
	if n.editInfo != nil {
		n.editInfo(&info)
	}
	w.Header().Set("Content-Type", wire.TypeEventStream)
	var out io.Writer = w
	if n.editStream != nil {
		out = n.editStream(w)
	}
	p.stream(r, sse.NewWriter(out, http.NewResponseController(w).Flush), info, gen)
}

// reattach gives the session to who asks.
func (n *node) reattach(w http.ResponseWriter, r *http.Request, c *wire.Claims, p *program, tok []byte) {
	if n.attach != nil && n.attach(w, c) {
		return
	}
	if len(c.ID) < wire.MinJTI || !n.use(c.ID) {
		problem(w, wire.Problem{Code: wire.CodeReplayed, Title: "replayed"})
		return
	}
	p.mu.Lock()
	if head := p.head; c.Shell.Offset > head {
		p.mu.Unlock()
		problem(w, wire.Problem{Code: wire.CodeOffset, Title: "no such output", Offset: &head})
		return
	}
	if c.Confirm != nil {
		key, err := token.ConfirmKey(c.Confirm)
		if err != nil {
			n.t.Error(err)
		}
		n.mu.Lock()
		p.key = key
		n.mu.Unlock()
	}
	p.acked = max(p.acked, c.Shell.Offset)
	if c.Shell.Seq > p.seq {
		p.seq = c.Shell.Seq
		p.cols, p.rows = c.Shell.Cols, c.Shell.Rows
	}
	p.mu.Unlock()
	n.stream(w, r, p, p.takeOver(c.Shell.Offset), tok)
}

func (n *node) use(jti string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	fresh := !n.used[jti]
	n.used[jti] = true
	return fresh
}

func (n *node) act(w http.ResponseWriter, c *wire.Claims, p *program) {
	ans, err := p.do(c.Shell)
	if n.lose != nil && n.lose(c) {
		panic(http.ErrAbortHandler)
	}
	var beyond *beyondError
	switch {
	case errors.As(err, &beyond):
		problem(w, wire.Problem{Code: wire.CodeOffset, Title: "offset", Offset: &beyond.offset, Room: &beyond.room})
	case err != nil:
		problem(w, wire.Problem{Code: wire.CodeEnded, Title: err.Error()})
	default:
		answerJSON(w, ans)
	}
}

type beyondError struct{ offset, room uint64 }

func (e *beyondError) Error() string { return "beyond the window" }

// asked is how many requests of an operation there were.
func (n *node) asked(op wire.Op) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.requests[op]
}

// questions is how often the node was asked who it is.
func (n *node) questions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gets
}

// opens are the claims of the open requests.
func (n *node) opens() []wire.Claims {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]wire.Claims(nil), n.opened...)
}

// applied are the control operations that were applied to the one session.
func (n *node) applied() []wire.Shell {
	p := n.only()
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]wire.Shell(nil), p.ops...)
}

// only is the one session that was opened.
func (n *node) only() *program {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.sessions) != 1 {
		n.t.Fatalf("%d sessions", len(n.sessions))
	}
	for _, p := range n.sessions {
		return p
	}
	return nil
}

// locked reads from the one session.
func (n *node) locked(f func() uint64) uint64 {
	p := n.only()
	p.mu.Lock()
	defer p.mu.Unlock()
	return f()
}

// waitAccepted blocks until the one session has accepted so much input.
func (n *node) waitAccepted(k uint64) {
	p := n.only()
	p.wait(func() bool { return p.accepted >= k })
}
