package client_test

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"etcha/go/client"
	"etcha/go/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// options are those that reach a test's node.
func (n *node) options() client.Options {
	return client.Options{
		URL: n.server.URL, Target: "myhost", Signer: n.opener.Signer(), Proxy: client.ProxyDirect,
		NodeID: n.identity.ID(),
	}
}

func newClient(t testing.TB, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.NoPauses()
	t.Cleanup(c.Close)
	return c
}

func knownFile(t testing.TB) *client.KnownNodes {
	return client.OpenKnownNodes(filepath.Join(t.TempDir(), "config", "known_nodes"))
}

func open(t testing.TB, c *client.Client, sh wire.Shell, stdout, stderr io.Writer) *client.Session {
	t.Helper()
	s, err := c.Open(context.Background(), source, sh, stdout, stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustExit(t testing.TB, s *client.Session, want wire.Exit) {
	t.Helper()
	got, err := s.Wait()
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	if got != want {
		t.Fatalf("exit %+v, want %+v", got, want)
	}
}

var exited = wire.Exit{Code: 7, Reason: wire.ReasonExited}

// cat copies input to output and ends with status 7.
func cat(p *program) wire.Exit {
	_, _ = io.Copy(p, p)
	return exited
}

// buffer is a bytes.Buffer that a test may look at while it is written.
type buffer struct {
	mu   sync.Mutex
	cond sync.Cond
	b    bytes.Buffer
}

func newBuffer() *buffer {
	b := &buffer{}
	b.cond.L = &b.mu
	return b
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cond.Broadcast()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// waitFor blocks until n bytes have arrived.
func (b *buffer) waitFor(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.b.Len() < n {
		b.cond.Wait()
	}
}

func each(t *testing.T, f func(t *testing.T, how over)) {
	for _, how := range []over{overHTTP, overHTTP1, overHTTP2} {
		t.Run(string(how), func(t *testing.T) { f(t, how) })
	}
}

func TestEcho(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		n := newNode(t, cat).start(how)
		out := newBuffer()
		s := open(t, newClient(t, n.options()), wire.Shell{Cols: 80, Rows: 24, Term: "xterm"}, out, nil)
		for i, key := range []string{"h", "e", "l", "l", "o"} {
			if _, err := io.WriteString(s, key); err != nil {
				t.Fatal(err)
			}
			out.waitFor(i + 1)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		mustExit(t, s, exited)
		if out.String() != "hello" {
			t.Errorf("output %q", out.String())
		}
		if n.asked(wire.OpOpen) != 1 || n.questions() != 0 {
			t.Errorf("%d opens and %d questions for a pinned node, want one and none", n.asked(wire.OpOpen), n.questions())
		}
	})
}
