package etcha

import (
	"context"
	"io"
	"time"

	"etcha/go/client"
	"etcha/go/wire"
)

// AttachRequest says which session to go on with.
type AttachRequest struct {
	Session    string // its ID; required
	Source     string // its source; empty: the node is asked
	Cols, Rows uint16 // the terminal's size, characters; zeros: it stays as it is

	// Stdout and Stderr are as in Request. Output begins with what the node
	// remembers of it.
	Stdout, Stderr io.Writer
}

// Attach goes on with a session that was left, or that another client has: that
// one is told and ends with [ErrReplaced]. ctx is for attaching only. The node
// accepts the key that opened the session, and others that its policy lets in.
func (c *Client) Attach(ctx context.Context, r AttachRequest) (*Session, error) {
	in := client.AttachRequest{Source: r.Source, Session: r.Session, Cols: r.Cols, Rows: r.Rows}
	return session(c.c.Attach(ctx, in, r.Stdout, r.Stderr))
}

// Watch shows the output of a session, from what the node remembers on, and takes
// no input. Those in it are told. Who is too slow misses output: [EventGap].
// [Session.Close] ends the watching only. ctx is for its beginning only.
func (c *Client) Watch(ctx context.Context, id string, stdout, stderr io.Writer) (*Session, error) {
	return session(c.c.Watch(ctx, id, stdout, stderr))
}

// Join is Watch, and typing into the session beside its owner. Input that is
// under way when the connection is lost may be lost with it: [EventGap].
func (c *Client) Join(ctx context.Context, id string, stdout, stderr io.Writer) (*Session, error) {
	return session(c.c.Join(ctx, id, stdout, stderr))
}

func session(s *client.Session, err error) (*Session, error) {
	if err != nil {
		return nil, public(err)
	}
	return &Session{s}, nil
}

// Kill ends a session, whoever's it is; those in it are told.
func (c *Client) Kill(ctx context.Context, id string) error { return public(c.c.Kill(ctx, id)) }

// SessionInfo is one of the sessions of a node.
type SessionInfo struct {
	Session string    // its ID
	Source  string    // what it uses
	Process string    // of the source; empty: its shell, or a command
	Title   string    // the opener's own label, may be empty
	User    string    // the user that the program runs as
	Key     string    // ID or fingerprint of the opener's key
	Subject string    // the opener's own label for himself, may be empty
	Addr    string    // the opener's address, may be empty
	Started time.Time // milliseconds
	State   string    // "attached", "detached" or "ended"
	Since   time.Time // since when it is in State; zero: not told
	Active  time.Time // of the last input or output; zero: not told
	EndsAt  time.Time // of the latest end; zero: none
	Viewers int       // who watch it or have joined it
	Input   uint64    // bytes so far
	Output  uint64    // bytes so far
}

// Sessions lists the sessions of the node that the key may see, newest first.
func (c *Client) Sessions(ctx context.Context) ([]SessionInfo, error) {
	list, err := c.c.Sessions(ctx)
	if err != nil {
		return nil, public(err)
	}
	all := make([]SessionInfo, 0, len(list.Sessions))
	for _, i := range list.Sessions {
		all = append(all, sessionInfo(i))
	}
	return all, nil
}

func sessionInfo(i wire.SessionInfo) SessionInfo {
	return SessionInfo{
		Session: i.Session, Source: i.Source, Process: i.Process, Title: i.Title, User: i.User,
		Key: i.Key, Subject: i.Subject, Addr: i.Addr,
		Started: milliseconds(i.Started), State: string(i.State), Since: milliseconds(i.Since),
		Active: milliseconds(i.Active), EndsAt: milliseconds(i.EndsAt),
		Viewers: len(i.Members), Input: i.Input, Output: i.Output,
	}
}

func milliseconds(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

// SourceInfo is what a key may use a source for.
type SourceInfo struct {
	Source    string
	Shell     bool     // it has a shell
	Processes []string // it has these processes
	Command   bool     // a command may be given
	Detach    bool     // a session may be opened to be left
	Recording string   // "output", "full"; empty: nothing is recorded
	Require   int      // counter-signatures that an open needs
	Denied    string   // why no shell may be opened now, for people; empty: it may
}

// Sources lists what the key may use on the node.
func (c *Client) Sources(ctx context.Context) ([]SourceInfo, error) {
	list, err := c.c.Sources(ctx)
	if err != nil {
		return nil, public(err)
	}
	all := make([]SourceInfo, 0, len(list.Sources))
	for _, i := range list.Sources {
		all = append(all, SourceInfo{
			Source: i.Source, Shell: i.Shell, Processes: i.Processes, Command: i.Command, Detach: i.Detach,
			Recording: i.Recording, Require: i.Require, Denied: i.Denied,
		})
	}
	return all, nil
}
