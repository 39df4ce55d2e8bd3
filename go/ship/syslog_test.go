package ship

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// collector is a server's harvest.
type collector struct {
	mu  sync.Mutex
	all []string
}

func (c *collector) add(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, s)
}

func (c *collector) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.all...)
}

// packets collects datagrams.
func (c *collector) packets(t *testing.T, network, address string) net.PacketConn {
	t.Helper()
	p, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1<<16)
		for {
			n, _, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			c.add(string(b[:n]))
		}
	}()
	t.Cleanup(func() { _ = p.Close(); <-done })
	return p
}

// stream is a server of connections.
type stream struct {
	l    net.Listener
	done chan struct{}
}

func (s *stream) close() { _ = s.l.Close(); <-s.done }

// serve handles the connections of l one after the other.
func serve(l net.Listener, handle func(net.Conn)) *stream {
	s := &stream{l, make(chan struct{})}
	go func() {
		defer close(s.done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			handle(conn)
			_ = conn.Close()
		}
	}()
	return s
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// octets collects what is framed by its length.
func (c *collector) octets(conn net.Conn) {
	for r := bufio.NewReader(conn); ; {
		length, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(length))
		if err != nil {
			c.add("bad length " + length)
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		c.add(string(b))
	}
}

func (c *collector) textLines(conn net.Conn) {
	for s := bufio.NewScanner(conn); s.Scan(); {
		c.add(s.Text())
	}
}

// wantMessages wants each line of the log once and in order, as RFC 5424.
func (b *bed) wantMessages(got []string) {
	b.t.Helper()
	lines := b.lines()
	if len(got) != len(lines) {
		b.t.Fatalf("%d messages for %d entries\n%s", len(got), len(lines), b.said)
	}
	form := regexp.MustCompile(`^<85>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [!-~]{1,255} etcha SHA256:ab\+/cd open \[meta sequenceId="(\d+)"\] (\{.*\})$`)
	for i, m := range got {
		f := form.FindStringSubmatch(m)
		if f == nil || f[1] != fmt.Sprint(i+1) || f[2] != lines[i] {
			b.t.Fatalf("message %d: %q, want %s", i, m, lines[i])
		}
	}
}

func TestSyslog(t *testing.T) {
	cert, ca := certificate(t)
	for _, c := range []struct {
		name  string
		start func(t *testing.T, c *collector) (url string)
	}{
		{"udp", func(t *testing.T, c *collector) string {
			return "udp://" + c.packets(t, "udp", "127.0.0.1:0").LocalAddr().String()
		}},
		{"tcp", func(t *testing.T, c *collector) string {
			s := serve(listen(t, "tcp", "127.0.0.1:0"), c.octets)
			t.Cleanup(s.close)
			return "tcp://" + s.l.Addr().String()
		}},
		{"tls", func(t *testing.T, c *collector) string {
			l := tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), &tls.Config{Certificates: []tls.Certificate{cert}})
			s := serve(l, c.octets)
			t.Cleanup(s.close)
			return "tls://" + s.l.Addr().String() + "?ca=" + ca
		}},
		{"unix datagrams", func(t *testing.T, c *collector) string {
			path := filepath.Join(t.TempDir(), "log")
			c.packets(t, "unixgram", path)
			return "unix://" + path
		}},
		{"unix stream", func(t *testing.T, c *collector) string {
			path := filepath.Join(t.TempDir(), "log")
			s := serve(listen(t, "unix", path), c.textLines)
			t.Cleanup(s.close)
			return "unix://" + path
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got collector
			url := c.start(t, &got)
			b := newBed(t, func(o *Options) { o.Syslog = url })
			b.add(3)
			b.start()
			b.arrive(3)
			b.arrive(b.add(4))
			b.stop()
			until(t, "seven messages", func() bool { return len(got.got()) >= 7 })
			b.wantMessages(got.got())
			// A later process goes on where this one stopped.
			b.add(2)
			b.start()
			b.arrive(9)
			until(t, "nine messages", func() bool { return len(got.got()) >= 9 })
			b.wantMessages(got.got())
			if n := b.s.Backlog()[toSyslog]; n != 0 {
				t.Errorf("backlog %d", n)
			}
		})
	}
}

// A server that is away, dies in the middle and comes back gets everything, in
// order; what it had half read comes again.
func TestSyslogServerComesBack(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	addr := l.Addr().String()
	_ = l.Close()
	failures := make(chan string, 1000)
	b := newBed(t, func(o *Options) { o.Syslog, o.Failed = "tcp://"+addr, func(d string) { failures <- d } })
	b.start()
	b.add(5)
	if d := <-failures; d != toSyslog {
		t.Errorf("failed at %q", d)
	}
	<-failures // it is tried again
	if n := strings.Count(b.said.String(), "audit entries cannot be sent"); n != 1 {
		t.Errorf("the same error was logged %d times:\n%s", n, b.said)
	}
	dying := serve(listen(t, "tcp", addr), func(conn net.Conn) {
		_, _ = io.ReadFull(conn, make([]byte, 100))
		_ = conn.(*net.TCPConn).SetLinger(0) // a reset, as of a process that is killed
	})
	for range 3 {
		<-failures
	}
	dying.close()
	if b.s.Backlog()[toSyslog] != 5 {
		t.Errorf("backlog %v", b.s.Backlog())
	}
	var got collector
	back := serve(listen(t, "tcp", addr), got.octets)
	defer back.close()
	b.arrive(5)
	b.wantMessages(got.got())
	if !strings.Contains(b.said.String(), "audit entries are sent again") {
		t.Errorf("its end was not logged:\n%s", b.said)
	}
}

// A server that accepts and then hangs holds an attempt, not the shipper.
func TestSyslogServerHangs(t *testing.T) {
	release := make(chan struct{})
	hanging := serve(listen(t, "tcp", "127.0.0.1:0"), func(net.Conn) { <-release })
	failures := make(chan string, 1000)
	b := newBed(t, func(o *Options) {
		o.Syslog = "tcp://" + hanging.l.Addr().String()
		o.timeout, o.Failed = 50*time.Millisecond, func(d string) { failures <- d }
	})
	b.start()
	b.add(1)
	<-failures
	if !strings.Contains(b.said.String(), "may not have read them") {
		t.Errorf("%s", b.said)
	}
	b.stop() // returns while the server hangs
	if b.s.arrived(1) {
		t.Error("an entry that nobody read has arrived")
	}
	close(release)
	hanging.close()
}

func TestSyslogChecksTheCertificate(t *testing.T) {
	cert, _ := certificate(t)
	_, other := certificate(t)
	l := tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), &tls.Config{Certificates: []tls.Certificate{cert}})
	var got collector
	s := serve(l, got.octets)
	defer s.close()
	failures := make(chan string, 1000)
	b := newBed(t, func(o *Options) {
		o.Syslog, o.Failed = "tls://"+s.l.Addr().String()+"?ca="+other, func(d string) { failures <- d }
	})
	b.start()
	b.add(1)
	<-failures
	b.stop()
	if len(got.got()) != 0 || !strings.Contains(b.said.String(), "certificate") {
		t.Errorf("got %v\n%s", got.got(), b.said)
	}
}

func TestSyslogOptions(t *testing.T) {
	for _, url := range []string{"x", "http://host", "tcp://", "unix://host/dev/log", "unix://", "tcp://u:p@host:1", "tcp://host:1/x", "tcp://host:1?ca=x", "tls://h?x=y", "tls://h?ca=/none", "%"} {
		if _, err := New(Options{AuditDir: "/a", CursorDir: "/c", Syslog: url}); err == nil || !strings.Contains(err.Error(), "run.ship.syslog") {
			t.Errorf("%q: %v", url, err)
		}
	}
	for url, want := range map[string]string{"udp://h": "h:514", "tls://h": "h:6514", "tcp://[::1]:99": "[::1]:99"} {
		s, err := newSyslog(Options{Syslog: url})
		if err != nil || s.address != want {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// certificate makes one for 127.0.0.1, which is its own authority.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}
