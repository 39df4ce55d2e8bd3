package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"etcha/go/config"
	"etcha/go/wire"
)

// A body that does not come is not waited for longer than its time.
func TestSlowBody(t *testing.T) {
	l := newLone(t)
	l.readTime = 20 * time.Millisecond
	c := dialTLS(t, l.serve(nil))
	if _, err := io.WriteString(c, "POST /etcha/v1/shell/debug HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusRequestTimeout || !bytes.Contains(body, []byte(`"timeout"`)) {
		t.Errorf("%d %s, %v", resp.StatusCode, body, err)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("the connection stays open")
	}
}

// The same over HTTP/2, where only the stream ends.
func TestSlowBodyHTTP2(t *testing.T) {
	l := newLone(t)
	l.readTime = 20 * time.Millisecond
	addr := l.serve(nil)
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	r, w := io.Pipe()
	defer w.Close()
	go w.Write([]byte("half"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+addr+wire.PathShell("debug"), r)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout || resp.ProtoMajor != 2 {
		t.Errorf("%s %d", resp.Proto, resp.StatusCode)
	}
}

// Neither a header nor a handshake is waited for longer than its time.
func TestSlowHeader(t *testing.T) {
	for _, disableTLS := range []bool{false, true} {
		l := newLone(t, func(c *config.Config) { c.HTTPServer.DisableTLS = disableTLS })
		addr := l.serve(func(s *http.Server) {
			if s.ReadHeaderTimeout != wire.RequestRead {
				t.Errorf("a header may take %s", s.ReadHeaderTimeout)
			}
			s.ReadHeaderTimeout = 20 * time.Millisecond
		})
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		// For TLS, this is the beginning of a handshake record.
		half := map[bool]string{true: "POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ", false: "\x16\x03\x01\x02\x00\x01"}[disableTLS]
		if _, err := io.WriteString(c, half); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("without TLS %v: the connection stays open", disableTLS)
		}
	}
}

func TestLargeHeader(t *testing.T) {
	c := dialTLS(t, newLone(t).serve(nil))
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Large: %s\r\n\r\n", strings.Repeat("a", 2*wire.MaxHeader)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// A body that lies about its size is bounded all the same.
func TestChunkedBodyIsBounded(t *testing.T) {
	c := dialTLS(t, newLone(t).serve(nil))
	go func() {
		_, _ = io.WriteString(c, "POST /etcha/v1/shell/debug HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 2 * wire.MaxBody / 4096 {
			if _, err := fmt.Fprintf(c, "1000\r\n%s\r\n", strings.Repeat("x", 4096)); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// The connections of one address that show no token push each other out.
func TestConnectionCrowd(t *testing.T) {
	l := newLone(t)
	addr := l.serve(nil)
	send := func(c net.Conn, tok string) (*http.Response, error) {
		if _, err := fmt.Fprintf(c, "POST /etcha/v1/shell/debug HTTP/1.1\r\nHost: x\r\nContent-Type: application/jwt\r\nContent-Length: %d\r\n\r\n%s", len(tok), tok); err != nil {
			return nil, err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
		}
		return resp, err
	}
	good := func() string { return l.token("debug", wire.Shell{Op: wire.OpOpen}, nil) }
	known := dialTLS(t, addr)
	if resp, err := send(known, good()); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("a valid token: %v, %v", resp, err)
	}
	var idle []net.Conn
	for range 4 {
		idle = append(idle, dialTLS(t, addr))
	}
	if _, err := io.ReadAll(idle[0]); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the oldest was not put out")
	}
	for i, c := range append(idle[1:], known) {
		if resp, err := send(c, good()); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("connection %d: %v, %v", i, resp, err)
		}
	}
	for range 4 {
		dialTLS(t, addr)
	}
	for i, c := range append(idle[1:], known) {
		if _, err := send(c, good()); err != nil {
			t.Errorf("connection %d, which has shown a token, was put out: %v", i, err)
		}
	}
	// A token that has expired is nobody's any more.
	stale := dialTLS(t, addr)
	old := l.token("debug", wire.Shell{Op: wire.OpOpen}, func(c *wire.Claims) { c.IssuedAt, c.NotBefore, c.Expires = 1, 1, 6 })
	if resp, err := send(stale, old); err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Fatalf("an expired token: %v, %v", resp, err)
	}
	for range 4 {
		dialTLS(t, addr)
	}
	if _, err := send(stale, old); err == nil {
		t.Error("a connection that showed an expired token alone was not put out")
	}
}

// Bodies that are slow to come push each other out, not those that come at once.
func TestReadersPushEachOtherOut(t *testing.T) {
	l := newLone(t)
	l.reading = newCrowd(2, 2)
	addr := l.serve(nil)
	var slow []net.Conn
	for range 3 {
		c := dialTLS(t, addr)
		if _, err := io.WriteString(c, "POST /etcha/v1/shell/debug HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
		want := min(len(slow), 2)
		eventually(t, "the body is being read", func() bool { return l.reading.size() == want })
	}
	resp, err := http.ReadResponse(bufio.NewReader(slow[0]), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("the oldest: status %d", resp.StatusCode)
	}
	for _, c := range slow[1:] {
		c.Close()
	}
	eventually(t, "those who left are not counted", func() bool { return l.reading.size() == 0 })
}

// A body that was complete when its time ended leaves no deadline behind.
func TestBoundIsLifted(t *testing.T) {
	m := newMemory()
	b := &bound{rc: http.NewResponseController(m)}
	b.cut()
	if m.deadline.IsZero() || m.deadline.After(time.Now()) {
		t.Errorf("cut at %s", m.deadline)
	}
	if err := b.lift(); err != nil || !m.deadline.IsZero() {
		t.Errorf("lifted to %s, %v", m.deadline, err)
	}
	b.cut()
	if !m.deadline.IsZero() {
		t.Error("cut after the body was read")
	}
}
