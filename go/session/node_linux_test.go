package session

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"etcha/go/authz"
	"etcha/go/keeper"
	"etcha/go/metrics"
	"etcha/go/record"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// node is a registry with a real keeper process, and what a client has.
type node struct {
	tb       testing.TB
	dir      string
	clock    *clock
	identity *token.Identity
	metrics  *metrics.Metrics
	log      *logBuffer
	opener   token.PublicKey
	source   authz.Source
	limits   Options // MaxSessions and MaxPerKey only
	record   *record.Options
	happened happenings

	k *keeper.Keeper
	r *Registry
}

func newNode(tb testing.TB) *node {
	tb.Helper()
	n := &node{tb: tb, dir: tb.TempDir(), clock: newClock(), metrics: metrics.New("test"), log: &logBuffer{}}
	var err error
	if n.identity, err = token.LoadIdentity(n.dir); err != nil {
		tb.Fatal(err)
	}
	n.opener = newKey(tb, "alice")
	n.source = authz.Source{
		Name: "debug", Keys: []token.PublicKey{n.opener},
		Shell: &authz.Shell{
			Exec: authz.Exec{Argv: []string{"/bin/sh"}}, AllowCommand: true, Umask: 0o22,
			ResumeFor: 5 * time.Minute, AcceptEnv: []string{"LANG"},
		},
	}
	n.metrics.Sources([]metrics.Source{{Name: "debug"}})
	tb.Cleanup(n.shutDown)
	n.connect()
	return n
}

func newKey(tb testing.TB, id string) token.PublicKey {
	tb.Helper()
	k, err := token.Generate("ed25519", id)
	if err != nil {
		tb.Fatal(err)
	}
	return k.Public()
}

// connect begins a daemon's life.
func (n *node) connect() {
	n.tb.Helper()
	k, err := keeper.Connect(testContext(n.tb), keeper.ConnectOptions{
		StateDir: n.dir, Argv: []string{"/proc/self/exe", roleKeeper, n.dir},
	})
	if err != nil {
		n.tb.Fatal(err)
	}
	n.k = k
	o := n.limits
	o.Keeper, o.NodeID, o.Prove, o.Metrics = k, n.identity.ID(), n.identity.Prove, n.metrics
	o.Log = slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Now, o.After = n.clock.Now, n.clock.After
	o.Recordings, o.Observe = n.record, n.happened.add
	o.Environ = []string{"PATH=/usr/bin:/bin", "INHERITED=yes", "etcha_config=secret"}
	n.r = New(o)
	n.r.Recheck(n.policy())
}

// restart drains this daemon and begins the next one's life.
func (n *node) restart() {
	n.tb.Helper()
	n.must(n.r.Drain(testContext(n.tb)))
	n.must(n.k.Close())
	n.connect()
	n.must(n.r.Restore(testContext(n.tb), n.policy()))
}

func (n *node) shutDown() {
	ctx, cancel := context.WithTimeout(context.Background(), testTime)
	defer cancel()
	if n.r != nil {
		n.r.Stop(ctx)
	}
	if n.k != nil {
		n.k.Close()
	}
	if k, err := keeper.Connect(ctx, keeper.ConnectOptions{StateDir: n.dir}); err == nil { // the test did not end it
		if err := k.Shutdown(ctx); err != nil {
			n.tb.Errorf("shut down keeper: %v", err)
		}
		k.Close()
	}
	eventually(n.tb, "the keeper to leave", func() bool {
		return errors.Is(syscall.Kill(n.keeperPID(), 0), syscall.ESRCH)
	})
}

func (n *node) must(err error) {
	n.tb.Helper()
	if err != nil {
		n.tb.Fatal(err)
	}
}

func (n *node) policy() *authz.Policy { return authz.New([]authz.Source{n.source}, nil) }

func (n *node) grant(sh wire.Shell) authz.Grant {
	n.tb.Helper()
	sh.Op = wire.OpOpen
	g, err := n.policy().Open(authz.Identity{Key: n.opener, Subject: "on call", Addr: netip.MustParseAddr("192.0.2.7")}, wire.Claims{Source: "debug", Shell: &sh}, authz.Context{})
	n.must(err)
	return g
}

// requestToken stands for a signed token: the node proves over its bytes only.
const requestToken = "header.payload.signature"

// open starts a session, without a stream.
func (n *node) open(sh wire.Shell) *Session {
	n.tb.Helper()
	s, err := n.r.Open(testContext(n.tb), n.grant(sh), wire.Claims{}, []byte(requestToken))
	n.must(err)
	return s
}

// run starts a script on pipes, or a terminal, and reads its events.
func (n *node) run(script string) (*Session, *viewer) {
	n.tb.Helper()
	s := n.open(wire.Shell{Args: []string{"/bin/sh", "-c", script}})
	return s, view(n.tb, s, Start{Tok: []byte(requestToken)})
}

func (n *node) runOnTerminal(script string) (*Session, *viewer) {
	n.tb.Helper()
	s := n.open(wire.Shell{Args: []string{"/bin/sh", "-c", script}, PTY: true, Cols: 80, Rows: 24, Term: "dumb"})
	return s, view(n.tb, s, Start{Tok: []byte(requestToken)})
}

// do carries out an operation as the opener.
func (n *node) do(s *Session, sh wire.Shell) wire.Answer {
	n.tb.Helper()
	a, err := s.Do(testContext(n.tb), n.opener, sh)
	n.must(err)
	return a
}

// attach takes a session over as the opener.
func (n *node) attach(s *Session, sh wire.Shell, confirm *wire.Confirmation) *viewer {
	n.tb.Helper()
	sh.Op = wire.OpAttach
	reign, err := s.Attach(testContext(n.tb), authz.Identity{Key: n.opener}, wire.Claims{Shell: &sh, Confirm: confirm})
	n.must(err)
	return view(n.tb, s, Start{From: sh.Offset, Tok: []byte(requestToken), Attach: true, Reign: reign})
}

// keeperPID is the keeper's process.
func (n *node) keeperPID() int {
	n.tb.Helper()
	b, err := os.ReadFile(n.dir + "/" + pidFile)
	n.must(err)
	pid, err := strconv.Atoi(string(b))
	n.must(err)
	return pid
}

// held is what the keeper holds.
func (n *node) held() []keeper.Info {
	n.tb.Helper()
	all, err := n.k.List(testContext(n.tb))
	n.must(err)
	return all
}

// scrape is a line of the metrics, by its beginning.
func (n *node) scrape(series string) string {
	n.tb.Helper()
	var b bytes.Buffer
	_, err := n.metrics.Write(&b, "")
	n.must(err)
	for line := range strings.Lines(b.String()) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// logBuffer is a log that may be read while it is written.
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

// viewer reads a stream as a client does.
type viewer struct {
	tb     testing.TB
	r      *sse.Reader
	pipe   *io.PipeReader
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // of Stream, after done

	next uint64 // offset after the last output
	text strings.Builder
	errs strings.Builder
	both strings.Builder // in order
}

// event is an event as read.
type event struct {
	name string
	data []byte
	id   uint64
}

var errGone = errors.New("the client is gone")

func view(tb testing.TB, s *Session, st Start) *viewer {
	tb.Helper()
	return viewStream(tb, st, s.Stream)
}

// viewStream reads what stream writes.
func viewStream(tb testing.TB, st Start, stream func(context.Context, *sse.Writer, Start) error) *viewer {
	tb.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancelCause(context.Background())
	v := &viewer{tb: tb, r: sse.NewReader(r), pipe: r, cancel: cancel, done: make(chan struct{}), next: st.From}
	go func() {
		defer close(v.done)
		v.err = stream(ctx, sse.NewWriter(w, nil), st)
		w.Close()
	}()
	tb.Cleanup(v.vanish)
	return v
}

// vanish breaks the connection.
func (v *viewer) vanish() {
	v.cancel(errGone)
	v.pipe.CloseWithError(errGone)
	<-v.done
}

// read gives the next event, whatever it is; io.EOF at the end.
func (v *viewer) read() (event, error) {
	type result struct {
		e   event
		err error
	}
	ch := make(chan result, 1)
	go func() {
		e, err := v.r.Next()
		ch <- result{event{e.Name, bytes.Clone(e.Data), e.ID}, err}
	}()
	select {
	case r := <-ch:
		return r.e, r.err
	case <-time.After(testTime):
		v.pipe.CloseWithError(errGone)
		<-ch
		v.tb.Fatalf("no event comes; so far: %q", v.text.String())
		return event{}, nil
	}
}

// must gives the next event of a name; output before it is kept.
func (v *viewer) must(name string) event {
	v.tb.Helper()
	for {
		e, err := v.read()
		if err != nil {
			v.tb.Fatalf("no event %q: %v; so far: %q", name, err, v.text.String())
		}
		v.keep(e)
		if e.name == name {
			return e
		}
		switch e.name {
		case wire.EventOutput, wire.EventStderr, wire.EventKeepalive, wire.EventInput:
		default:
			v.tb.Fatalf("event %q %s instead of %q", e.name, e.data, name)
		}
	}
}

// keep checks and keeps output.
func (v *viewer) keep(e event) {
	v.tb.Helper()
	if e.name != wire.EventOutput && e.name != wire.EventStderr {
		return
	}
	p, err := base64.StdEncoding.DecodeString(string(e.data))
	if err != nil || len(p) == 0 || len(p) > wire.MaxFrame || e.id != v.next+uint64(len(p)) {
		v.tb.Fatalf("output of %d bytes, id %d after %d: %v", len(p), e.id, v.next, err)
	}
	v.next = e.id
	v.both.Write(p)
	if e.name == wire.EventStderr {
		v.errs.Write(p)
	} else {
		v.text.Write(p)
	}
}

// until reads output until it holds text.
func (v *viewer) until(text string) {
	v.tb.Helper()
	for !strings.Contains(v.text.String(), text) {
		v.must(wire.EventOutput)
	}
}

// session reads the first event.
func (v *viewer) session() wire.Session {
	v.tb.Helper()
	var s wire.Session
	v.decode(wire.EventSession, &s)
	v.next = s.OutputStart
	return s
}

func (v *viewer) decode(name string, into any) {
	v.tb.Helper()
	e := v.must(name)
	if err := json.Unmarshal(e.data, into); err != nil {
		v.tb.Fatalf("%s: %v", e.data, err)
	}
}

func (v *viewer) notice() wire.NoticeCode {
	v.tb.Helper()
	var n wire.Notice
	v.decode(wire.EventNotice, &n)
	if n.Message == "" {
		v.tb.Errorf("notice %q says nothing", n.Code)
	}
	return n.Code
}

// exit reads to the end of the session.
func (v *viewer) exit() wire.Exit {
	v.tb.Helper()
	var x wire.Exit
	v.decode(wire.EventExit, &x)
	v.end()
	return x
}

// end checks that nothing follows and that Stream was content.
func (v *viewer) end() {
	v.tb.Helper()
	if e, err := v.read(); !errors.Is(err, io.EOF) {
		v.tb.Fatalf("event %q, error %v after the last event", e.name, err)
	}
	<-v.done
	if v.err != nil {
		v.tb.Errorf("stream: %v", v.err)
	}
}
