package client

import (
	"context"
	"fmt"
	"io"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

// AttachRequest says which session to go on with.
type AttachRequest struct {
	Source  string // empty: the node is asked for it
	Session string // session ID
	// Cols and Rows are the terminal's size, characters; zeros leave it as it is.
	Cols, Rows uint16
}

// Attach goes on with a session that was opened by another client, or is left:
// this one has it from then on, with a key of its own, and the client that had it
// is told. Output begins with what the node remembers of it. The opener's key is
// accepted, and others that the node's policy lets in.
func (c *Client) Attach(ctx context.Context, r AttachRequest, stdout, stderr io.Writer) (*Session, error) {
	if err := c.needs("attach", "session", r.Session); err != nil {
		return nil, err
	}
	s := c.newSession(ctx, wire.RoleOwner, stdout, stderr)
	s.id, s.source = r.Session, r.Source
	err := s.attach(ctx, r)
	if err != nil {
		s.cancel(err)
		return nil, c.explain(err, "attach to session %s on %s", printable(r.Session, maxSessionID), c.target)
	}
	return s, nil
}

func (s *Session) attach(ctx context.Context, r AttachRequest) error {
	terminal := false
	if s.source == "" {
		info, err := s.c.find(ctx, r.Session)
		if err != nil {
			return err
		}
		s.source, terminal = info.Source, info.Terminal
	}
	key, cnf, err := newSessionKey()
	if err != nil {
		return err
	}
	sh := wire.Shell{Op: wire.OpAttach, Cols: r.Cols, Rows: r.Rows}
	err = s.enter(ctx, call{
		path: wire.PathSession(s.source, s.id), sh: sh, seal: key, limit: s.c.o.Timeout,
		sign: func(ctx context.Context) (string, error) {
			return s.c.opener(ctx, s.source, s.id, sh, &cnf, nil)
		},
	}, terminal)
	return err
}

// Watch shows a session's output, from what the node remembers on. It takes no
// input. A watcher who is too slow misses output and is told: [EventGap].
// [Session.Close] ends the watching, not the session.
func (c *Client) Watch(ctx context.Context, session string, stdout, stderr io.Writer) (*Session, error) {
	return c.visit(ctx, "watch", session, wire.OpWatch, stdout, stderr)
}

// Join shows a session's output and types into it beside its owner, who is told.
// Input that is under way when the connection is lost is not sent again: the
// owner's alone is numbered for as long as the session lives. [Session.Close]
// leaves the session.
func (c *Client) Join(ctx context.Context, session string, stdout, stderr io.Writer) (*Session, error) {
	return c.visit(ctx, "join", session, wire.OpJoin, stdout, stderr)
}

func (c *Client) visit(ctx context.Context, what, session string, op wire.Op, stdout, stderr io.Writer) (*Session, error) {
	if err := c.needs(what, "session", session); err != nil {
		return nil, err
	}
	role := wire.RoleViewer
	var key *seal
	var cnf *wire.Confirmation
	if op == wire.OpJoin {
		k, claim, err := newSessionKey()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		role, key, cnf = wire.RoleJoined, k, &claim
	}
	s := c.newSession(ctx, role, stdout, stderr)
	s.id = session
	if err := s.enter(ctx, s.entry(op, key, cnf, c.o.Timeout), false); err != nil {
		s.cancel(err)
		return nil, c.explain(err, "%s session %s on %s", what, printable(session, maxSessionID), c.target)
	}
	return s, nil
}

// entry is a request to watch or join a session: by the opener's key, for the
// output from what was consumed on.
func (s *Session) entry(op wire.Op, key *seal, cnf *wire.Confirmation, limit time.Duration) call {
	sh := wire.Shell{Op: op, Offset: s.consumed.Load()}
	return call{
		path: wire.PathSessionByID(s.id), sh: sh, seal: key, limit: limit,
		sign: func(ctx context.Context) (string, error) {
			return s.c.opener(ctx, "", s.id, sh, cnf, nil)
		},
	}
}

// find looks a session up in the node's list.
func (c *Client) find(ctx context.Context, session string) (wire.SessionInfo, error) {
	list, err := c.list(ctx)
	if err != nil {
		return wire.SessionInfo{}, err
	}
	for _, info := range list.Sessions {
		if info.Session == session {
			return info, nil
		}
	}
	e := errs.Transport(nil, "the node has no such session for the key %s", c.keyID())
	e.Code = wire.CodeNotFound
	return wire.SessionInfo{}, e
}
