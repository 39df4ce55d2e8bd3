package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// stream is an open session's.
type stream struct {
	n      *testNode
	key    token.PrivateKey
	source string
	info   wire.Session
	events *sse.Reader
	body   io.Closer
	header http.Header
}

// open opens a session with a command, or the source's shell when it is empty.
func (n *testNode) open(c *http.Client, key token.PrivateKey, source, command string) *stream {
	n.t.Helper()
	return n.begin(c, key, wire.PathShell(source), n.sign(key, n.claims(source, "", wire.Shell{Op: wire.OpOpen, Command: command})))
}

// begin sends a token that is answered by a stream.
func (n *testNode) begin(c *http.Client, key token.PrivateKey, path, tok string) *stream {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	n.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.info.URL+path, strings.NewReader(tok))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Content-Type", wire.TypeJWT)
	resp, err := c.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		n.t.Fatalf("open: %d %s", resp.StatusCode, b)
	}
	s := &stream{n: n, key: key, events: sse.NewReader(resp.Body), body: resp.Body, header: resp.Header}
	e := s.next()
	if e.Name != wire.EventSession || json.Unmarshal(e.Data, &s.info) != nil {
		n.t.Fatalf("first event %s: %s", e.Name, e.Data)
	}
	s.source = s.info.Source
	return s
}

// next is the next event that is not a keepalive.
func (s *stream) next() sse.Event {
	s.n.t.Helper()
	for {
		e, err := s.events.Next()
		if err != nil {
			s.n.t.Fatalf("event stream: %v", err)
		}
		if e.Name != wire.EventKeepalive {
			return e
		}
	}
}

// output reads until the exit and gives stdout and how it ended.
func (s *stream) output() (string, wire.Exit) {
	s.n.t.Helper()
	var out []byte
	for {
		switch e := s.next(); e.Name {
		case wire.EventOutput:
			var p []byte
			if err := json.Unmarshal(slices.Concat([]byte{'"'}, e.Data, []byte{'"'}), &p); err != nil {
				s.n.t.Fatal(err)
			}
			out = append(out, p...)
		case wire.EventExit:
			var x wire.Exit
			if err := json.Unmarshal(e.Data, &x); err != nil {
				s.n.t.Fatal(err)
			}
			return string(out), x
		}
	}
}

// await reads until an event of a name, and gives its data.
func (s *stream) await(name string) string {
	s.n.t.Helper()
	for {
		if e := s.next(); e.Name == name {
			return string(e.Data)
		}
	}
}

// do sends an operation in the session.
func (s *stream) do(sh wire.Shell) answer {
	s.n.t.Helper()
	return s.n.post(s.path(), s.n.sign(s.key, s.n.claims(s.source, s.info.Session, sh)))
}

func (s *stream) path() string { return wire.PathSession(s.source, s.info.Session) }

// finish closes the session and waits for its end.
func (s *stream) finish() {
	s.n.t.Helper()
	if r := s.do(wire.Shell{Op: wire.OpClose, Seq: 1 << 32}); r.status != http.StatusOK {
		s.n.t.Fatalf("close: %d %s", r.status, r.body)
	}
	s.await(wire.EventExit)
	s.body.Close()
}

// cat is a session of a program that gives back what it gets.
func (n *testNode) cat(key token.PrivateKey, source string) *stream {
	n.t.Helper()
	return n.open(n.h2, key, source, "/bin/cat")
}

func (s *stream) input(offset uint64, text string) answer {
	s.n.t.Helper()
	return s.do(wire.Shell{Op: wire.OpInput, Offset: offset, Data: []byte(text)})
}

func (s *stream) notice(code wire.NoticeCode) {
	s.n.t.Helper()
	if data := s.await(wire.EventNotice); !strings.Contains(data, fmt.Sprintf("%q", code)) {
		s.n.t.Errorf("notice %s, want %s", data, code)
	}
}

func (s *stream) exit() wire.Exit {
	s.n.t.Helper()
	var x wire.Exit
	if err := json.Unmarshal([]byte(s.await(wire.EventExit)), &x); err != nil {
		s.n.t.Fatal(err)
	}
	return x
}
