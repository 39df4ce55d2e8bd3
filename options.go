package etcha

import (
	"context"
	"log/slog"
	"time"

	"etcha/go/client"
)

// Options is what a [Client] is made from. URL, and NodeID or KnownNodes, are
// required; Signer for opening sessions.
type Options struct {
	// URL is where the node is: https://host:4000, with a path prefix for a node
	// behind a proxy. With http:// tokens and the proof still protect what is
	// sent, but nothing hides it.
	URL string
	// PathShell replaces URL's path and /etcha/v1/shell; empty: not.
	PathShell string
	// Target is the node's name in the known nodes; empty: URL's host and port.
	Target string
	// Signer is the key that opens sessions.
	Signer Signer
	// Subject is a label of the opener's own choice for the node's log, at most 256
	// bytes; may be empty.
	Subject string
	// NodeID is the node's ID where it is known beforehand, "SHA256:…".
	NodeID string
	// KnownNodes is the path of the file of known nodes. It may be missing; it is
	// made at first use. Empty only with NodeID.
	KnownNodes string
	// ForgetCommand is named in the hint of an error when a node has changed;
	// empty: the line to remove is.
	ForgetCommand string

	Trust         string // how TLS is checked: "pin", the default, or "ca", certificate authorities only
	TLSSkipVerify bool   // take any TLS key: someone in the path may then read, not act
	CAFile        string // certificate authorities, a path or PEM; added to the system's
	NoSystemCA    bool   // only those of CAFile
	Certificate   string // the client's certificate, a path or PEM; with Key
	Key           string // its key, a path or PEM

	Proxy   string        // URL of an HTTP or SOCKS5 proxy; empty: the environment's; "direct": none
	HTTP1   bool          // never HTTP/2
	Timeout time.Duration // of connecting and of answers that are not streams; 0: 30 s

	UserAgent string       // the User-Agent header; empty: "etcha"
	Log       *slog.Logger // debug: each request, without its secrets; nil: nothing
	// Notify is told what the user should know. It is called from any goroutine,
	// one call at a time, and must not block; nil: not.
	Notify func(Event)
	// Approve is asked for counter-signatures when a source demands them, and again
	// when it needs more. It returns all that there are, at most 8, as others made
	// them with etcha approve, or an error that gives up. It may take as long as the
	// context of Open, and each signature counts for 10 minutes; nil: such a request
	// is a RefusedError.
	Approve func(context.Context, Approval) ([]string, error)
}

// Approval is a request that others must agree to before the node grants it.
type Approval struct {
	Digest string // "SHA256:…" of the request: what they sign
	Need   int    // counter-signatures in all, each by another key of the source
	Have   int    // of those, valid ones that came along
}

// Kinds of events.
const (
	EventFirstUse = string(client.EventFirstUse) // the node was not known and is now
	EventClock    = string(client.EventClock)    // requests are signed by the node's clock
	EventNotice   = string(client.EventNotice)   // a notice from the node
	// EventLost comes before each try to connect again; the first is made at once,
	// so that who shows a status line may wait for Attempt 2. EventBack, or the end
	// of the session, follows.
	EventLost   = string(client.EventLost)
	EventBack   = string(client.EventBack)   // connected again
	EventGap    = string(client.EventGap)    // something was lost: output that the node dropped, or input of a joined session
	EventResize = string(client.EventResize) // of a session that is watched or was joined
)

// Event is something that the user of a client should know.
type Event struct {
	Kind    string // EventFirstUse and so on, or one added later
	Text    string // for people: one line, lower case, no full stop, printable
	Node    string // node ID, where there is one
	Session string // session ID, where it is about one
	Code    string // of a notice: idle, age, policy, restarting, stopping, watched, recording, killed

	Attempt  int       // of EventLost: the try that is next, from 1
	Next     time.Time // of EventLost: when it is made
	Deadline time.Time // of EventLost: until when tries are made
	Cause    error     // of EventLost: why the connection was lost, then why the last try failed

	From, To   uint64 // of EventGap: offsets of the output that is missing, bytes; equal: none
	Cols, Rows uint16 // of EventResize: characters
}

func (o Options) internal() client.Options {
	c := client.Options{
		URL: o.URL, PathShell: o.PathShell, Target: o.Target, Signer: o.Signer.s, Subject: o.Subject,
		NodeID: o.NodeID, ForgetCommand: o.ForgetCommand,
		Trust: o.Trust, TLSSkipVerify: o.TLSSkipVerify, CAFile: o.CAFile, NoSystemCA: o.NoSystemCA,
		Certificate: o.Certificate, Key: o.Key,
		Proxy: o.Proxy, HTTP1: o.HTTP1, Timeout: o.Timeout, UserAgent: o.UserAgent, Log: o.Log,
	}
	if o.KnownNodes != "" {
		c.Known = client.OpenKnownNodes(o.KnownNodes)
	}
	if notify := o.Notify; notify != nil {
		c.Notify = func(e client.Event) {
			notify(Event{
				Kind: string(e.Kind), Text: e.Text, Node: e.Node, Session: e.Session, Code: e.Code,
				Attempt: e.Attempt, Next: e.Next, Deadline: e.Deadline, Cause: e.Cause,
				From: e.From, To: e.To, Cols: e.Cols, Rows: e.Rows,
			})
		}
	}
	if approve := o.Approve; approve != nil {
		c.Approve = func(ctx context.Context, n client.ApprovalNeeded) ([]string, error) {
			return approve(ctx, Approval{Digest: n.Digest, Need: n.Need, Have: n.Have})
		}
	}
	return c
}
