package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"etcha/go/token"
	"etcha/go/wire"
)

// skewLimit is the difference of two clocks below which they agree: the node
// gives whole seconds and allows wire.ClockLeeway.
const skewLimit = 2 * time.Second

// Node is what a node says about itself, verified.
type Node struct {
	ID       string
	Key      token.PublicKey
	Clock    time.Time // the node's clock, whole seconds
	Protocol int
	Version  string
}

// Node asks the node who it is and checks the answer against the pin. A node
// that was never seen is remembered: see [EventFirstUse].
func (c *Client) Node(ctx context.Context) (Node, error) {
	var n Node
	err := c.met(ctx, func() (err error) {
		n, err = c.askNode(ctx)
		return err
	})
	if err != nil {
		return Node{}, c.explain(err, "ask %s", c.shown())
	}
	return n, nil
}

// met calls f with a pinned node: it meets the node first when it is new, or
// when only its TLS key is, which shows when f tries to connect.
func (c *Client) met(ctx context.Context, f func() error) error {
	if id, _ := c.trust.pinned(); id == "" {
		if err := c.meet(ctx); err != nil {
			return err
		}
	}
	err := f()
	var untrusted *TrustError
	if !errors.As(err, &untrusted) {
		return err
	}
	if _, listed := c.trust.pinned(); !listed && c.o.Known != nil {
		if err := c.meet(ctx); err != nil {
			return err
		}
		return f()
	}
	return c.diagnose(ctx, untrusted, err)
}

// meet is the first use of a node: whatever TLS key it has is let in, the node
// says and proves who it is, and both are remembered.
func (c *Client) meet(ctx context.Context) error {
	c.first.Lock()
	defer c.first.Unlock()
	if _, listed := c.trust.pinned(); listed {
		return nil // another goroutine was here first
	}
	c.trust.allowFirst()
	n, err := c.askNode(ctx)
	if err != nil {
		c.trust.abandonFirst()
		return err
	}
	known := c.trust.firstUse(n.ID)
	replace := c.o.NodeID != "" // the configuration is the newer word
	known.Line, err = c.o.Known.Remember(known, replace)
	if err != nil {
		c.trust.abandonFirst()
		var other *ConflictError
		if errors.As(err, &other) {
			return &NodeChangedError{Target: c.target, Old: other.Known.ID, New: n.ID, File: other.File, Line: other.Known.Line}
		}
		return err
	}
	c.trust.settle(known, c.o.Known.Path())
	text := fmt.Sprintf("node %q is new: remembered its ID %s", c.target, n.ID)
	if known.TLSKey != "" {
		text += fmt.Sprintf(" and the TLS key %s, which is not the node's own: a proxy's, or a certificate that was installed on it", known.TLSKey)
	}
	c.notify(Event{Kind: EventFirstUse, Text: text, Node: n.ID})
	return nil
}

// askNode gets the node's signed word and checks it against the pin.
func (c *Client) askNode(ctx context.Context) (Node, error) {
	n, err := c.signedNode(ctx, c.shared())
	if err != nil {
		return Node{}, err
	}
	if pin, _ := c.trust.pinned(); pin != "" && n.ID != pin {
		return Node{}, c.trust.changed(n.ID)
	}
	if n.Protocol != wire.Protocol {
		return Node{}, fmt.Errorf("node %s speaks protocol %d, this program %d", n.ID, n.Protocol, wire.Protocol)
	}
	return n, nil
}

// signedNode gets whatever node answers to say who it is.
func (c *Client) signedNode(ctx context.Context, via http.RoundTripper) (Node, error) {
	nonce := token.NewID()
	u := c.route(wire.PathNode)
	u.RawQuery = url.Values{"nonce": {nonce}}.Encode()
	start := c.o.Now()
	var answer wire.NodeAnswer
	err := c.exchange(ctx, via, u, "", bounds{limit: c.o.Timeout, most: wire.MaxNodeAnswer}, &answer)
	c.trace(ctx, u, nil, 0, start, err)
	if err != nil {
		return Node{}, err
	}
	claims, key, err := token.VerifyNode([]byte(answer.Token), nonce)
	if err != nil {
		return Node{}, fmt.Errorf("answer of the node: %w", err)
	}
	return Node{
		ID: claims.Node, Key: key, Clock: time.Unix(claims.IssuedAt, 0),
		Protocol: claims.Protocol, Version: printable(claims.Version, 100),
	}, nil
}

// diagnose finds out why a TLS key is not trusted: another node answers, or
// the right one does behind somebody else's TLS. Nothing but a nonce is sent.
func (c *Client) diagnose(ctx context.Context, untrusted *TrustError, err error) error {
	probe := c.shared().Clone()
	probe.TLSClientConfig.VerifyConnection = nil
	probe.TLSClientConfig.InsecureSkipVerify = true
	probe.TLSClientConfig.ClientSessionCache = nil
	probe.TLSClientConfig.Certificates = nil
	probe.DisableKeepAlives = true
	defer probe.CloseIdleConnections()
	n, probeErr := c.signedNode(ctx, probe)
	if probeErr == nil && n.ID != untrusted.NodeID && untrusted.NodeID != "" {
		return c.trust.changed(n.ID)
	}
	return err
}

// correctClock asks the node's clock and signs by it from now on. seen is the
// count of corrections when the refused token was signed: a later one stands.
func (c *Client) correctClock(ctx context.Context, seen uint64) error {
	c.clocks.Lock()
	defer c.clocks.Unlock()
	if c.corrections.Load() != seen {
		return nil
	}
	before := c.o.Now()
	n, err := c.askNode(ctx)
	if err != nil {
		return err
	}
	after := c.o.Now()
	// The clock was read half-way, and on average half a second past the second.
	middle := before.Add(after.Sub(before) / 2)
	skew := n.Clock.Add(time.Second / 2).Sub(middle)
	if skew.Abs() < skewLimit {
		skew = 0
	}
	changed := (skew - time.Duration(c.skew.Load())).Abs() >= skewLimit
	c.skew.Store(int64(skew))
	c.corrections.Add(1)
	if changed {
		c.notify(Event{Kind: EventClock, Text: clockText(skew)})
	}
	return nil
}

func clockText(skew time.Duration) string {
	switch skew = skew.Round(time.Second); {
	case skew > 0:
		return fmt.Sprintf("this machine's clock is %s behind the node's: requests are signed by the node's clock", skew)
	case skew < 0:
		return fmt.Sprintf("this machine's clock is %s ahead of the node's: requests are signed by the node's clock", -skew)
	}
	return "this machine's clock agrees with the node's again"
}

// explain says what was done when err came up, and the way out where it is known.
func (c *Client) explain(err error, format string, args ...any) error {
	return public(err, c.hint(err), format, args...)
}

func (c *Client) hint(err error) string {
	var changed *NodeChangedError
	var trust *TrustError
	var refused *RefusedError
	var proxy *ProxyError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	var network net.Error
	var authority *tls.CertificateVerificationError
	switch {
	case errors.As(err, &changed):
		if changed.File == "" {
			return "if the node was set up anew, put its new ID into the configuration"
		}
		return "if the node was set up anew, " + c.forget(changed.File, changed.Line)
	case errors.As(err, &trust):
		hint := "a proxy that changes its certificate: name its authority (httpClient.caFile), or set httpClient.tlsSkipVerify, after which someone in the path may read the session but still not act in it"
		if trust.File != "" {
			hint = "if the certificate was replaced, " + c.forget(trust.File, trust.Line) + "; " + hint
		}
		return hint
	case errors.As(err, &refused):
		if refused.Problem.Hint == "" && refused.Problem.Code == wire.CodeNotFound {
			return "the source may not exist or have no shell there, or the node does not accept the key " + c.keyID() + "; the node's log says which"
		}
		return refused.Problem.Hint
	case errors.As(err, &proxy):
		return "check the target's host, port and path: something else than a node answers there, or the proxy cannot reach the node"
	case errors.As(err, &record):
		return "the other side does not speak TLS: a node without it is a target with insecure: true"
	case errors.As(err, &authority):
		return "name the certificate's authority (httpClient.caFile), or let the node's key be pinned (httpClient.trust: pin)"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "check the name; a target's hostname is looked up as it stands"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check the port and whether the node runs"
	case errors.Is(err, errTimeout), errors.As(err, &network) && network.Timeout():
		return "no answer: check the address and what filters the path; httpClient.timeout is the time to wait"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "the other side hung up: a node without TLS is a target with insecure: true"
	}
	return ""
}

func (c *Client) forget(file string, line int) string {
	if c.o.ForgetCommand != "" {
		return "forget the old one: " + c.o.ForgetCommand
	}
	return fmt.Sprintf("remove line %d of %s", line, file)
}

func (c *Client) keyID() string {
	if c.o.Signer == nil {
		return ""
	}
	key := c.o.Signer.Public()
	if id := key.ID(); id != "" {
		return id
	}
	return key.Thumbprint()
}

// statusOf is the HTTP status behind an outcome; 0: no answer.
func statusOf(err error) int {
	var r *RefusedError
	var p *ProxyError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &r):
		return r.Problem.Status
	case errors.As(err, &p):
		return p.Status
	}
	return 0
}
