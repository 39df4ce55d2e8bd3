package etcha_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"etcha"
	"etcha/go/errs"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// node is a node whose program echoes its input in capitals and then ends.
type node struct {
	*httptest.Server
	identity *token.Identity
	opener   token.PrivateKey
	exit     wire.Exit
	refuse   *wire.Problem
	lose     bool // the stream ends without an exit

	mu    sync.Mutex
	cond  sync.Cond
	shell wire.Shell
	input []byte
	eof   bool
	ops   []wire.Shell
}

func startNode(t *testing.T) *node {
	t.Helper()
	n := &node{exit: wire.Exit{Reason: wire.ReasonExited}}
	n.cond.L = &n.mu
	var err error
	if n.identity, err = token.LoadIdentity(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if n.opener, err = token.Generate(token.KindEd25519, "alice"); err != nil {
		t.Fatal(err)
	}
	n.Server = httptest.NewServer(n)
	t.Cleanup(func() {
		n.CloseClientConnections()
		n.Close()
	})
	return n
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		tok, _ := n.identity.Node(wire.NodeClaims{IssuedAt: time.Now().Unix(), Nonce: r.URL.Query().Get("nonce"), Version: "1"})
		w.Header().Set("Content-Type", wire.TypeJSON)
		_ = json.NewEncoder(w).Encode(wire.NodeAnswer{Token: tok})
		return
	}
	tok, _ := io.ReadAll(r.Body)
	var claims wire.Claims
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(string(tok), ".")[1])
	_ = json.Unmarshal(payload, &claims)
	if n.refuse != nil && claims.Shell.Op == wire.OpOpen && len(claims.Approvals) == 0 {
		if n.refuse.Code == wire.CodeApproval {
			digest := wire.NewOpenRequest(n.identity.ID(), n.opener.Public().Thumbprint(), claims).Digest()
			n.refuse.Approval = &wire.ApprovalNeeded{Digest: digest, Need: 1}
		}
		n.problem(w, n.refuse)
		return
	}
	switch claims.Shell.Op {
	case wire.OpOpen, wire.OpWatch, wire.OpJoin:
		n.stream(w, tok, *claims.Shell)
		return
	case wire.OpAttach:
		if n.lose {
			n.problem(w, &wire.Problem{Code: wire.CodeNotFound, Title: "not found"})
			return
		}
		n.stream(w, tok, *claims.Shell)
		return
	case wire.OpList:
		n.json(w, wire.SessionList{Sessions: []wire.SessionInfo{{
			Session: "s1", Source: "debug", Started: 1000, State: wire.SessionDetached, Members: make([]wire.Member, 2), Input: 3,
		}}})
		return
	case wire.OpSources:
		n.json(w, wire.SourceList{Sources: []wire.SourceInfo{{Source: "debug", Shell: true, Require: 1}}})
		return
	case wire.OpKill:
		n.mu.Lock()
		defer n.mu.Unlock()
		n.exit, n.eof = wire.Exit{Code: 137, Reason: wire.ReasonKilled}, true
		n.cond.Broadcast()
		n.json(w, struct{}{})
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.cond.Broadcast()
	if claims.Shell.Op == wire.OpInput && claims.Shell.Offset != uint64(len(n.input)) {
		at, room := uint64(len(n.input)), uint64(wire.InputWindow)
		w.Header().Set("Content-Type", wire.TypeProblem)
		w.WriteHeader(wire.CodeOffset.Status())
		_ = json.NewEncoder(w).Encode(wire.Problem{Code: wire.CodeOffset, Offset: &at, Room: &room})
		return
	}
	if claims.Shell.Op == wire.OpInput {
		n.input = append(n.input, claims.Shell.Data...)
		n.eof = n.eof || claims.Shell.EOF
	} else {
		n.ops = append(n.ops, *claims.Shell)
		n.eof = n.eof || claims.Shell.Op == wire.OpClose
	}
	w.Header().Set("Content-Type", wire.TypeJSON)
	_ = json.NewEncoder(w).Encode(wire.Answer{Offset: uint64(len(n.input)), Room: wire.InputWindow, Seq: claims.Shell.Seq})
}

func (n *node) problem(w http.ResponseWriter, p *wire.Problem) {
	w.Header().Set("Content-Type", wire.TypeProblem)
	w.WriteHeader(p.Code.Status())
	_ = json.NewEncoder(w).Encode(p)
}

func (n *node) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", wire.TypeJSON)
	_ = json.NewEncoder(w).Encode(v)
}

func (n *node) stream(w http.ResponseWriter, tok []byte, sh wire.Shell) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shell = sh
	out := sse.NewWriter(w, http.NewResponseController(w).Flush)
	info := wire.Session{
		Session: "s1", Node: n.identity.ID(), Source: "debug", User: "operator", Window: wire.DefaultWindow,
		Started: 1000, ResumeFor: 300, IdleTimeout: 1.5, EndsAt: 2000,
	}
	info.Proof, _ = n.identity.Prove(wire.ProofClaims{IssuedAt: time.Now().Unix(), Session: "s1", Request: token.RequestHash(tok)})
	data, _ := json.Marshal(info)
	w.Header().Set("Content-Type", wire.TypeEventStream)
	_ = out.Event(wire.EventSession, sse.NoID, data)
	_ = out.Flush()
	for !n.eof {
		n.cond.Wait()
	}
	_ = out.Output(wire.EventOutput, uint64(len(n.input)), bytes.ToUpper(n.input))
	if !n.lose {
		data, _ = json.Marshal(n.exit)
		_ = out.Event(wire.EventExit, sse.NoID, data)
	}
	_ = out.Flush()
}

func (n *node) client(t *testing.T, edit ...func(*etcha.Options)) *etcha.Client {
	t.Helper()
	o := etcha.Options{URL: n.URL, Target: "myhost", Signer: etcha.NewSigner(n.opener.Signer()), NodeID: n.identity.ID(), Proxy: "direct"}
	for _, f := range edit {
		f(&o)
	}
	c, err := etcha.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestSession(t *testing.T) {
	n := startNode(t)
	var out bytes.Buffer
	req := etcha.Request{
		Source: "debug", Process: "web", Args: []string{"a", "b"}, Env: map[string]string{"LANG": "C"}, Title: "t",
		Term: "xterm", Cols: 80, Rows: 24, Stdout: &out,
	}
	s, err := n.client(t).Open(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(s, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal("USR1"); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if out.String() != "HELLO" {
		t.Errorf("output %q", out.String())
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, etcha.ErrEnded) {
		t.Errorf("write after the end: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close after the end: %v", err)
	}
	got, _ := json.Marshal(n.shell)
	want, _ := json.Marshal(wire.Shell{
		Op: wire.OpOpen, Process: "web", Args: []string{"a", "b"}, Env: map[string]string{"LANG": "C"}, Title: "t", Term: "xterm", Cols: 80, Rows: 24,
	})
	if !bytes.Equal(got, want) {
		t.Errorf("asked for %s, want %s", got, want)
	}
	info := etcha.Info{
		Session: "s1", Node: n.identity.ID(), Source: "debug", User: "operator", Started: time.UnixMilli(1000),
		ResumeFor: 5 * time.Minute, IdleTimeout: 1500 * time.Millisecond, EndsAt: time.UnixMilli(2000),
	}
	if s.Info() != info || s.ID() != "s1" {
		t.Errorf("info %+v, want %+v", s.Info(), info)
	}
}

func TestWait(t *testing.T) {
	for _, tt := range []struct {
		exit wire.Exit
		want *etcha.ExitError
		text string
	}{
		{wire.Exit{Reason: wire.ReasonExited}, nil, ""},
		{wire.Exit{Code: 7, Reason: wire.ReasonExited}, &etcha.ExitError{Code: 7, Reason: "exited"}, "exit status 7"},
		{
			wire.Exit{Code: 143, Signal: "TERM", Reason: wire.ReasonExited},
			&etcha.ExitError{Code: 143, Signal: "TERM", Reason: "exited"}, "the program was ended by signal TERM, exit status 143",
		},
		{wire.Exit{Code: 0, Reason: wire.ReasonIdle}, &etcha.ExitError{Reason: "idle"}, "the session was ended (idle), exit status 0"},
	} {
		n := startNode(t)
		n.exit = tt.exit
		s, err := n.client(t).Open(context.Background(), etcha.Request{Source: "debug", PTY: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		err = s.Wait()
		var exit *etcha.ExitError
		if errors.As(err, &exit) != (tt.want != nil) || tt.want != nil && *exit != *tt.want || tt.want == nil && err != nil {
			t.Errorf("wait: %v, want %v", err, tt.want)
		}
		if err != nil && err.Error() != tt.text {
			t.Errorf("text %q, want %q", err, tt.text)
		}
	}
}

func TestLoss(t *testing.T) {
	n := startNode(t)
	n.lose = true
	s, err := n.client(t).Open(context.Background(), etcha.Request{Source: "debug"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	err = s.Wait()
	var loss *etcha.LossError
	if !errors.As(err, &loss) || errs.ExitOf(err) != errs.ExitTransport || !strings.Contains(errs.HintOf(err), "s1") {
		t.Errorf("wait: %v, hint %q", err, errs.HintOf(err))
	}
}

// A session is left, found in the list, gone on with, watched and killed.
func TestSessions(t *testing.T) {
	n := startNode(t)
	c := n.client(t)
	ctx := context.Background()
	first, err := c.Open(ctx, etcha.Request{Source: "debug", Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Detach(); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); !errors.Is(err, etcha.ErrDetached) || !n.shell.Detach {
		t.Errorf("wait: %v, asked for %+v", err, n.shell)
	}
	list, err := c.Sessions(ctx)
	want := etcha.SessionInfo{Session: "s1", Source: "debug", Started: time.UnixMilli(1000), State: "detached", Viewers: 2, Input: 3}
	if err != nil || len(list) != 1 || list[0] != want {
		t.Fatalf("sessions %+v: %v", list, err)
	}
	sources, err := c.Sources(ctx)
	if err != nil || len(sources) != 1 || sources[0].Source != "debug" || !sources[0].Shell || sources[0].Require != 1 {
		t.Errorf("sources %+v: %v", sources, err)
	}
	again, err := c.Attach(ctx, etcha.AttachRequest{Session: "s1", Cols: 80, Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(ctx, "s1"); err != nil {
		t.Fatal(err)
	}
	var exit *etcha.ExitError
	if err := again.Wait(); !errors.As(err, &exit) || exit.Reason != "killed" {
		t.Errorf("wait: %v", err)
	}
	for name, visit := range map[string]func(context.Context, string, io.Writer, io.Writer) (*etcha.Session, error){"watch": c.Watch, "join": c.Join} {
		s, err := visit(ctx, "s1", nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := s.Write([]byte("x")); name == "watch" && !errors.Is(err, etcha.ErrReadOnly) {
			t.Errorf("write: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestApproval(t *testing.T) {
	n := startNode(t)
	n.refuse = &wire.Problem{Code: wire.CodeApproval, Title: "approval"}
	var asked etcha.Approval
	s, err := n.client(t, func(o *etcha.Options) {
		o.Approve = func(_ context.Context, a etcha.Approval) ([]string, error) {
			asked = a
			return []string{"approval"}, nil
		}
	}).Open(context.Background(), etcha.Request{Source: "debug"})
	if err != nil {
		t.Fatal(err)
	}
	if asked.Digest != n.refuse.Approval.Digest || asked.Need != 1 || asked.Have != 0 {
		t.Errorf("asked for %+v", asked)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	n := startNode(t)
	n.refuse = &wire.Problem{Code: wire.CodeDenied, Title: "denied", Detail: "no commands here", Hint: "ask for allowCommand"}
	_, err := n.client(t).Open(context.Background(), etcha.Request{Source: "debug"})
	var refused *etcha.RefusedError
	if !errors.As(err, &refused) || refused.Code != "denied" || refused.Detail != "no commands here" || refused.Hint != "ask for allowCommand" {
		t.Fatalf("error %v", err)
	}
	if want := `open session "debug" on myhost: refused: no commands here (denied)`; err.Error() != want {
		t.Errorf("text %q, want %q", err, want)
	}
	if errs.ExitOf(err) != errs.ExitTransport {
		t.Errorf("exit status %d", errs.ExitOf(err))
	}
}

func TestUntrusted(t *testing.T) {
	n, other := startNode(t), startNode(t)
	known := filepath.Join(t.TempDir(), "known-nodes")
	var events []etcha.Event
	first := func(o *etcha.Options) {
		o.NodeID, o.KnownNodes = "", known
		o.Notify = func(e etcha.Event) { events = append(events, e) }
	}
	got, err := n.client(t, first).Node(context.Background())
	if err != nil || got.ID != n.identity.ID() || got.Version != "1" || got.Clock.IsZero() {
		t.Fatalf("node %+v, %v", got, err)
	}
	if len(events) != 1 || events[0].Kind != etcha.EventFirstUse || events[0].Node != got.ID {
		t.Errorf("events %+v", events)
	}
	_, err = other.client(t, first).Node(context.Background())
	if !errors.Is(err, etcha.ErrUntrusted) || !strings.Contains(err.Error(), other.identity.ID()) || errs.HintOf(err) == "" {
		t.Errorf("error %v", err)
	}
}

func TestParseKey(t *testing.T) {
	if _, err := etcha.ParseKey("junk", nil); err == nil {
		t.Error("junk is a key")
	}
	if (etcha.Signer{}).PublicKey() != "" {
		t.Error("no key has a public half")
	}
	if _, err := etcha.NewClient(etcha.Options{URL: "https://x"}); err == nil {
		t.Error("a client that cannot tell nodes apart")
	}
}
