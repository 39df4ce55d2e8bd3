package client

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

const (
	// streamWindow is what HTTP/2 may hold of a stream that is not read: stale
	// output after an interrupt, against throughput on a long path.
	streamWindow = 1 << 20
	// pingAfter is the silence on an HTTP/2 connection after which it is probed;
	// a node's stream is never silent for longer than wire.KeepaliveMax.
	pingAfter = wire.KeepaliveMax + 2*time.Second
	// pingTimeout is the time for the answer to the probe.
	pingTimeout = 8 * time.Second
	// idleConnection is how long an unused connection is kept.
	idleConnection = 90 * time.Second
	// againDial is the time to connect when a session was lost: short, since the
	// first packet of a new try arrives sooner than one repeated for the tenth time.
	againDial = 5 * time.Second
	// maxRetired is how many transports that still have connections in use are
	// remembered, to be closed with the client; more close theirs by themselves.
	maxRetired = 8
)

// connections makes a client's connections. All share what is known of the node's
// TLS; a name is looked up for each connection anew.
type connections struct {
	o     Options
	proxy func(*http.Request) (*url.URL, error) // nil: none
	tls   *tls.Config

	mu      sync.Mutex
	present *http.Transport   // for whatever is not a session's own
	retired []*http.Transport // replaced, since a session was lost on them
}

// proxyOf is how the proxy for a request is chosen; nil: none.
func proxyOf(o Options) (func(*http.Request) (*url.URL, error), error) {
	switch o.Proxy {
	case "":
		return http.ProxyFromEnvironment, nil
	case ProxyDirect:
		return nil, nil
	}
	u, err := url.Parse(o.Proxy)
	if err != nil || u.Host == "" {
		return nil, errs.Usage("proxy: not a URL with a host")
	}
	return http.ProxyURL(u), nil
}

// tlsProxy is the host of a proxy that is reached by TLS itself, "" for none.
func tlsProxy(choose func(*http.Request) (*url.URL, error), base *url.URL) string {
	if choose == nil {
		return ""
	}
	if u, err := choose(&http.Request{URL: base}); err == nil && u != nil && u.Scheme == "https" {
		return u.Hostname()
	}
	return ""
}

// transport makes connections by dial.
func (n *connections) transport(dial func(context.Context, string, string) (net.Conn, error)) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!n.o.HTTP1)
	return &http.Transport{
		Proxy:                  n.proxy,
		DialContext:            dial,
		TLSClientConfig:        n.tls.Clone(),
		TLSHandshakeTimeout:    n.o.Timeout,
		DisableCompression:     true, // a compressor would hold back a stream
		MaxIdleConnsPerHost:    wire.MaxInFlight + 1,
		IdleConnTimeout:        idleConnection,
		MaxResponseHeaderBytes: wire.MaxHeader,
		Protocols:              protocols,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: streamWindow,
			SendPingTimeout:           pingAfter,
			PingTimeout:               pingTimeout,
		},
	}
}

// shared is the transport for whatever is not a session's own.
func (c *Client) shared() *http.Transport {
	n := &c.conns
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.present == nil {
		n.present = n.transport((&net.Dialer{Timeout: n.o.Timeout}).DialContext)
	}
	return n.present
}

// renew sees to it that nothing new begins on a transport that a session was
// lost on. What is under way on it goes on.
func (c *Client) renew(lost *http.Transport) {
	n := &c.conns
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.present != lost {
		return
	}
	n.present = nil
	lost.CloseIdleConnections()
	if len(n.retired) == maxRetired {
		n.retired[0].CloseIdleConnections()
		n.retired = n.retired[1:]
	}
	n.retired = append(n.retired, lost)
}

// closeIdle closes all connections that nobody uses.
func (n *connections) closeIdle() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.present != nil {
		n.present.CloseIdleConnections()
	}
	for _, t := range n.retired {
		t.CloseIdleConnections()
	}
}

// ownTransport makes a transport for one link. The function ends its connections,
// whatever they are doing.
func (c *Client) ownTransport() (*http.Transport, func()) {
	d := &dialled{by: net.Dialer{Timeout: min(againDial, c.o.Timeout)}, open: make(map[net.Conn]struct{})}
	return c.conns.transport(d.dial), d.close
}

// dialled are the connections of one link.
type dialled struct {
	by net.Dialer

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]struct{}
}

func (d *dialled) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.by.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	own := &ownConn{conn, d}
	d.open[own] = struct{}{}
	return own, nil
}

func (d *dialled) close() {
	d.mu.Lock()
	d.closed = true
	open := d.open
	d.open = nil
	d.mu.Unlock()
	for conn := range open {
		_ = conn.Close()
	}
}

// ownConn takes itself out when it is closed.
type ownConn struct {
	net.Conn
	d *dialled
}

func (c *ownConn) Close() error {
	c.d.mu.Lock()
	delete(c.d.open, c)
	c.d.mu.Unlock()
	return c.Conn.Close()
}
