package ship

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"

	"etcha/go/audit"
)

const (
	appName  = "etcha"
	facility = 10 // security and authorization messages (RFC 5424, section 6.2.1)
	maxCA    = 1 << 20
	// maxAnswer bounds what a server that should only close may say.
	maxAnswer = 4 << 10
)

// syslog sends messages of RFC 5424.
type syslog struct {
	network, address string
	tls              *tls.Config // nil: plain
	host, node       string
	unix             bool
}

func newSyslog(o Options) (*syslog, error) {
	u, err := url.Parse(o.Syslog)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	host, _ := os.Hostname()
	s := &syslog{host: headerValue(host, 255), node: headerValue(o.Node, 128)}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || u.Path == "" {
			return nil, errors.New("write unix:///dev/log")
		}
		s.unix, s.network, s.address = true, "unixgram", u.Path
		return s, nil
	case "udp", "tcp":
		s.network, s.address = u.Scheme, withPort(u, "514") // RFC 5426, and custom
	case "tls":
		s.network, s.address = "tcp", withPort(u, "6514") // RFC 5425
		s.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	default:
		return nil, errors.New("write udp://, tcp:// or tls://host:port, or unix:///dev/log")
	}
	if u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("write %s://host:port", u.Scheme)
	}
	return s, s.options(u.Query())
}

// options reads what stands behind the ? of the URL: ca, a file of authorities in
// PEM that a tls:// server's certificate must be of, in place of the system's.
func (s *syslog) options(q url.Values) (err error) {
	for name := range q {
		if name != "ca" || s.tls == nil {
			return fmt.Errorf("unknown option %q: only tls:// has one, ca=FILE", name)
		}
		if s.tls.RootCAs, err = readCA(q.Get(name)); err != nil {
			return err
		}
	}
	return nil
}

func withPort(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// readCA reads certificate authorities in PEM.
func readCA(path string) (*x509.CertPool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxCA))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	return pool, nil
}

// headerValue is a text as a header field may have it: printable ASCII without
// spaces, "-" for none.
func headerValue(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f {
			return r
		}
		return -1
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), limit)]
}

func (s *syslog) close() {}

// message is RFC 5424: HOSTNAME is the machine's, PROCID the node ID, MSGID the
// event, the structured data's sequenceId the entry's number (section 7.3.1), and
// the text the entry's line as it stands in the log.
func (s *syslog) message(it item) []byte {
	const maxSequence = 1<<31 - 1
	e := it.entry
	b := fmt.Appendf(nil, "<%d>1 %s %s %s %s %s [meta sequenceId=\"%d\"] ",
		facility*8+severity(e.Event), e.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
		s.host, appName, s.node, headerValue(string(e.Event), 32), (e.Seq-1)%maxSequence+1)
	return append(b, it.line...)
}

func (s *syslog) send(ctx context.Context, items []item) (int, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return 0, fmt.Errorf("syslog: %w", err)
	}
	defer func() { _ = conn.Close() }()
	defer bound(ctx, conn)()
	n, err := s.deliver(conn, items)
	if err != nil {
		return n, fmt.Errorf("syslog: %w", err)
	}
	return n, nil
}

func (s *syslog) dial(ctx context.Context) (net.Conn, error) {
	if s.tls != nil {
		return (&tls.Dialer{Config: s.tls}).DialContext(ctx, s.network, s.address)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, s.network, s.address)
	if s.unix && errors.Is(err, syscall.EPROTOTYPE) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.address)
	}
	return conn, err
}

// deliver writes the items as the connection's kind frames them.
func (s *syslog) deliver(conn net.Conn, items []item) (int, error) {
	switch conn.LocalAddr().Network() {
	case "udp", "unixgram":
		for i, it := range items {
			if _, err := conn.Write(s.message(it)); err != nil {
				return i, err
			}
		}
		return len(items), nil
	}
	var b []byte
	for _, it := range items {
		b = s.frame(b, s.message(it))
	}
	if _, err := conn.Write(b); err != nil {
		return 0, err
	}
	if err := finish(conn); err != nil {
		return 0, err
	}
	return len(items), nil
}

// frame puts a message on a stream: with its length (RFC 6587, section 3.4.1; RFC
// 5425, section 4.3), on a local socket with a line end, as those read it.
func (s *syslog) frame(b, message []byte) []byte {
	if s.unix {
		return append(append(b, message...), '\n')
	}
	b = append(strconv.AppendInt(b, int64(len(message)), 10), ' ')
	return append(b, message...)
}

// errUnread means that nothing tells whether the server has read the messages.
var errUnread = errors.New("the server did not close the connection behind the messages: it may not have read them")

// finish ends our direction and waits until the server, having read all of it,
// ends its own.
func finish(conn net.Conn) error {
	if c, ok := conn.(*tls.Conn); ok {
		if err := c.CloseWrite(); err != nil {
			return err
		}
		conn = c.NetConn()
		if err := halfClose(conn); err != nil {
			return err
		}
		return awaitEnd(c)
	}
	if err := halfClose(conn); err != nil {
		return err
	}
	return awaitEnd(conn)
}

func halfClose(conn net.Conn) error {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func awaitEnd(conn net.Conn) error {
	_, err := io.CopyN(io.Discard, conn, maxAnswer)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // some end tls without saying so
		return nil
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		return errUnread
	default:
		return err
	}
}

// isRecorded reports whether an entry is about a recording that is complete.
func isRecorded(e audit.Entry) bool { return e.Event == audit.Recorded }
