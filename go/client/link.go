package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"etcha/go/errs"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// link is one connection of a session to its node: an event stream and the
// requests beside it. A session that loses its link makes another.
type link struct {
	s     *Session
	seal  *seal // nil: nothing but the stream
	via   *http.Transport
	close func() // ends via's connections, where nobody else uses them

	// ctx ends the stream and the requests.
	ctx    context.Context
	cancel context.CancelCauseFunc

	pulse    *pulse
	body     io.Closer
	events   *sse.Reader
	base64   *base64.Encoding
	buf      []byte         // decoded output, reused
	lively   bool           // an event came after the first
	requests sync.WaitGroup // senders of input, and the tender
}

// call is a request whose answer is a session's stream.
type call struct {
	path  string
	sh    wire.Shell
	sign  func(context.Context) (string, error)
	seal  *seal
	limit time.Duration // for the first event
}

// dial makes a link and reads its first event. ctx is for that only. The answer
// is proven to come from the pinned node, in answer to this very request.
func (s *Session) dial(ctx context.Context, q call) (*link, wire.Session, error) {
	tok, err := q.sign(ctx)
	if err != nil {
		return nil, wire.Session{}, &signError{err}
	}
	l := s.newLink(q.seal)
	stop := context.AfterFunc(ctx, func() { l.cancel(context.Cause(ctx)) })
	late := time.AfterFunc(q.limit, func() { l.cancel(errTimeout) })
	defer late.Stop()
	defer stop()
	info, err := l.connect(q, tok)
	if err == nil && (!late.Stop() || !stop()) {
		err = context.Cause(l.ctx)
		if err == nil { // stopped by ctx this moment
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		l.end(err)
		return nil, wire.Session{}, err
	}
	return l, info, nil
}

// newLink prepares a link. The first one shares the client's connections; one
// that follows on a loss has its own, so that nothing of a dead path is used.
func (s *Session) newLink(key *seal) *link {
	l := &link{s: s, seal: key, base64: base64.StdEncoding.Strict(), close: func() {}}
	if s.last == nil {
		s.node, _ = s.c.trust.pinned()
		l.via = s.c.shared()
	} else {
		l.via, l.close = s.c.ownTransport()
	}
	l.ctx, l.cancel = context.WithCancelCause(s.ctx)
	l.pulse = newPulse(s.c.waits, l.cancel)
	return l
}

// end lets go of a link. Its requests end soon.
func (l *link) end(err error) {
	l.cancel(err)
	l.pulse.stop()
	if l.body != nil {
		_ = l.body.Close()
	}
	l.close()
}

// dead reports whether the link is of no use any more.
func (l *link) dead() bool { return l.ctx.Err() != nil }

// connect posts the token and reads the first event.
func (l *link) connect(q call, tok string) (wire.Session, error) {
	c := l.s.c
	u := c.route(q.path)
	start := c.o.Now()
	body, err := c.stream(l.ctx, l.via, u, tok)
	c.trace(l.ctx, u, &q.sh, len(tok), start, err)
	if err != nil {
		return wire.Session{}, err
	}
	l.body, l.events = body, sse.NewReader(l.pulse.reader(body))
	info, err := l.confirm(tok)
	if err != nil {
		return wire.Session{}, cause(l.ctx, err)
	}
	return info, nil
}

// confirm reads the first event and checks that the pinned node made it in
// answer to this very request.
func (l *link) confirm(tok string) (wire.Session, error) {
	var info wire.Session
	ev, err := l.events.Next()
	if err != nil {
		return info, fmt.Errorf("event stream: %w", unexpected(err))
	}
	if ev.Name != wire.EventSession {
		return info, streamErrorf("begins with %q instead of %q", printable(ev.Name, 50), wire.EventSession)
	}
	if err := json.Unmarshal(ev.Data, &info); err != nil {
		return info, streamErrorf("session event: %v", err)
	}
	s := l.s
	proof, err := token.VerifyProof([]byte(info.Proof), s.node, []byte(tok))
	if err == nil && proof.Session != info.Session {
		err = errors.New("the proof is for another session")
	}
	if err == nil && info.InputOffset < proof.Input {
		err = fmt.Errorf("the session event says that the node has %d bytes of input, the proof %d", info.InputOffset, proof.Input)
	}
	if err != nil {
		e := errs.Transport(err, "the answer is not proven to come from node %s", s.node)
		e.Code = CodeProof
		return info, e.WithHint("someone in the path answers in the node's place; nothing was typed into it")
	}
	if info.Session == "" || len(info.Session) > maxSessionID || s.id != "" && info.Session != s.id ||
		info.Node != s.node || info.Source == "" || s.source != "" && info.Source != s.source {
		return info, streamErrorf("the session event is for another session")
	}
	info.User = printable(info.User, 100)
	info.Recording = printable(info.Recording, 20)
	return info, nil
}
