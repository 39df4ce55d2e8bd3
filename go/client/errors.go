package client

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"etcha/go/errs"
	"etcha/go/wire"
)

// Codes of failures that the client itself finds; they are never on the wire.
const (
	CodeNodeChanged wire.Code = "node_changed"  // another node answers than the one pinned
	CodeUntrusted   wire.Code = "tls_untrusted" // the TLS key is not one that this node may have
	CodeProof       wire.Code = "bad_proof"     // the answer is not proven to be the pinned node's
)

var (
	// ErrClosed means that the session was closed by this side.
	ErrClosed = errors.New("the session was closed")
	// ErrEnded means that the session has ended and takes no more input.
	ErrEnded = errors.New("the session has ended")
	// ErrReplaced means that another client took the session's stream over.
	ErrReplaced = errors.New("the session was taken over by another client")
	// ErrDetached means that this side has left a session which goes on.
	ErrDetached = errors.New("the session was left and goes on")
	// ErrReadOnly means that a session is watched, and takes no input from here.
	ErrReadOnly = errors.New("the session is only watched: it takes no input from here")

	errSilent     = errors.New("the node has been silent for too long")
	errUnanswered = errors.New("the node does not answer")
	errTimeout    = errors.New("the time for an answer is over")
	errGone       = errors.New("the node has ended the session without saying how")
)

// RefusedError is the node's own refusal.
type RefusedError struct {
	Problem    wire.Problem
	RetryAfter time.Duration // 0: not said
}

func (e *RefusedError) Error() string {
	text := e.Problem.Detail
	if text == "" {
		text = e.Problem.Title
	}
	if text == "" {
		return fmt.Sprintf("refused (%s)", e.Problem.Code)
	}
	return fmt.Sprintf("refused: %s (%s)", text, e.Problem.Code)
}

// ProxyError is an answer that does not come from a node: a proxy's, or that of
// another program behind the address.
type ProxyError struct {
	Status      int
	ContentType string
	RetryAfter  time.Duration // 0: not said
}

func (e *ProxyError) Error() string {
	kind := ""
	if e.ContentType != "" {
		kind = ", " + e.ContentType
	}
	return fmt.Sprintf("http status %d%s: not the answer of a node", e.Status, kind)
}

// LossError is a session whose end is not known: its stream ended without an
// exit, and there was no way back for as long as the node keeps a session.
type LossError struct{ Err error }

func (e *LossError) Error() string {
	if errors.Is(e.Err, ErrReplaced) {
		return e.Err.Error() // it goes on, elsewhere
	}
	return "the session was lost: " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *LossError) Unwrap() error { return e.Err }

// NodeChangedError means that the node which answers is not the pinned one.
type NodeChangedError struct {
	Target string
	Old    string // the pinned node ID
	New    string // the ID of who answers
	File   string // where the pin stands; empty: in the options
	Line   int
}

func (e *NodeChangedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "THE IDENTITY OF NODE %q HAS CHANGED\n", e.Target)
	fmt.Fprintf(&b, "known:   %s (%s)\n", e.Old, e.place())
	fmt.Fprintf(&b, "answers: %s\n", e.New)
	b.WriteString("the node was set up anew, or someone in the path answers in its place; no session was opened")
	return b.String()
}

func (e *NodeChangedError) place() string {
	if e.File == "" {
		return "nodeID in the configuration"
	}
	return fmt.Sprintf("%s:%d", e.File, e.Line)
}

// TrustError means that the TLS connection does not end where it should: its
// key is neither the node's own, nor the one seen at first use, nor vouched for
// by a certificate authority.
type TrustError struct {
	Target string
	NodeID string // the pinned ID; empty before first use
	Known  string // the TLS key that was seen at first use; empty: the node's own
	Key    string // the TLS key that was met
	File   string // where Known stands
	Line   int
	Err    error // why no certificate authority vouches for it
}

func (e *TrustError) Error() string {
	known := e.Known
	if known == "" {
		known = e.NodeID
	}
	var b strings.Builder
	fmt.Fprintf(&b, "SOMEONE MAY BE IN THE PATH TO NODE %q\n", e.Target)
	fmt.Fprintf(&b, "expected TLS key: %s", known)
	if e.File != "" {
		fmt.Fprintf(&b, " (%s:%d)", e.File, e.Line)
	}
	fmt.Fprintf(&b, "\nTLS key met:      %s\n", e.Key)
	b.WriteString("the connection ends at a key that is not known to be this node's; nothing was sent")
	return b.String()
}

// Unwrap gives the reason of the certificate check.
func (e *TrustError) Unwrap() error { return e.Err }

// outageError is why there was no way back to a session in time.
type outageError struct{ err error }

func (e *outageError) Error() string { return "no way back in time: " + e.err.Error() }
func (e *outageError) Unwrap() error { return e.err }

// brokenError is a node that does not have what it said it had.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

// signError is a request that could not be signed.
type signError struct{ err error }

func (e *signError) Error() string { return e.err.Error() }
func (e *signError) Unwrap() error { return e.err }

// StreamError is an event stream that breaks the protocol.
type StreamError struct{ Text string }

func (e *StreamError) Error() string { return "event stream: " + e.Text }

func streamErrorf(format string, args ...any) error {
	return &StreamError{Text: fmt.Sprintf(format, args...)}
}

// refusal is the code of a refusal in err's chain, or "".
func refusal(err error) wire.Code {
	var r *RefusedError
	if errors.As(err, &r) {
		return r.Problem.Code
	}
	return ""
}

// public wraps err with what was done and, where it is known, the way out.
func public(err error, hint, format string, args ...any) error {
	e := errs.Transport(clean(err), format, args...)
	var r *RefusedError
	var changed *NodeChangedError
	var trust *TrustError
	switch {
	case errors.As(err, &r):
		e.Code = r.Problem.Code
		if x := r.Problem.Exit; x == 126 || x == 127 { // as a shell says of a program that cannot be started
			e.Exit = x
		}
		if hint == "" {
			hint = r.Problem.Hint
		}
	case errors.As(err, &changed):
		e.Code = CodeNodeChanged
	case errors.As(err, &trust):
		e.Code = CodeUntrusted
	}
	e.Hint = hint
	return e
}

// cleanError is an error whose text is fit for a terminal. Libraries put into
// theirs what they were sent: the names in a certificate, a proxy's reason.
type cleanError struct{ error }

func clean(err error) error {
	if err == nil {
		return nil
	}
	return cleanError{err}
}

func (e cleanError) Error() string {
	lines := strings.Split(e.error.Error(), "\n")
	for i, l := range lines {
		lines[i] = visible(l)
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the error itself.
func (e cleanError) Unwrap() error { return e.error }

// printable makes a text from the network fit for a terminal: no control
// characters, at most limit bytes.
func printable(s string, limit int) string {
	return strings.TrimSpace(visible(s[:min(len(s), limit)]))
}

// visible is s without what does not print; a line's end or a tab is a space.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
}
