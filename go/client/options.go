package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// How the TLS connection is checked. The node itself is pinned in both.
const (
	TrustPin = "pin" // the node's own key, the key seen at first use, or a certificate authority
	TrustCA  = "ca"  // a certificate authority only
)

// ProxyDirect is the value of Options.Proxy that uses no proxy at all.
const ProxyDirect = "direct"

// DefaultTimeout is the time for connecting and for an answer that is not a stream.
const DefaultTimeout = 30 * time.Second

// Options is what a [Client] is made from.
type Options struct {
	// URL is where the node is: https://host:4000, with a path prefix for a node
	// behind a proxy. http:// is plain: tokens and the proof still protect what
	// is sent, nothing hides it.
	URL string
	// PathShell replaces the prefix and /etcha/v1/shell; empty: not.
	PathShell string
	// Target is the node's name in the known nodes; empty: the URL's host and port.
	Target string
	// Signer is the opener's key. Without one only [Client.Node] works.
	Signer token.Signer
	// Subject is the sub claim: the operator's own label, for logs, at most
	// wire.MaxSubject bytes. May be empty.
	Subject string
	// NodeID is the node's ID where it is known beforehand, "SHA256:…".
	NodeID string
	// Known remembers nodes that were seen; nil only with NodeID.
	Known *KnownNodes
	// ForgetCommand is the command that forgets Target, for the hint of the
	// error when a node has changed; empty: the hint names the line to remove.
	ForgetCommand string

	Trust         string // TrustPin or TrustCA; empty: TrustPin
	TLSSkipVerify bool   // any TLS key: someone in the path may read, not act
	CAFile        string // certificate authorities, a path or PEM; added to the system's
	NoSystemCA    bool   // only those of CAFile
	Certificate   string // the client's certificate, a path or PEM; with Key
	Key           string // its key, a path or PEM

	Proxy   string        // URL of an HTTP or SOCKS5 proxy; empty: the environment's; ProxyDirect: none
	HTTP1   bool          // never HTTP/2
	Timeout time.Duration // of connecting and of answers that are not streams; 0: DefaultTimeout

	UserAgent string       // the User-Agent header; empty: "etcha"
	Log       *slog.Logger // nil: nothing is logged
	// Notify is told what its user should know. It is called from any goroutine,
	// one call at a time, and must not block. nil: not.
	Notify func(Event)
	// Approve is asked for counter-signatures when a node demands them of an open,
	// and again when it needs more: it returns all that there are, JWTs of
	// wire.TypeApproval over this digest, at most wire.MaxApprovals, or an error
	// that gives up. It may take as long as the context of Open. nil: the refusal
	// stands.
	Approve func(context.Context, ApprovalNeeded) ([]string, error)
	Now     func() time.Time // nil: time.Now
}

// withDefaults fills what was left empty.
func (o Options) withDefaults() Options {
	if o.Trust == "" {
		o.Trust = TrustPin
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.UserAgent == "" {
		o.UserAgent = "etcha"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// check reports everything that is wrong with the options.
func (o Options) check() error {
	var all []error
	if o.Trust != TrustPin && o.Trust != TrustCA {
		all = append(all, fmt.Errorf("trust %q is neither %q nor %q", o.Trust, TrustPin, TrustCA))
	}
	if o.NodeID != "" && !validID(o.NodeID) {
		all = append(all, fmt.Errorf("node ID %q: %w", o.NodeID, errKnownID))
	}
	if o.NodeID == "" && o.Known == nil {
		all = append(all, errors.New("neither a node ID nor a file of known nodes: the node could not be told from another"))
	}
	if len(o.Subject) > wire.MaxSubject {
		all = append(all, fmt.Errorf("subject of %d bytes, at most %d are accepted", len(o.Subject), wire.MaxSubject))
	}
	if o.Timeout < 0 {
		all = append(all, fmt.Errorf("timeout %s is negative", o.Timeout))
	}
	if (o.Certificate == "") != (o.Key == "") {
		all = append(all, errors.New("a client certificate and its key go together"))
	}
	if o.NoSystemCA && o.CAFile == "" && o.Trust == TrustCA {
		all = append(all, errors.New("noSystemCA without caFile trusts nobody"))
	}
	if o.PathShell != "" && !strings.HasPrefix(o.PathShell, "/") {
		all = append(all, fmt.Errorf("shell path %q does not begin with /", o.PathShell))
	}
	if err := errors.Join(all...); err != nil {
		return errs.Usage("%v", err)
	}
	return nil
}

// parseURL reads the node's URL.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	var why string
	switch {
	case err != nil:
		return nil, errs.Usage("node URL: %v", err)
	case u.Scheme != "https" && u.Scheme != "http":
		why = "the scheme is neither https nor http"
	case u.Hostname() == "":
		why = "no host"
	case u.User != nil:
		why = "a user or password has no place in it"
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		why = "a query or fragment has no place in it"
	}
	if why != "" {
		return nil, errs.Usage("node URL %q: %s", u.Redacted(), why)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	return u, nil
}

// targetOf is the name of a URL in the known nodes: host and port, as one would
// write them to connect.
func targetOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
