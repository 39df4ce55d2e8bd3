package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcha/go/config"
	"etcha/go/token"
	"etcha/go/wire"
)

// patience bounds every wait of a test: far beyond what a loaded machine needs.
const patience = time.Minute

// testNode is a node that runs in the test's process, with a keeper that does not.
type testNode struct {
	t      testing.TB
	keeper string // the program that is started as one
	config *config.Config
	info   NodeInfo
	log    *logBuffer
	alice  token.PrivateKey // may open everything
	bob    token.PrivateKey // may open "other" only
	h1, h2 *http.Client

	file  atomic.Pointer[config.Config] // what a reload reads; nil: it is broken
	reads atomic.Int64                  // reloads so far
	level atomic.Pointer[string]        // what the log level was set to
	clock testClock
	slow  time.Duration // for one write of a stream; 0: as in earnest
	leave context.CancelFunc
	ended chan error
}

// newConfig is a node of two sources: debug, which allows commands, and fixed,
// which does not; and other, which Bob may open too.
func newConfig(t testing.TB, dir string, alice, bob token.PrivateKey) *config.Config {
	t.Helper()
	shell := func() *config.Shell {
		return &config.Shell{
			Exec: config.Exec{Command: "/bin/sh"}, AllowCommand: true, AcceptEnv: []string{"LANG"},
			ResumeFor: time.Minute, Window: 1 << 20, Scrollback: 64 << 10,
		}
	}
	fixed := shell()
	fixed.AllowCommand = false
	return &config.Config{
		HTTPServer: config.HTTPServer{ListenAddress: "127.0.0.1:0"},
		Run:        config.Run{StateDir: filepath.Join(dir, "state"), VerifyKeys: []string{alice.Public().String()}},
		Sources: map[string]config.Source{
			"debug":    {Shell: shell()},
			"fixed":    {Shell: fixed},
			"other":    {Shell: shell(), VerifyKeys: []string{bob.Public().String()}},
			"no-shell": {VerifyKeys: []string{bob.Public().String()}},
		},
	}
}

func newPrivate(t testing.TB, kind, id string) token.PrivateKey {
	t.Helper()
	k, err := token.Generate(kind, id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newNode starts a node whose configuration is changed by each of changes.
func newNode(t testing.TB, changes ...func(*config.Config)) *testNode {
	t.Helper()
	n := &testNode{
		keeper: "/proc/self/exe", t: t, log: &logBuffer{}, alice: newPrivate(t, "ed25519", "alice"), bob: newPrivate(t, "ecp256", "bob"),
	}
	n.config = newConfig(t, t.TempDir(), n.alice, n.bob)
	for _, change := range changes {
		change(n.config)
	}
	n.connect()
	n.start()
	t.Cleanup(n.cleanup)
	return n
}

// connect makes clients for both versions of HTTP.
func (n *testNode) connect() {
	tr := func(protocol string) *http.Client {
		tr := &http.Transport{
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}},
			MaxIdleConnsPerHost: 100,
		}
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetHTTP1(protocol == "http/1.1")
		tr.Protocols.SetHTTP2(protocol == "h2")
		n.t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	n.h1, n.h2 = tr("http/1.1"), tr("h2")
}

func (n *testNode) options(ready func(NodeInfo)) Options {
	return Options{
		Config: n.config, Version: "test", Ready: ready,
		Log:         slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		KeeperArgv:  []string{n.keeper, asKeeper, n.config.Run.StateDir},
		Now:         n.clock.now,
		writeTime:   n.slow,
		SetLogLevel: func(level string) error { n.level.Store(&level); return nil },
		Reload: func(context.Context) (*config.Config, error) {
			defer n.reads.Add(1)
			if c := n.file.Load(); c != nil {
				return c, nil
			}
			return nil, errors.New("the file is broken")
		},
	}
}

// start runs the node, also again with the same state.
func (n *testNode) start() {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan NodeInfo, 1)
	n.file.Store(n.config)
	n.leave, n.ended = cancel, make(chan error, 1)
	go func() { n.ended <- Run(ctx, n.options(func(i NodeInfo) { ready <- i })) }()
	select {
	case n.info = <-ready:
	case err := <-n.ended:
		n.t.Fatalf("the node does not start: %v\n%s", err, n.log)
	case <-time.After(patience):
		n.t.Fatalf("the node is not ready\n%s", n.log)
	}
}

// wait gives what Run returned.
func (n *testNode) wait() error {
	n.t.Helper()
	select {
	case err := <-n.ended:
		n.ended = nil
		return err
	case <-time.After(patience):
		n.t.Fatalf("the node does not end\n%s", n.log)
		return nil
	}
}

// cleanup ends all that the test left, and demands that nothing went wrong
// that no test looks for.
func (n *testNode) cleanup() {
	if n.t.Failed() {
		n.t.Logf("log:\n%s", n.log)
	}
	dir := n.config.Run.StateDir
	if err := StopNode(context.Background(), dir); err != nil && !(n.ended == nil && errors.Is(err, ErrNotRunning)) {
		n.t.Errorf("stop: %v", err)
		n.leave()
	}
	if n.ended != nil {
		if err := n.wait(); err != nil {
			n.t.Errorf("the node ended with %v", err)
		}
	}
	eventually(n.t, "the keeper is gone", func() bool {
		held, err := locked(dir, keeperLock)
		return err == nil && !held
	})
	n.leave()
	if strings.Contains(n.log.String(), "panicked") {
		n.t.Errorf("a handler panicked:\n%s", n.log)
	}
}

// claims are good ones for an operation, now.
func (n *testNode) claims(source, session string, sh wire.Shell) wire.Claims {
	now := n.clock.now().Unix()
	return wire.Claims{
		Audience: wire.Audience{n.info.ID}, IssuedAt: now, NotBefore: now, Expires: now + 5,
		ID: token.NewID(), Source: source, Session: session, Shell: &sh,
	}
}

func (n *testNode) sign(key token.PrivateKey, c any) string {
	n.t.Helper()
	tok, err := key.Sign(wire.TypeRequest, c)
	if err != nil {
		n.t.Fatal(err)
	}
	return tok
}

// answer is an answer without what differs from one to the next by itself.
type answer struct {
	status  int
	header  string
	body    string
	problem wire.Problem
}

func (n *testNode) send(c *http.Client, method, path, contentType, body string) answer {
	n.t.Helper()
	r, err := n.try(c, method, path, contentType, strings.NewReader(body))
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (n *testNode) try(c *http.Client, method, path, contentType string, body io.Reader) (answer, error) {
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, n.info.URL+path, body)
	if err != nil {
		return answer{}, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	r := answer{status: resp.StatusCode, body: string(b), header: headerText(resp.Header)}
	if resp.Header.Get("Content-Type") == wire.TypeProblem && method != http.MethodHead {
		err = errors.Join(err, json.Unmarshal(b, &r.problem))
	}
	return r, err
}

func headerText(h http.Header) string {
	h = h.Clone()
	h.Del("Date")
	var b bytes.Buffer
	_ = h.Write(&b)
	return b.String()
}

// post sends a token.
func (n *testNode) post(path, tok string) answer {
	n.t.Helper()
	return n.send(n.h2, http.MethodPost, path, wire.TypeJWT, tok)
}

// want checks a refusal's status and code.
func (r answer) want(t *testing.T, code wire.Code) {
	t.Helper()
	if r.status != code.Status() || r.problem.Code != code || r.problem.Status != r.status {
		t.Errorf("got %d %s, want %d %s", r.status, r.body, code.Status(), code)
	}
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after %s: %s", patience, what)
		}
	}
}

// testClock is the real one, or one that stands still where it was set.
type testClock struct{ still atomic.Pointer[time.Time] }

func (c *testClock) now() time.Time {
	if t := c.still.Load(); t != nil {
		return *t
	}
	return time.Now()
}

// set makes the clock stand still at t.
func (c *testClock) set(t time.Time) { c.still.Store(&t) }

// logBuffer is a log for several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func writeFile(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
