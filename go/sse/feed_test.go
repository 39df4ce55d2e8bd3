package sse_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"etcha/go/sse"
)

// feed serves one feed and gives its events and its topic.
func feed(t *testing.T, f *sse.Feeds) (*sse.Reader, *sse.Topic, func()) {
	t.Helper()
	topics := make(chan *sse.Topic, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.Serve(w, r, func(topic *sse.Topic) {
			topic.Publish("first", []byte(`{"a":1}`))
			topics <- topic
		})
	}))
	t.Cleanup(srv.Close)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"?stream=7", nil)
	must(t, err)
	req.Header.Set("Last-Event-ID", "nonsense")
	res, err := srv.Client().Do(req)
	must(t, err)
	t.Cleanup(func() { res.Body.Close() })
	if got := res.Header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
		t.Errorf("Cache-Control %q", got)
	}
	return sse.NewReader(res.Body), <-topics, cancel
}

func TestFeed(t *testing.T) {
	f := sse.NewFeeds()
	one, oneTopic, leave := feed(t, f)
	two, twoTopic, _ := feed(t, f)
	oneTopic.Publish("changed", []byte("x"))
	twoTopic.Publish("changed", []byte("y\nz"))
	for _, c := range []struct {
		r    *sse.Reader
		data string
	}{{one, "x"}, {two, "y\nz"}} {
		for _, want := range []string{"first {\"a\":1}", "changed " + c.data} {
			ev, err := c.r.Next()
			must(t, err)
			if got := ev.Name + " " + string(ev.Data); got != want {
				t.Errorf("event %q, want %q", got, want)
			}
		}
	}
	leave()
	twoTopic.Publish("ended", []byte("still here"))
	if ev, err := two.Next(); err != nil || ev.Name != "ended" {
		t.Errorf("after another left: %+v, %v", ev, err)
	}
	twoTopic.End()
	if _, err := two.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

// stuck is a subscriber that takes nothing until it is let.
type stuck struct {
	*httptest.ResponseRecorder
	let chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.let
	return s.ResponseRecorder.Write(p)
}

// A subscriber that does not read loses its feed and holds up nobody.
func TestFeedOfWhoDoesNotRead(t *testing.T) {
	f := sse.NewFeeds()
	w := &stuck{httptest.NewRecorder(), make(chan struct{})}
	ended := make(chan struct{})
	published := make(chan struct{})
	go func() {
		defer close(ended)
		f.Serve(w, httptest.NewRequest(http.MethodPost, "/", nil), func(topic *sse.Topic) {
			for i := range 10_000 {
				topic.Publish("n", fmt.Append(nil, i))
			}
			close(published)
		})
	}()
	<-published
	close(w.let)
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("the feed goes on")
	}
}
