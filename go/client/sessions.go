package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"etcha/go/sse"
	"etcha/go/wire"
)

// maxList bounds a list of sessions or sources, bytes: a node with many sessions,
// each with viewers.
const maxList = 8 << 20

// Sessions lists the node's sessions that the key may see, newest first.
func (c *Client) Sessions(ctx context.Context) (wire.SessionList, error) {
	if err := c.needs("list sessions", "", "-"); err != nil {
		return wire.SessionList{}, err
	}
	list, err := c.list(ctx)
	if err != nil {
		return wire.SessionList{}, c.explain(err, "list sessions on %s", c.target)
	}
	return list, nil
}

func (c *Client) list(ctx context.Context) (list wire.SessionList, err error) {
	err = c.act(ctx, wire.PathSessions, "", wire.OpList, &list)
	clearText(maxMessage, &list.Node)
	for i := range list.Sessions {
		cleanInfo(&list.Sessions[i])
	}
	return list, err
}

// Sources lists what the key may use on the node, and what for.
func (c *Client) Sources(ctx context.Context) (wire.SourceList, error) {
	var list wire.SourceList
	if err := c.needs("list sources", "", "-"); err != nil {
		return list, err
	}
	if err := c.act(ctx, wire.PathSources, "", wire.OpSources, &list); err != nil {
		return wire.SourceList{}, c.explain(err, "list sources on %s", c.target)
	}
	clearText(maxMessage, &list.Node)
	for i := range list.Sources {
		info := &list.Sources[i]
		info.Obscure = wire.Obscure(printable(string(info.Obscure), 50))
		clearText(maxMessage, &info.Source, &info.Recording, &info.Denied)
		for k := range info.Processes {
			clearText(maxMessage, &info.Processes[k])
		}
	}
	return list, nil
}

// Kill ends a session, whoever's it is. Those in it are told by whom.
func (c *Client) Kill(ctx context.Context, session string) error {
	if err := c.needs("kill session", "session", session); err != nil {
		return err
	}
	var nothing struct{}
	if err := c.act(ctx, wire.PathSessionByID(session), session, wire.OpKill, &nothing); err != nil {
		return c.explain(err, "kill session %s on %s", printable(session, maxSessionID), c.target)
	}
	return nil
}

// act sends a request by the opener's key that is about no source, and decodes
// its answer into out.
func (c *Client) act(ctx context.Context, path, session string, op wire.Op, out any) error {
	sh := wire.Shell{Op: op}
	send := func() error {
		return c.fresh(ctx, func() error {
			tok, err := c.opener(ctx, "", session, sh, nil, nil)
			if err != nil {
				return err
			}
			u, start := c.route(path), c.o.Now()
			err = c.exchange(ctx, c.shared(), u, tok, bounds{limit: c.o.Timeout, most: maxList}, out)
			c.trace(ctx, u, &sh, len(tok), start, err)
			return err
		})
	}
	err := c.met(ctx, send)
	if refusal(err) == wire.CodeNotFound {
		return c.anotherNode(ctx, err)
	}
	return err
}

// FeedFunc is told of a node's sessions: first of all of them, with the name
// wire.EventSessions and list; then of one, with wire.EventChanged or
// wire.EventEnded and info. After a lost connection the whole list comes again.
type FeedFunc func(name string, list *wire.SessionList, info *wire.SessionInfo) error

// Feed follows the list of the node's sessions until ctx ends, f fails, or the
// node refuses, and returns that error. A connection that is lost is made again,
// for as long as it takes; the first one is tried once.
func (c *Client) Feed(ctx context.Context, f FeedFunc) error {
	if err := c.needs("follow sessions", "", "-"); err != nil {
		return err
	}
	var b backoff
	begun := false
	for tries := 1; ; tries++ {
		lively, err := c.feedOnce(ctx, func() {
			if begun {
				c.notify(Event{Kind: EventBack, Text: "connected again", Attempt: tries})
			}
			begun, tries, b = true, 0, backoff{}
		}, f)
		var asked *feedError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &asked):
			return asked.err
		case !begun || !lively && conclusive(err):
			return c.explain(err, "follow sessions on %s", c.target)
		}
		d := b.next(pauseOf(err))
		c.notify(Event{
			Kind: EventLost, Attempt: tries + 1, Next: c.waits.now().Add(d), Cause: err,
			Text: fmt.Sprintf("connection lost: %s; %s", oneLine(err), again(d)),
		})
		c.waits.pause(ctx, d)
	}
}

// feedError is the error of a FeedFunc.
type feedError struct{ err error }

func (e *feedError) Error() string { return e.err.Error() }

// feedOnce follows one stream. lively: the node has let it begin.
func (c *Client) feedOnce(ctx context.Context, began func(), f FeedFunc) (lively bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newPulse(c.waits, cancel)
	defer p.stop()
	events, end, err := c.openFeed(ctx, p)
	if err != nil {
		return false, err
	}
	defer end()
	for {
		ev, err := events.Next()
		if err != nil {
			return lively, cause(ctx, unexpected(err))
		}
		if ev.Name == wire.EventSessions {
			lively = true
			began()
		}
		if err := feedEvent(ev, f); err != nil {
			return lively, err
		}
	}
}

// openFeed asks for the stream. The function ends it.
func (c *Client) openFeed(ctx context.Context, p *pulse) (events *sse.Reader, end func(), err error) {
	late := time.AfterFunc(c.o.Timeout, func() { p.lose(errTimeout) })
	defer late.Stop()
	sh := wire.Shell{Op: wire.OpList}
	via, shut := c.ownTransport()
	err = c.met(ctx, func() error {
		return c.fresh(ctx, func() error {
			tok, err := c.opener(ctx, "", "", sh, nil, nil)
			if err != nil {
				return &signError{err}
			}
			u, start := c.route(wire.PathSessions), c.o.Now()
			body, err := c.stream(ctx, via, u, tok)
			c.trace(ctx, u, &sh, len(tok), start, err)
			if err != nil {
				return err
			}
			events = sse.NewReaderLimit(p.reader(body), maxList)
			end = func() { _ = body.Close(); shut() }
			return nil
		})
	})
	if err != nil {
		shut()
	}
	return events, end, err
}

// feedEvent passes one event on. Unknown ones are passed over.
func feedEvent(ev sse.Event, f FeedFunc) error {
	var err error
	switch ev.Name {
	case wire.EventSessions:
		var list wire.SessionList
		if err = json.Unmarshal(ev.Data, &list); err != nil {
			break
		}
		clearText(maxMessage, &list.Node)
		for i := range list.Sessions {
			cleanInfo(&list.Sessions[i])
		}
		err = told(f(ev.Name, &list, nil))
		return err
	case wire.EventChanged, wire.EventEnded:
		var info wire.SessionInfo
		if err = json.Unmarshal(ev.Data, &info); err != nil {
			break
		}
		cleanInfo(&info)
		return told(f(ev.Name, nil, &info))
	}
	if err != nil {
		return streamErrorf("%s event: %v", ev.Name, err)
	}
	return nil
}

func told(err error) error {
	if err != nil {
		return &feedError{err}
	}
	return nil
}

// cleanInfo makes what a node says of a session fit for a terminal.
func cleanInfo(i *wire.SessionInfo) {
	clearText(maxSessionID, &i.Session)
	clearText(maxMessage, &i.Source, &i.Process, &i.Title, &i.User, &i.Key, &i.Subject, &i.Addr, &i.Recording)
	i.State = wire.SessionState(printable(string(i.State), 50))
	for k := range i.Members {
		m := &i.Members[k]
		m.Role = wire.Role(printable(string(m.Role), 50))
		clearText(maxMessage, &m.Key, &m.Subject, &m.Addr)
	}
	if i.Exit != nil {
		i.Exit.Signal = printable(i.Exit.Signal, 20)
		i.Exit.Reason = wire.ExitReason(printable(string(i.Exit.Reason), 50))
	}
}

func clearText(limit int, texts ...*string) {
	for _, t := range texts {
		*t = printable(*t, limit)
	}
}
