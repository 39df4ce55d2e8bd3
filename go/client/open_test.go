package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcha/go/client"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// tryOpen opens a session that is expected to fail.
func tryOpen(t *testing.T, c *client.Client) error {
	t.Helper()
	s, err := c.Open(context.Background(), source, wire.Shell{}, nil, nil)
	if err == nil {
		_ = s.Close()
		t.Fatal("the session was opened")
	}
	if errs.ExitOf(err) != errs.ExitTransport {
		t.Errorf("exit status %d for %v", errs.ExitOf(err), err)
	}
	if s := err.Error() + errs.HintOf(err); strings.ContainsAny(s, "\x1b\x07") {
		t.Errorf("control characters in %q", s)
	}
	return err
}

func TestOpenRequest(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	o := n.options()
	o.Subject = "alice@laptop"
	sh := wire.Shell{
		PTY: true, Cols: 80, Rows: 24, Term: "xterm", Env: map[string]string{"LANG": "C"},
		Command: "/bin/sh", Process: "worker", Title: "t",
	}
	s := open(t, newClient(t, o), sh, nil, nil)
	if s.ID() != n.only().id || s.Info().User != "tester" || s.Info().Node != n.identity.ID() {
		t.Errorf("session %+v", s.Info())
	}
	c := n.opens()[0]
	sh.Op = wire.OpOpen
	got, _ := json.Marshal(c.Shell)
	want, _ := json.Marshal(sh)
	if string(got) != string(want) {
		t.Errorf("asked for %s\nwant      %s", got, want)
	}
	if c.Subject != "alice@laptop" || c.Source != source || c.Session != "" || len(c.ID) < wire.MinJTI ||
		c.Expires-c.IssuedAt > int64(wire.MaxTokenLife/time.Second) || c.NotBefore != c.IssuedAt {
		t.Errorf("claims %+v", c)
	}
}

func TestOpenRefused(t *testing.T) {
	codes := []wire.Code{
		wire.CodeNotFound, wire.CodeBadRequest, wire.CodeExpired, wire.CodeClockSkew, wire.CodeDenied, wire.CodeReplayed,
		wire.CodeOffset, wire.CodeEnded, wire.CodeTooLarge, wire.CodeTimeout, wire.CodeLimited, wire.CodeInternal,
		wire.CodeDraining, wire.CodeUnready, "code of the future",
	}
	for _, code := range codes {
		t.Run(string(code), func(t *testing.T) {
			n := newNode(t, cat)
			n.fault = func(w http.ResponseWriter, _ *wire.Claims) bool {
				problem(w, wire.Problem{Code: code, Title: "T", Detail: "the \x1b[2Jreason", Hint: "the \awayout"})
				return true
			}
			n.start(overHTTP2)
			err := tryOpen(t, newClient(t, n.options()))
			var refused *client.RefusedError
			if !errors.As(err, &refused) || refused.Problem.Code != code || errs.CodeOf(err) != code {
				t.Fatalf("error %v", err)
			}
			if refused.Problem.Detail != "the [2Jreason" || errs.HintOf(err) != "the wayout" {
				t.Errorf("detail %q, hint %q", refused.Problem.Detail, errs.HintOf(err))
			}
			want := 1
			if code.Retryable() {
				want += wire.TokenRetries
			}
			if n.asked(wire.OpOpen) != want {
				t.Errorf("%d tries, want %d", n.asked(wire.OpOpen), want)
			}
		})
	}
}

// Refusals for the time pass when the next token is right.
func TestOpenIsRetriedWithAFreshToken(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeExpired, wire.CodeClockSkew, wire.CodeReplayed} {
		t.Run(string(code), func(t *testing.T) {
			n := newNode(t, cat)
			n.fault = times(wire.TokenRetries, wire.OpOpen, refuse(code))
			n.start(overHTTP2)
			open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
			seen := map[string]bool{}
			for _, c := range n.opens() {
				seen[c.ID] = true
			}
			if len(seen) != wire.TokenRetries+1 {
				t.Errorf("%d different tokens", len(seen))
			}
		})
	}
}

func TestOpenUnknownKeyGivesAHint(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	stranger, err := token.Generate(token.KindEd25519, "stranger")
	if err != nil {
		t.Fatal(err)
	}
	o := n.options()
	o.Signer = stranger.Signer()
	err = tryOpen(t, newClient(t, o))
	if errs.CodeOf(err) != wire.CodeNotFound || !strings.Contains(errs.HintOf(err), "stranger") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
}

// Answers that are not a node's.
func TestOpenThroughABrokenProxy(t *testing.T) {
	type answer struct {
		status int
		kind   string
		body   string
	}
	answers := map[string]answer{
		"502":                  {502, "text/html", "<h1>Bad Gateway</h1>"},
		"404":                  {404, "text/html; charset=utf-8", "<h1>Not \x1b[31mFound</h1>"},
		"404 as JSON":          {404, "application/json", `{"code":"not_found"}`},
		"problem without code": {403, wire.TypeProblem, `{"title":"no"}`},
		"problem that is junk": {403, wire.TypeProblem, `{`},
		"200 html":             {200, "text/html", "hello"},
		"200 problem":          {200, "text/html", "hello"},
		"204":                  {204, "", ""},
		"redirect":             {302, "text/html", ""},
		"kind is junk":         {200, ";;;", ""},
		"endless":              {502, "text/html", strings.Repeat("x", wire.MaxNodeAnswer+1)},
	}
	for name, a := range answers {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, cat)
			n.before = func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Location", "https://example.com/")
				w.Header()["Content-Type"] = []string{a.kind}
				w.WriteHeader(a.status)
				_, _ = io.WriteString(w, a.body)
				return true
			}
			n.start(overHTTP1)
			err := tryOpen(t, newClient(t, n.options()))
			var proxy *client.ProxyError
			if name == "endless" {
				if !strings.Contains(err.Error(), "more than") {
					t.Errorf("error %v", err)
				}
				return
			}
			if !errors.As(err, &proxy) || proxy.Status != a.status || errs.HintOf(err) == "" {
				t.Errorf("error %v, hint %q", err, errs.HintOf(err))
			}
		})
	}
}

// The first event must be the session with a proof of the pinned node over
// this very request; otherwise no input leaves.
func TestOpenProof(t *testing.T) {
	stranger, err := token.LoadIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	prove := func(n *node, by *token.Identity, c wire.ProofClaims) string {
		tok, err := by.Prove(c)
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	now := time.Now().Unix()
	tests := map[string]func(n *node, info *wire.Session){
		"missing":         func(_ *node, info *wire.Session) { info.Proof = "" },
		"junk":            func(_ *node, info *wire.Session) { info.Proof = "a.b.c" },
		"another session": func(_ *node, info *wire.Session) { info.Session = "other" },
		"another request": func(n *node, info *wire.Session) {
			info.Proof = prove(n, n.identity, wire.ProofClaims{IssuedAt: now, Session: info.Session, Request: token.RequestHash([]byte("x"))})
		},
		"another node": func(n *node, info *wire.Session) {
			info.Proof = prove(n, stranger, wire.ProofClaims{IssuedAt: now, Session: info.Session, Request: "x"})
		},
		"another node's name": func(_ *node, info *wire.Session) { info.Node = stranger.ID() },
		"another source":      func(_ *node, info *wire.Session) { info.Source = "web" },
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, cat)
			n.editInfo = func(info *wire.Session) { edit(n, info) }
			n.start(overHTTP2)
			err := tryOpen(t, newClient(t, n.options()))
			var stream *client.StreamError
			if errs.CodeOf(err) != client.CodeProof && !errors.As(err, &stream) {
				t.Errorf("error %v", err)
			}
			if n.asked(wire.OpInput) != 0 {
				t.Error("input was sent")
			}
		})
	}
}

func TestOpenBadStream(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":         "",
		"other event":     "event: output\nid: 0\ndata: \n\n",
		"not JSON":        "event: session\ndata: {\n\n",
		"cut":             "event: session\ndata: {}",
		"too large":       "event: session\ndata: " + strings.Repeat("x", 1<<20) + "\n\n",
		"no session":      "event: session\ndata: {}\n\n",
		"escape sequence": "event: \x1b[2J\ndata: {}\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, cat)
			n.fault = func(w http.ResponseWriter, _ *wire.Claims) bool {
				w.Header().Set("Content-Type", wire.TypeEventStream)
				_, _ = io.WriteString(w, text)
				return true
			}
			n.start(overHTTP2)
			_ = tryOpen(t, newClient(t, n.options()))
		})
	}
}

func TestOpenUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(t, cat).start(overHTTP)
	o := n.options()
	o.URL = "https://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := tryOpen(t, newClient(t, o)); !strings.Contains(errs.HintOf(err), "nothing listens") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
	o.URL = strings.Replace(n.server.URL, "http:", "https:", 1)
	if err := tryOpen(t, newClient(t, o)); !strings.Contains(errs.HintOf(err), "insecure") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
}

// A node that accepts and stays silent is given up after the timeout.
func TestOpenTimeout(t *testing.T) {
	for name, stage := range map[string]func(w http.ResponseWriter){
		"no answer": func(http.ResponseWriter) {},
		"no event": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", wire.TypeEventStream)
			_ = http.NewResponseController(w).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, cat)
			over := make(chan struct{})
			n.before = func(w http.ResponseWriter, r *http.Request) bool {
				_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
				stage(w)
				<-over // a handler that returns would answer
				return true
			}
			n.start(overHTTP1)
			t.Cleanup(func() { close(over) })
			o := n.options()
			o.Timeout = 50 * time.Millisecond
			if err := tryOpen(t, newClient(t, o)); !strings.Contains(errs.HintOf(err), "timeout") {
				t.Errorf("%v, hint %q", err, errs.HintOf(err))
			}
		})
	}
}

func TestOpenCancelled(t *testing.T) {
	n := newNode(t, cat)
	reached := make(chan struct{})
	n.before = func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		close(reached)
		<-r.Context().Done()
		return true
	}
	n.start(overHTTP2)
	c := newClient(t, n.options())
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-reached
		cancel()
	}()
	if _, err := c.Open(ctx, source, wire.Shell{}, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// The clock of this machine is wrong: the node's counts, and the user hears of
// it once.
func TestClockCorrection(t *testing.T) {
	for name, skew := range map[string]time.Duration{
		"behind": -time.Hour, "ahead": time.Hour, "a little": 5 * time.Second, "agrees": 0, "below the limit": -time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, cat).start(overHTTP2)
			var mu sync.Mutex
			var events []client.Event
			o := n.options()
			o.Now = func() time.Time { return time.Now().Add(skew) }
			o.Notify = func(e client.Event) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
			}
			c := newClient(t, o)
			out := newBuffer()
			for range 2 {
				s := open(t, c, wire.Shell{}, out, nil)
				writePieces(t, s, "x")
				if err := s.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				mustExit(t, s, exited)
			}
			if out.String() != "xx" {
				t.Errorf("output %q", out.String())
			}
			mu.Lock()
			defer mu.Unlock()
			if wrong := skew.Abs() > 2*time.Second; wrong != (len(events) == 1 && events[0].Kind == client.EventClock) || len(events) > 1 {
				t.Errorf("events %+v", events)
			}
			if n.questions() > 1 {
				t.Errorf("the clock was asked %d times", n.questions())
			}
		})
	}
}

// Clocks that agree within the precision of the question stay as they are.
func TestClockIsNotCorrectedByLittle(t *testing.T) {
	n := newNode(t, cat)
	n.fault = times(1, wire.OpOpen, refuse(wire.CodeExpired))
	n.start(overHTTP2)
	now := time.Unix(1_700_000_000, 0)
	n.clock = func() time.Time { return now.Add(time.Second) }
	o := n.options()
	o.Now = func() time.Time { return now }
	open(t, newClient(t, o), wire.Shell{}, nil, nil)
	if opens := n.opens(); len(opens) != 2 || opens[1].IssuedAt != now.Unix() || n.questions() != 1 {
		t.Errorf("signed by %+v", opens)
	}
}

// The clock jumps during a session: requests under way together ask once.
func TestClockJumps(t *testing.T) {
	var jump atomic.Int64
	n := newNode(t, cat).start(overHTTP2)
	o, e := n.options(), &events{}
	o.Now = func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
	o.Notify = e.add
	out := newBuffer()
	s := open(t, newClient(t, o), wire.Shell{}, out, nil)
	jump.Store(int64(time.Hour))
	writePieces(t, s, "a", "b", "c", "d", "e", "f")
	out.waitFor(6)
	if n.questions() != 1 || len(e.kinds()) != 1 {
		t.Errorf("%d questions, events %v", n.questions(), e.kinds())
	}
	jump.Store(0)
	writePieces(t, s, "g")
	out.waitFor(7)
	if out.String() != "abcdefg" || n.questions() != 2 || len(e.kinds()) != 2 {
		t.Errorf("output %q, %d questions, events %v", out.String(), n.questions(), e.kinds())
	}
}

// The clock must come from the pinned node.
func TestClockOfAnotherNode(t *testing.T) {
	n := newNode(t, cat).start(overHTTP)
	stranger, err := token.LoadIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		tok, err := stranger.Node(wire.NodeClaims{IssuedAt: time.Now().Unix(), Nonce: r.URL.Query().Get("nonce")})
		if err != nil {
			t.Error(err)
		}
		answerJSON(w, wire.NodeAnswer{Token: tok})
		return true
	}
	o := n.options()
	o.Now = func() time.Time { return time.Now().Add(time.Hour) }
	var changed *client.NodeChangedError
	if err := tryOpen(t, newClient(t, o)); !errors.As(err, &changed) || changed.New != stranger.ID() {
		t.Errorf("error %v", err)
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	n := newNode(t, cat).start(overHTTP)
	junk := t.TempDir() + "/junk"
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(o *client.Options){
		"no URL":           func(o *client.Options) { o.URL = "" },
		"scheme":           func(o *client.Options) { o.URL = "ftp://x" },
		"no host":          func(o *client.Options) { o.URL = "https:///x" },
		"user":             func(o *client.Options) { o.URL = "https://u:p@x" },
		"query":            func(o *client.Options) { o.URL = "https://x/?q" },
		"node ID":          func(o *client.Options) { o.NodeID = "SHA256:x" },
		"nothing to pin":   func(o *client.Options) { o.NodeID = "" },
		"trust":            func(o *client.Options) { o.Trust = "all" },
		"subject":          func(o *client.Options) { o.Subject = strings.Repeat("s", wire.MaxSubject+1) },
		"timeout":          func(o *client.Options) { o.Timeout = -1 },
		"half a key pair":  func(o *client.Options) { o.Certificate = "x" },
		"no such CA file":  func(o *client.Options) { o.CAFile = junk + "x" },
		"no CA in file":    func(o *client.Options) { o.CAFile = junk },
		"no certificate":   func(o *client.Options) { o.Certificate, o.Key = junk, junk },
		"nobody to trust":  func(o *client.Options) { o.Trust, o.NoSystemCA = client.TrustCA, true },
		"proxy":            func(o *client.Options) { o.Proxy = "://" },
		"shell path":       func(o *client.Options) { o.PathShell = "x" },
		"known nodes junk": func(o *client.Options) { o.Known = client.OpenKnownNodes(junk) },
		"target":           func(o *client.Options) { o.Known, o.Target = knownFile(t), "a b" },
	} {
		t.Run(name, func(t *testing.T) {
			o := n.options()
			edit(&o)
			c, err := client.New(o)
			if err == nil {
				c.Close()
				t.Fatal("accepted")
			}
			if errs.ExitOf(err) != errs.ExitUsage {
				t.Errorf("exit status %d for %v", errs.ExitOf(err), err)
			}
			if strings.Contains(err.Error(), "u:p") {
				t.Errorf("password in %v", err)
			}
		})
	}
}

func TestOpenUsage(t *testing.T) {
	n := newNode(t, cat).start(overHTTP)
	o := n.options()
	if _, err := newClient(t, o).Open(context.Background(), "", wire.Shell{}, nil, nil); errs.ExitOf(err) != errs.ExitUsage {
		t.Errorf("no source: %v", err)
	}
	o.Signer = nil
	if _, err := newClient(t, o).Open(context.Background(), source, wire.Shell{}, nil, nil); errs.ExitOf(err) != errs.ExitUsage {
		t.Errorf("no key: %v", err)
	}
}

// Prefixes and shell paths of a node behind a proxy.
func TestRoutes(t *testing.T) {
	for name, tt := range map[string]struct {
		prefix, shell, wantShell string
	}{
		"prefix":         {"/nodes/a%2Fb", "", "/nodes/a%2Fb" + wire.PathShell(source)},
		"trailing slash": {"/n/", "", "/n" + wire.PathShell(source)},
		"shell path":     {"/n", "/sh/", "/sh/" + source},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, cat)
			var mu sync.Mutex
			var paths []string
			n.before = func(_ http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				paths = append(paths, r.URL.EscapedPath())
				i := strings.LastIndex(r.URL.EscapedPath(), "/"+source)
				if i < 0 {
					r.URL.Path = wire.PathNode
				} else {
					r.URL.RawPath, r.URL.Path = "", wire.PathShell("")+strings.TrimPrefix(r.URL.EscapedPath()[i:], "/")
				}
				return false
			}
			n.start(overHTTP)
			o := n.options()
			o.URL, o.PathShell = n.server.URL+tt.prefix, tt.shell
			c := newClient(t, o)
			if _, err := c.Node(context.Background()); err != nil {
				t.Fatal(err)
			}
			out := newBuffer()
			s := open(t, c, wire.Shell{}, out, nil)
			writePieces(t, s, "x")
			out.waitFor(1)
			mu.Lock()
			defer mu.Unlock()
			want := []string{strings.TrimRight(tt.prefix, "/") + wire.PathNode, tt.wantShell, tt.wantShell + "/" + s.ID()}
			if strings.Join(paths, " ") != strings.Join(want, " ") {
				t.Errorf("asked for %q, want %q", paths, want)
			}
		})
	}
}
