package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/session"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// Bounds of the live lists that are served at once: of all, and of one key, so
// that nobody takes the place of all others.
const (
	maxFeeds     = 256
	maxFeedsEach = 16
)

// feeds is the live lists of sessions. What each of them shows is decided by
// policy for whoever asked, event by event.
type feeds struct {
	server *sse.Feeds
	// decide reports whether somebody may see a session of this record now.
	decide func(id authz.Identity, rec authz.Record) bool

	mu     sync.Mutex
	topics map[*sse.Topic]authz.Identity
	count  int
	each   map[string]int // by the key's thumbprint
}

func newFeeds(decide func(authz.Identity, authz.Record) bool) *feeds {
	return &feeds{server: sse.NewFeeds(), decide: decide, topics: map[*sse.Topic]authz.Identity{}, each: map[string]int{}}
}

// happened tells those who may see the session, by its record. It does not wait
// for anybody.
func (f *feeds) happened(h session.Happening, rec authz.Record) {
	name := wire.EventChanged
	if h.Kind == session.Ended {
		name = wire.EventEnded
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.topics) == 0 {
		return
	}
	data := encode(h.Info)
	for topic, id := range f.topics {
		if f.decide(id, rec) {
			topic.Publish(name, data)
		}
	}
}

// again ends all feeds, so that they begin anew by a new policy.
func (f *feeds) again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for topic := range maps.Keys(f.topics) {
		topic.End()
	}
}

// add begins a topic with the list as it is.
func (f *feeds) add(t *sse.Topic, id authz.Identity, list func() wire.SessionList) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.Publish(wire.EventSessions, encode(list()))
	f.topics[t] = id
}

func (f *feeds) remove(t *sse.Topic) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.topics, t)
}

// enter takes a place for a live list; leave gives it back.
func (f *feeds) enter(id authz.Identity) (leave func(), err error) {
	key := id.Key.Thumbprint()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.count >= maxFeeds:
		return nil, errs.New(wire.CodeLimited, "the node serves %d live lists, which is its limit", maxFeeds)
	case f.each[key] >= maxFeedsEach:
		return nil, errs.New(wire.CodeLimited, "this key has %d live lists, which is its limit", maxFeedsEach)
	}
	f.count++
	f.each[key]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.count--
		if f.each[key]--; f.each[key] == 0 {
			delete(f.each, key)
		}
	}, nil
}

// feed answers with the live list.
func (q *request) feed(live *shells, id authz.Identity) {
	leave, err := q.h.witness.feeds.enter(id)
	if err != nil {
		q.fail(err)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(q.r.Context())
	defer cancel()
	w := &feedWriter{streamWriter: streamWriter{q: q, contentType: wire.TypeEventStream}, fail: cancel}
	defer w.end()
	var topic *sse.Topic
	q.h.witness.feeds.server.Serve(w, q.r.WithContext(ctx), func(t *sse.Topic) {
		topic = t
		q.h.witness.feeds.add(t, id, func() wire.SessionList { return q.list(live, id) })
		go keepAlive(ctx, t)
	})
	q.h.witness.feeds.remove(topic)
}

// keepAlive breaks the silence of a feed at random intervals.
func keepAlive(ctx context.Context, t *sse.Topic) {
	const least = wire.KeepaliveMax / 3
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(least + rand.N(wire.KeepaliveMax-time.Second-least)):
			t.Publish(wire.EventKeepalive, []byte(token.NewID()[:1+rand.N(20)]))
		}
	}
}

// feedWriter is the writer of a feed's answer: a write that fails ends it.
type feedWriter struct {
	streamWriter
	fail context.CancelFunc
}

func (w *feedWriter) Header() http.Header { return w.q.Header() }

func (w *feedWriter) WriteHeader(status int) { w.q.WriteHeader(status) }

func (w *feedWriter) Write(p []byte) (int, error) {
	n, err := w.streamWriter.Write(p)
	if err != nil {
		w.fail()
	}
	return n, err
}

// Flush sends what was written.
func (w *feedWriter) Flush() {
	if err := w.q.rc.Flush(); err != nil {
		w.fail()
	}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a list cannot be encoded: %v", err))
	}
	return b
}
