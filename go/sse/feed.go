package sse

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	r3 "github.com/r3labs/sse/v2"
)

// feedQueue is the events that a topic holds for a subscriber that is slow.
const feedQueue = 256

// Feeds serves events that a slow subscriber may miss, such as changes of a
// list: not a session's output. Each subscriber has a topic of its own, so that
// it begins with a whole picture of its own and holds up nobody else.
//
// It is r3labs/sse's Server. That one never fails a write, so the writer it is
// given must end the request's context when it cannot write.
type Feeds struct {
	server *r3.Server
	last   atomic.Uint64
	mu     sync.Mutex
	begins map[string]func() // by topic, until its subscriber is there
}

// NewFeeds makes a server of feeds. It starts no goroutine of its own.
func NewFeeds() *Feeds {
	f := &Feeds{begins: map[string]func(){}}
	s := r3.NewWithCallback(func(id string, _ *r3.Subscriber) { f.take(id)() }, nil)
	s.AutoReplay, s.AutoStream, s.SplitData = false, true, true
	s.BufferSize = feedQueue
	s.Headers = map[string]string{
		"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff",
	}
	f.server = s
	return f
}

// take gives what begins a topic, once.
func (f *Feeds) take(id string) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	begin := f.begins[id]
	delete(f.begins, id)
	if begin == nil {
		return func() {}
	}
	return begin
}

// Topic is one subscriber's feed. Its methods may be called at the same time.
type Topic struct {
	server *r3.Server
	id     string
	end    context.CancelFunc
}

// Serve answers a request with a feed until its context ends. begin is called in
// a goroutine of its own once the topic takes events.
func (f *Feeds) Serve(w http.ResponseWriter, r *http.Request, begin func(*Topic)) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	t := &Topic{server: f.server, id: strconv.FormatUint(f.last.Add(1), 10), end: cancel}
	begun := make(chan struct{})
	f.mu.Lock()
	f.begins[t.id] = func() { defer close(begun); begin(t) }
	f.mu.Unlock()
	r = r.Clone(ctx)
	r.URL.RawQuery = "stream=" + t.id
	r.Header.Del("Last-Event-ID") // nothing is replayed
	f.server.ServeHTTP(w, r)
	<-begun
}

// Publish queues an event with data that is not empty. When the queue is full
// the feed ends: its subscriber has missed something and begins anew.
func (t *Topic) Publish(name string, data []byte) {
	if !t.server.TryPublish(t.id, &r3.Event{Event: []byte(name), Data: data}) {
		t.end()
	}
}

// End ends the feed.
func (t *Topic) End() { t.end() }
