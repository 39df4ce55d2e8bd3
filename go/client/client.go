package client

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// Client opens sessions on one node. It is safe for concurrent use.
type Client struct {
	o      Options
	base   *url.URL
	target string
	trust  *trust
	conns  connections
	waits  waits

	first  sync.Mutex // first use of the node, one at a time
	notes  sync.Mutex // calls of Notify, one at a time
	clocks sync.Mutex // corrections of the clock, one at a time
	// skew is added to the local clock, nanoseconds; corrections counts how
	// often it was looked at.
	skew        atomic.Int64
	corrections atomic.Uint64
}

// waits are the times and counts that tests shorten.
type waits struct {
	now        func() time.Time
	after      func(time.Duration) <-chan time.Time // pauses between tries
	tries      int                                  // of the same signal, at most
	silence    time.Duration                        // after which a stream is lost
	unanswered time.Duration                        // after which a request is, whose stream is silent
	gone       time.Duration                        // for the exit of a session that the node does not know any more
	probe      time.Duration                        // for room, before it is asked for
	close      time.Duration                        // for a session to be closed
	detach     time.Duration                        // for the last input of a session that is left
}

func defaultWaits() waits {
	return waits{
		now: time.Now, after: time.After, tries: maxTries,
		silence: maxSilence, unanswered: maxUnanswered, gone: wire.KeepaliveMax, probe: probeMin,
		close: closeTimeout, detach: detachTimeout,
	}
}

// New makes a client. It reads the files that the options name and does not
// use the network. Errors are those of usage (errs.ExitUsage).
func New(o Options) (*Client, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	base, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, base: base, target: o.Target, waits: defaultWaits()}
	if c.target == "" {
		c.target = targetOf(base)
	}
	if err := c.loadTrust(); err != nil {
		return nil, err
	}
	proxy, err := proxyOf(o)
	if err != nil {
		return nil, err
	}
	c.trust.proxy = tlsProxy(proxy, base)
	tlsConfig, err := c.trust.tlsConfig(o)
	if err != nil {
		return nil, err
	}
	c.conns = connections{o: o, proxy: proxy, tls: tlsConfig}
	return c, nil
}

// loadTrust reads what is known of the node.
func (c *Client) loadTrust() error {
	roots, err := loadRoots(c.o)
	if err != nil {
		return err
	}
	t := &trust{
		target: c.target, host: c.base.Hostname(), roots: roots,
		mode: c.o.Trust, skip: c.o.TLSSkipVerify, pin: c.o.NodeID,
	}
	c.trust = t
	if c.o.Known == nil {
		return nil
	}
	if !validTarget(c.target) {
		return errs.Usage("target %q: %v", c.target, errKnownTarget)
	}
	known, ok, err := c.o.Known.Find(c.target)
	if err != nil {
		return errs.Usage("%v", err)
	}
	// A configured node ID is the newer word: another node's line does not count.
	if ok && (t.pin == "" || t.pin == known.ID) {
		t.pin, t.entry, t.file = known.ID, known, c.o.Known.Path()
	}
	return nil
}

// Target is the node's name in the known nodes.
func (c *Client) Target() string { return c.target }

// Close closes idle connections. Open sessions go on.
func (c *Client) Close() { c.conns.closeIdle() }

// now is the time to sign by: the local clock, corrected.
func (c *Client) now() time.Time {
	return c.o.Now().Add(time.Duration(c.skew.Load()))
}

func (c *Client) notify(e Event) {
	if c.o.Notify == nil {
		return
	}
	c.notes.Lock()
	defer c.notes.Unlock()
	c.o.Notify(e)
}

// route is the URL of a path of the protocol. It keeps escaped slashes.
func (c *Client) route(path string) *url.URL {
	if c.o.PathShell != "" {
		if rest, ok := strings.CutPrefix(path, wire.PathShell("")); ok {
			return c.at(strings.TrimRight(c.o.PathShell, "/") + "/" + rest)
		}
	}
	return c.at(c.base.EscapedPath() + path)
}

func (c *Client) at(escaped string) *url.URL {
	u := *c.base
	u.RawPath = escaped
	path, err := url.PathUnescape(escaped)
	if err != nil { // only a configured path can be malformed; it goes as it is
		path, u.RawPath = escaped, ""
	}
	u.Path = path
	return &u
}

// shown is the URL for messages.
func (c *Client) shown() string { return c.base.Redacted() }

// claims are those of a request token made now.
func (c *Client) claims(node, source, session string, sh *wire.Shell) wire.Claims {
	now := c.now().Unix()
	return wire.Claims{
		Audience:  wire.Audience{node},
		IssuedAt:  now,
		NotBefore: now,
		Expires:   now + int64(wire.MaxTokenLife/time.Second),
		Subject:   c.o.Subject,
		Source:    source,
		Session:   session,
		Shell:     sh,
	}
}

// opener signs a token with the opener's key.
func (c *Client) opener(ctx context.Context, source, session string, sh wire.Shell, cnf *wire.Confirmation, approvals []string) (string, error) {
	node, _ := c.trust.pinned()
	claims := c.claims(node, source, session, &sh)
	claims.ID = token.NewID()
	claims.Confirm = cnf
	claims.Approvals = approvals
	tok, err := c.o.Signer.Sign(ctx, wire.TypeRequest, claims)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return tok, nil
}

// fresh calls send, which signs anew each time, until its refusal is not about
// the token's time or the tries are over.
func (c *Client) fresh(ctx context.Context, send func() error) error {
	for try := 0; ; try++ {
		seen := c.corrections.Load()
		err := send()
		code := refusal(err)
		if !code.Retryable() || try == wire.TokenRetries || ctx.Err() != nil {
			return err
		}
		if code == wire.CodeReplayed {
			continue
		}
		if clockErr := c.correctClock(ctx, seen); clockErr != nil {
			return fmt.Errorf("%w; ask the node's clock: %w", err, clockErr)
		}
	}
}

// trace logs one request without its secrets.
func (c *Client) trace(ctx context.Context, u *url.URL, sh *wire.Shell, size int, start time.Time, err error) {
	if !c.o.Log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	args := []any{"path", u.EscapedPath(), "bytes", size, "duration", c.o.Now().Sub(start)}
	method := http.MethodGet
	if sh != nil {
		method = http.MethodPost
		args = append(args, "op", string(sh.Op))
		if sh.Op == wire.OpInput {
			args = append(args, "offset", sh.Offset, "input", len(sh.Data), "eof", sh.EOF)
		}
	}
	args = append(args, "method", method, "status", statusOf(err))
	if err != nil {
		args = append(args, "err", err)
	}
	c.o.Log.DebugContext(ctx, "request", args...)
}
