// Package etcha opens shells on nodes that run Etcha, over HTTPS, from a Go
// program.
//
// It is the module's one stable package: what is below etcha/go may change at
// any time.
//
// # Opening a shell
//
// A [Client] is made from the node's URL, a key that the node accepts, and a
// way to know the node again: its ID, or a file of known nodes. Making it does
// not use the network. [Client.Open] starts a program and returns when the node
// has confirmed it:
//
//	key, err := etcha.ParseKey(text, nil)
//	…
//	client, err := etcha.NewClient(etcha.Options{
//		URL:        "https://myhost:4000",
//		Signer:     key,
//		KnownNodes: "/home/alice/.config/etcha/known-nodes",
//	})
//	…
//	defer client.Close()
//	session, err := client.Open(ctx, etcha.Request{
//		Source: "debug",
//		Args:   []string{"uptime"},
//		Stdout: os.Stdout,
//		Stderr: os.Stderr,
//	})
//	…
//	err = session.Wait()
//
// What is written to the session is the program's input; what the program
// writes goes to Request.Stdout and Request.Stderr. With Request.PTY the program
// runs on a terminal, and all its output goes to Stdout.
//
// # Input and output
//
// Input is numbered by byte and arrives once and in order, whatever happens to
// the requests that carry it. [Session.Write] queues and blocks while the program
// does not read. Output is written in order by one goroutine. A writer that
// blocks slows the program down and nothing is dropped; a writer that fails
// ends the session.
//
// # A session is not a connection
//
// When the connection is lost the client makes another, for as long as the node
// keeps the session (Info.ResumeFor), and goes on where it was: nothing is lost or
// doubled in either direction. Options.Notify is told. [Session.Detach] leaves a
// session on purpose, and [Client.Attach] goes on with one, from any machine with
// a key that the node accepts. [Client.Watch] and [Client.Join] are for the
// sessions of others.
//
// # The end
//
// [Session.Wait] returns nil when the program ended with status 0, an [ExitError]
// when it ended otherwise or was ended, and a [LossError] when its end is not
// known. [Session.Close] ends the program and everything it started. The context
// of Open is for opening only; to end a session with a context:
//
//	stop := context.AfterFunc(ctx, func() { session.Close() })
//	defer stop()
//
// # Trust
//
// Each node has an identity key; its ID is that key's fingerprint. The client
// pins the ID: from Options.NodeID, or at first use into the file of known nodes,
// which Options.Notify is told of. It signs for that node only, and checks a
// proof signed by that node before it sends any input. So a proxy that ends TLS
// can neither stand in for the node nor inject input. It can read the session;
// therefore the TLS key is checked too: it must be the node's own, the one seen
// at first use, or vouched for by a certificate authority.
//
// Errors about trust match [ErrUntrusted]. A refusal by the node is a
// [RefusedError].
package etcha

import (
	"context"
	"fmt"
	"time"

	"etcha/go/client"
	"etcha/go/token"
)

// Client opens sessions on one node. It is safe for concurrent use.
type Client struct{ c *client.Client }

// NewClient makes a client. It reads the files that the options name, and does
// not use the network.
func NewClient(o Options) (*Client, error) {
	c, err := client.New(o.internal())
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// Open starts a session and returns when the node has confirmed it and has
// proven who it is. ctx is for opening only.
//
// A refusal by the node is a [RefusedError]; another node than the pinned one,
// or an unknown TLS key, is [ErrUntrusted]. Where the source demands
// counter-signatures, Options.Approve is asked for them.
func (c *Client) Open(ctx context.Context, r Request) (*Session, error) {
	return session(c.c.Open(ctx, r.Source, r.shell(), r.Stdout, r.Stderr))
}

// Node asks the node who it is and checks the answer against the pin. A node
// that was never seen is remembered, as by Open.
func (c *Client) Node(ctx context.Context) (Node, error) {
	n, err := c.c.Node(ctx)
	if err != nil {
		return Node{}, public(err)
	}
	return Node{ID: n.ID, Clock: n.Clock, Version: n.Version}, nil
}

// Close closes idle connections. Open sessions go on. The error is always nil.
func (c *Client) Close() error {
	c.c.Close()
	return nil
}

// Node is what a node says about itself, signed by its identity key.
type Node struct {
	ID      string    // "SHA256:" and the fingerprint of its identity key
	Clock   time.Time // its clock, whole seconds
	Version string    // of its program, may be empty
}

// Signer is a private key that a client opens sessions with, or something that
// signs with one. The zero value is none.
type Signer struct{ s token.Signer }

// ParseKey reads a private key: "ed25519private:…" as etcha generate-keys writes
// it, ecp256 and RSA likewise, PEM (PKCS #8, PKCS #1, SEC 1) or OpenSSH. For an
// encrypted key passphrase is asked; it may be nil otherwise.
func ParseKey(text string, passphrase func() ([]byte, error)) (Signer, error) {
	key, err := token.ParsePrivate(text, passphrase)
	if err != nil {
		return Signer{}, fmt.Errorf("parse key: %w", err)
	}
	return NewSigner(key.Signer()), nil
}

// NewSigner makes a signer of this module's own kind, for its own programs. It
// is not part of the stable API.
func NewSigner(s token.Signer) Signer { return Signer{s} }

// PublicKey is the public half in the form that a node's verifyKeys take; empty
// for the zero value.
func (s Signer) PublicKey() string {
	if s.s == nil {
		return ""
	}
	return s.s.Public().String()
}
