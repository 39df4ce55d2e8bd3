package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"etcha/go/client"
	"etcha/go/wire"
)

// happening is one thing that a node's feed told.
type happening struct {
	node *node
	name string // of the feed's event; or one of those below
	list *wire.SessionList
	info *wire.SessionInfo
	text string // lost: why
	err  error  // over
}

// Names of happenings beside those of the feed.
const (
	feedLost = "lost" // the connection; it is being made again
	feedBack = "back"
	feedOver = "over" // the node does not tell any more
)

// feeds follows the sessions of several nodes. Its goroutines, one for each
// node, end with the context that it was started with.
type feeds struct {
	search *search
	events chan happening
	state  map[*node]*followed
	left   int // feeds that go on
}

// followed is what is known of a node.
type followed struct {
	sessions map[string]wire.SessionInfo
	trouble  string // empty: all is well
}

func (q *search) feed(ctx context.Context) *feeds {
	f := &feeds{search: q, events: make(chan happening), state: map[*node]*followed{}}
	for _, n := range q.nodes {
		f.state[n] = &followed{sessions: map[string]wire.SessionInfo{}}
		if n.err != nil {
			f.state[n].trouble = firstLine(n.err)
			continue
		}
		f.left++
		go f.follow(ctx, n)
	}
	return f
}

// follow hands on what one node tells.
func (f *feeds) follow(ctx context.Context, n *node) {
	send := func(h happening) error {
		h.node = n
		select {
		case f.events <- h:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	c, err := f.search.another(n, func(e client.Event) {
		switch e.Kind {
		case client.EventLost:
			_ = send(happening{name: feedLost, text: e.Text})
		case client.EventBack:
			_ = send(happening{name: feedBack})
		default:
			f.search.access.app.tell("")(e)
		}
	})
	if err == nil {
		defer c.Close()
		err = c.Feed(ctx, func(name string, list *wire.SessionList, info *wire.SessionInfo) error {
			return send(happening{name: name, list: list, info: info})
		})
	}
	_ = send(happening{name: feedOver, err: err})
}

// take brings the state up to date. It returns what the change of a session is
// called: one that was not known before was opened.
func (f *feeds) take(h happening) (name string) {
	s := f.state[h.node]
	switch h.name {
	case wire.EventSessions:
		clear(s.sessions)
		for _, i := range h.list.Sessions {
			s.sessions[i.Session] = i
		}
		s.trouble = ""
	case wire.EventChanged:
		_, known := s.sessions[h.info.Session]
		s.sessions[h.info.Session] = *h.info
		if !known {
			return "opened"
		}
	case wire.EventEnded:
		delete(s.sessions, h.info.Session)
	case feedLost:
		s.trouble = h.text
	case feedBack:
		s.trouble = ""
	case feedOver:
		h.node.err = h.err
		s.trouble = firstLine(h.err)
		f.left--
	}
	return h.name
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// all are the sessions, a node after the other, newest first.
func (f *feeds) all() []found {
	var all []found
	for _, n := range f.search.nodes {
		from := len(all)
		for _, i := range f.state[n].sessions {
			all = append(all, found{n, i})
		}
		slices.SortFunc(all[from:], func(a, b found) int {
			if a.info.Started != b.info.Started {
				return int(b.info.Started - a.info.Started)
			}
			return strings.Compare(a.info.Session, b.info.Session)
		})
	}
	return all
}

// followAll shows sessions until the person has seen enough, or no node tells
// any more.
func (f *sessionsFlags) followAll(ctx context.Context, q *search) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	onScreen := !f.json && isTerminal(f.app.env.Stdout) && isTerminal(f.app.env.Stdin)
	signals := catchSignals(onScreen)
	defer signals.stop()
	feed := q.feed(ctx)
	if onScreen {
		return f.followOnScreen(ctx, feed, signals)
	}
	for feed.left > 0 {
		select {
		case h := <-feed.events:
			if err := f.tellOf(feed, h); err != nil {
				return err
			}
		case sig := <-signals.ending:
			return exit(128 + signalNumber(sig))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return q.nodes.failed(q.set.Config)
}

// happeningJSON is a line of `etcha sessions -f --json`.
type happeningJSON struct {
	Time     time.Time          `json:"time"`
	Target   string             `json:"target"`
	Event    string             `json:"event"` // sessions, opened, changed, ended, lost, back, over
	Node     string             `json:"node,omitempty"`
	Sessions []wire.SessionInfo `json:"sessions,omitempty"` // sessions
	Session  *wire.SessionInfo  `json:"session,omitempty"`  // opened, changed, ended
	Error    string             `json:"error,omitempty"`    // lost, over
}

// tellOf writes the lines about what has happened.
func (f *sessionsFlags) tellOf(feed *feeds, h happening) error {
	name := feed.take(h)
	j := happeningJSON{Time: time.Now(), Target: h.node.where.String(), Event: name, Session: h.info, Error: h.text}
	if h.list != nil {
		j.Node, j.Sessions = h.list.Node, h.list.Sessions
	}
	if h.err != nil {
		j.Error = h.err.Error()
	}
	if f.json {
		return json.NewEncoder(f.app.stdout).Encode(j)
	}
	switch {
	case h.list != nil:
		for i := range j.Sessions {
			if err := f.tellOne(j, "there", &j.Sessions[i]); err != nil {
				return err
			}
		}
	case h.info != nil:
		return f.tellOne(j, name, h.info)
	case h.name == feedLost || h.name == feedOver && feed.left > 0:
		f.app.etcha("%s: %s", j.Target, j.Error)
	case h.name == feedBack:
		f.app.etcha("%s: connected again", j.Target)
	}
	return nil
}

func (f *sessionsFlags) tellOne(j happeningJSON, name string, i *wire.SessionInfo) error {
	text := fmt.Sprintf("%s %s %s %s %s as %s by %s", j.Time.Format(time.RFC3339), j.Target, name, i.Session, i.Source, i.User, who(i.Subject, i.Key))
	if i.Addr != "" {
		text += " from " + i.Addr
	}
	if i.State != wire.SessionEnded {
		text += ", " + sessionState(*i)
	}
	if len(i.Members) > 0 {
		text += ", " + members(i.Members)
	}
	if i.Exit != nil {
		text += fmt.Sprintf(", %s %d", i.Exit.Reason, i.Exit.Code)
	}
	_, err := fmt.Fprintln(f.app.stdout, text)
	return err
}

// followOnScreen keeps the table on the terminal up to date.
func (f *sessionsFlags) followOnScreen(ctx context.Context, feed *feeds, signals *signals) (err error) {
	t := &tty{in: f.app.env.Stdin, out: f.app.env.Stdout}
	defer t.guard()
	if err := t.enter(); err != nil {
		return err
	}
	f.app.stderr.raw.Store(true)
	fmt.Fprint(t.out, "\x1b[?1049h\x1b[?25l")
	defer func() {
		fmt.Fprint(t.out, "\x1b[?25h\x1b[?1049l")
		f.app.stderr.raw.Store(false)
		err = errors.Join(err, t.leave())
	}()
	keys := make(chan byte)
	go readKeys(ctx, t, keys)
	tick := time.NewTicker(time.Second) // ages
	defer tick.Stop()
	for {
		if err := drawTable(t, feed); err != nil {
			return err
		}
		select {
		case h := <-feed.events:
			feed.take(h)
			if feed.left == 0 {
				return feed.search.nodes.failed(feed.search.set.Config)
			}
		case sig := <-signals.ending:
			return exit(128 + signalNumber(sig))
		case <-signals.window:
		case <-tick.C:
		case key, ok := <-keys:
			if !ok || strings.IndexByte(viewerLeaves, key) >= 0 {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readKeys hands keys on until stdin or the context ends. It may stay behind,
// blocked in a read.
func readKeys(ctx context.Context, t *tty, keys chan<- byte) {
	defer t.guard()
	defer close(keys)
	for b := make([]byte, 1); ; {
		n, err := t.in.Read(b)
		if n == 1 {
			select {
			case keys <- b[0]:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// drawTable draws the table over what was there.
func drawTable(t *tty, feed *feeds) error {
	cols, rows := t.size()
	var b bytes.Buffer
	all := feed.all()
	fmt.Fprintf(&b, "%s  %d sessions  q leaves\n\n", time.Now().Format(time.TimeOnly), len(all))
	if err := writeSessions(&b, all, len(feed.search.nodes) > 1); err != nil {
		return err
	}
	for _, n := range feed.search.nodes {
		if trouble := feed.state[n].trouble; trouble != "" {
			fmt.Fprintf(&b, "\n%s: %s", n.where, trouble)
		}
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	lines = lines[:min(len(lines), int(rows))]
	for i, line := range lines {
		if r := []rune(line); len(r) >= int(cols) {
			lines[i] = string(r[:cols-1])
		}
	}
	_, err := fmt.Fprint(t.out, syncBegin+"\x1b[H"+strings.Join(lines, "\x1b[K\r\n")+"\x1b[K\x1b[J"+syncEnd)
	return err
}
