package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"etcha/go/config"
	"etcha/go/errs"
	"etcha/go/wire"
)

// Limits of the listener.
const (
	// maxUnverified bounds the connections, altogether and of one address, on
	// which no valid token has come yet. Beyond it the longest-waiting goes.
	maxUnverified     = 2048
	maxUnverifiedEach = 256
	// maxReading bounds the requests whose body is being read, likewise.
	maxReading     = 1024
	maxReadingEach = 256

	idleConn     = 2 * time.Minute  // a connection without a request
	streamsEach  = 250              // requests at once on an HTTP/2 connection
	streamBuffer = 256 << 10        // bytes received and not yet read, of a request
	connBuffer   = 1 << 20          // of a connection
	unackedWait  = wire.StreamWrite // until a peer that acknowledges nothing is lost
)

// bind listens on the configured address, or takes the socket that systemd
// holds open (sd_listen_fds(3)).
func bind(ctx context.Context, address string) (net.Listener, error) {
	if files := activation.Files(true); len(files) > 0 {
		return given(files)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, &errs.Error{Text: "address " + address + " is in use by another program", Hint: "stop it, or set httpServer.listenAddress", Err: err}
	case errors.Is(err, os.ErrPermission):
		return nil, &errs.Error{Text: "address " + address + " needs root", Hint: "choose a port from 1024 on with httpServer.listenAddress", Err: err}
	default:
		return nil, &errs.Error{Text: "httpServer.listenAddress " + address + " cannot be used", Err: err}
	}
}

// given makes a listener of the first socket that systemd passed, and closes the others.
func given(files []*os.File) (net.Listener, error) {
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	ln, err := net.FileListener(files[0])
	if err != nil {
		return nil, fmt.Errorf("use the socket %s given by systemd: %w", files[0].Name(), err)
	}
	return ln, nil
}

// listener bounds the connections on which no valid token has come yet.
type listener struct {
	net.Listener
	unverified *crowd
	trusted    func(netip.Addr) bool // many clients behind one address
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc}
	if addr := remoteAddr(nc.RemoteAddr().String()); !l.trusted(addr) {
		// Not c.Close: that would leave the crowd, which is locked now.
		c.place = l.unverified.enter(addr, func() { nc.Close() })
	}
	return c, nil
}

// conn is a connection that knows whether it has shown a valid token.
type conn struct {
	net.Conn
	place *place // nil: not counted
}

// verified takes the connection out of the crowd; called for each valid token.
func (c *conn) verified() {
	if c != nil {
		c.place.leave()
	}
}

// lost reports whether the peer is gone without a word: it has acknowledged
// nothing for a while although something is under way. A client that is only
// stopped, or does not read, is not: its kernel answers.
func (c *conn) lost() bool {
	if c == nil {
		return false
	}
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		gone = err == nil && unanswered(info)
	})
	return err == nil && gone
}

// unanswered reads what the kernel knows of a connection (tcp(7), TCP_INFO).
func unanswered(i *unix.TCPInfo) bool {
	return i.Unacked > 0 && time.Duration(i.Last_ack_recv)*time.Millisecond >= unackedWait
}

func (c *conn) Close() error {
	c.place.leave()
	return c.Conn.Close()
}

// connKey is the context key of a request's *conn.
type connKey struct{}

func connContext(ctx context.Context, nc net.Conn) context.Context {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if c, ok := nc.(*conn); ok {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// newHTTP makes the server. It has no WriteTimeout: streams last, and bound
// each of their writes themselves.
func newHTTP(h http.Handler, c config.HTTPServer, t *tlsSource, log *slog.Logger) *http.Server {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(!c.DisableTLS)
	p.SetUnencryptedHTTP2(c.DisableTLS)
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: wire.RequestRead, // of the TLS handshake too
		IdleTimeout:       idleConn,
		MaxHeaderBytes:    wire.MaxHeader,
		ConnContext:       connContext,
		ErrorLog:          stdlog.New(complaints{log}, "", 0),
		Protocols:         p,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          streamsEach,
			MaxReceiveBufferPerStream:     streamBuffer,
			MaxReceiveBufferPerConnection: connBuffer,
			WriteByteTimeout:              wire.StreamWrite,
		},
		DisableGeneralOptionsHandler: true,
	}
	if !c.DisableTLS {
		s.TLSConfig = t.server()
	}
	return s
}

// complaints are what net/http has to say. Nearly all of it is a client's doing,
// which anybody can repeat at will; what the node suffers from is not.
type complaints struct{ log *slog.Logger }

func (c complaints) Write(p []byte) (int, error) {
	level, text := slog.LevelDebug, strings.TrimSpace(string(p))
	for _, own := range []string{"http: Accept error", "http: panic"} {
		if strings.HasPrefix(text, own) {
			level = slog.LevelError
		}
	}
	c.log.Log(context.Background(), level, "HTTP server", "err", text)
	return len(p), nil
}

// serve answers connections until the server is shut down.
func serve(s *http.Server, ln net.Listener) error {
	var err error
	if s.TLSConfig != nil {
		err = s.ServeTLS(ln, "", "")
	} else {
		err = s.Serve(ln)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("accept connections: %w", err)
}
