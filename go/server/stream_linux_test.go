package server

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"etcha/go/config"
	"etcha/go/keeper"
	"etcha/go/sse"
	"etcha/go/wire"
)

// A client that does not read is given up after the time of one write; the
// session goes on, and can be attached to again.
func TestClientThatDoesNotRead(t *testing.T) {
	for name, protocol := range map[string]string{"HTTP/1.1": "http/1.1", "HTTP/2": "h2"} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(c *config.Config) {
				setSource(c, "debug", func(s *config.Source) { s.Shell.Window = 32 << 20 })
			})
			n.restartWith(func() { n.slow = 100 * time.Millisecond })
			client := n.h1
			if protocol == "h2" {
				client = n.h2
			}
			s := n.open(client, n.alice, "debug", "/usr/bin/yes")
			// What is acknowledged makes room for more on the way.
			for ack := uint64(wire.AckEvery); !strings.Contains(n.log.String(), "stream ended"); ack += wire.AckEvery {
				if r := s.do(wire.Shell{Op: wire.OpAck, Ack: ack}); r.status != http.StatusOK {
					t.Fatalf("%d %s", r.status, r.body)
				}
			}
			// It is still there for who comes back.
			r := n.post(s.path(), n.sign(n.alice, n.claims("debug", s.info.Session, wire.Shell{Op: wire.OpAttach, Offset: 1 << 60})))
			r.want(t, wire.CodeOffset)
			if r.problem.Offset == nil {
				t.Fatalf("%s", r.body)
			}
			again := n.begin(n.h2, n.alice, s.path(), n.sign(n.alice, n.claims("debug", s.info.Session, wire.Shell{Op: wire.OpAttach, Offset: *r.problem.Offset})))
			again.await(wire.EventOutput)
			if r := again.do(wire.Shell{Op: wire.OpClose, Seq: 1}); r.status != http.StatusOK {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
}

// restartWith changes what only a start reads.
func (n *testNode) restartWith(change func()) {
	n.t.Helper()
	n.leave()
	if err := n.wait(); err != nil {
		n.t.Fatal(err)
	}
	change()
	n.start()
}

// deadlines records what is set.
type deadlines struct {
	*memory
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

// The deadline of a stream must not cut what follows on the same connection.
func TestWriteDeadlineIsLifted(t *testing.T) {
	l := newLone(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://node/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	d := &deadlines{memory: newMemory()}
	w := &streamWriter{q: l.newRequest(d, r)}
	w.end()
	if len(d.set) != 0 {
		t.Errorf("set without a write: %v", d.set)
	}
	began := time.Now()
	for range 1000 {
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.set) == 0 || len(d.set) > 10 || d.set[0].Before(began.Add(wire.StreamWrite)) {
		t.Errorf("1000 writes set %v", d.set)
	}
	w.end()
	if last := d.set[len(d.set)-1]; !last.IsZero() {
		t.Errorf("the deadline stays at %s", last)
	}
}

func TestStreamLeavesTheConnectionUsable(t *testing.T) {
	n := newNode(t)
	c := dialTLS(t, n.info.Addr)
	in := bufio.NewReader(c)
	for range 3 {
		tok := n.sign(n.alice, n.claims("debug", "", wire.Shell{Op: wire.OpOpen, Command: "/bin/echo hi"}))
		if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/jwt\r\nContent-Length: %d\r\n\r\n%s", wire.PathShell("debug"), len(tok), tok); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &stream{n: n, events: sse.NewReader(resp.Body)}
		if out, exit := s.output(); out != "hi\n" || exit.Code != 0 {
			t.Errorf("%q %+v", out, exit)
		}
		if _, err := s.events.Next(); err == nil {
			t.Error("something follows the exit")
		}
		resp.Body.Close()
	}
}

// Clients must have a certificate of the authority where one is configured; a
// reload changes the authority at once.
func TestClientCertificates(t *testing.T) {
	ca, caKey := clientPair(t)
	other, otherKey := clientPair(t)
	file := writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), ca)
	n := newNode(t, func(c *config.Config) { c.HTTPServer.ClientCAFile = file })
	accepted := func(cert, key string) bool {
		t.Helper()
		conf := &tls.Config{InsecureSkipVerify: true}
		if cert != "" {
			pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
			if err != nil {
				t.Fatal(err)
			}
			conf.Certificates = []tls.Certificate{pair}
		}
		tr := &http.Transport{TLSClientConfig: conf}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get(n.info.URL + wire.PathNode + "?nonce=abc")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	if accepted("", "") || accepted(other, otherKey) || !accepted(ca, caKey) {
		t.Error("the wrong clients are accepted")
	}
	writeFile(t, file, other)
	n.hangup(n.config, "configuration reloaded")
	if accepted("", "") || !accepted(other, otherKey) || accepted(ca, caKey) {
		t.Error("the new authority is not in force")
	}
}

// HTTP/1.0, as nginx speaks to its upstreams unless told otherwise: the stream
// ends with the connection.
func TestStreamOverHTTP10(t *testing.T) {
	n := newNode(t)
	c := dialTLS(t, n.info.Addr)
	tok := n.sign(n.alice, n.claims("debug", "", wire.Shell{Op: wire.OpOpen, Command: "/bin/echo hi"}))
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.0\r\nContent-Type: application/jwt\r\nContent-Length: %d\r\n\r\n%s", wire.PathShell("debug"), len(tok), tok); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s := &stream{n: n, events: sse.NewReader(resp.Body)}
	if out, exit := s.output(); out != "hi\n" || exit.Code != 0 || len(resp.TransferEncoding) != 0 {
		t.Errorf("%q %+v %v", out, exit, resp.TransferEncoding)
	}
	if _, err := s.events.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the exit: %v", err)
	}
}

// clientPair is a certificate for clients that is its own authority.
func clientPair(t *testing.T) (cert, key string) {
	t.Helper()
	k := newKey(t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(t, der, k)
}

func TestOldTLSIsRefused(t *testing.T) {
	addr := newLone(t).serve(nil)
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if ok := err == nil; ok != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			c.Close()
		}
	}
}

// Sessions that a daemon has left are ended too when the node is stopped.
func TestStopWithoutADaemon(t *testing.T) {
	n := newNode(t)
	s := n.cat(n.alice, "debug")
	n.leave()
	if err := n.wait(); err != nil {
		t.Fatal(err)
	}
	k, err := keeper.Connect(t.Context(), keeper.ConnectOptions{StateDir: n.config.Run.StateDir})
	if err != nil {
		t.Fatal(err)
	}
	if all, err := k.List(t.Context()); err != nil || len(all) != 1 || all[0].ID != s.info.Session {
		t.Fatalf("left %v, %v", all, err)
	}
	k.Close()
	if err := StopNode(t.Context(), n.config.Run.StateDir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the keeper is gone", func() bool {
		k, err := keeper.Connect(t.Context(), keeper.ConnectOptions{StateDir: n.config.Run.StateDir})
		if err == nil {
			k.Close()
		}
		return errors.Is(err, keeper.ErrNone)
	})
	if err := StopNode(t.Context(), n.config.Run.StateDir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("with nothing left: %v", err)
	}
}

func TestEndBeforeTheStart(t *testing.T) {
	n := failing(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, n.options(func(NodeInfo) { t.Error("ready") })); err != nil {
		t.Errorf("got %v", err)
	}
	n.nothingLeft()
}

func TestLostPeers(t *testing.T) {
	for _, c := range []struct {
		name    string
		unacked uint32
		since   time.Duration
		want    bool
	}{
		{"idle for long", 0, time.Hour, false},
		{"under way", 3, time.Second, false},
		{"slow", 3, unackedWait - time.Millisecond, false},
		{"gone", 1, unackedWait, true},
	} {
		if got := unanswered(&unix.TCPInfo{Unacked: c.unacked, Last_ack_recv: uint32(c.since.Milliseconds())}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if (*conn)(nil).lost() || (&conn{}).lost() {
		t.Error("no connection is lost")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if _, err := server.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if (&conn{Conn: server}).lost() {
		t.Error("a peer that only does not read is lost")
	}
}
