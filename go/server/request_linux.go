package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"etcha/go/authz"
	"etcha/go/metrics"
	"etcha/go/wire"
)

// maxLogged bounds a client's own text in a log line, bytes.
const maxLogged = 100

// request is one request on its way through the handler, and the writer of its
// answer.
type request struct {
	http.ResponseWriter
	h    *handler
	r    *http.Request
	rc   *http.ResponseController
	set  *settings // as they were when the request was there whole
	num  uint64    // counts requests, for the log
	from time.Time

	peer            netip.Addr
	source, session string // of the route
	body            []byte

	verified bool // by a token within its life: the sender holds a key
	by       authz.Identity
	subject  string // the ID of the key that signed

	status int
	reason metrics.Refusal // why it was refused
	cause  error           // private
}

func (h *handler) newRequest(w http.ResponseWriter, r *http.Request) *request {
	set := h.settings.Load()
	return &request{
		ResponseWriter: w, h: h, r: r, rc: http.NewResponseController(w), set: set,
		num: h.count.Add(1), from: time.Now(), peer: set.proxies.client(r),
	}
}

// WriteHeader remembers the status.
func (q *request) WriteHeader(status int) {
	if q.status == 0 {
		q.status = status
	}
	q.ResponseWriter.WriteHeader(status)
}

// Write answers 200 unless a status was written before.
func (q *request) Write(p []byte) (int, error) {
	if q.status == 0 {
		q.status = http.StatusOK
	}
	return q.ResponseWriter.Write(p)
}

// finish is itself deferred, first of all, so that it can recover: it turns a
// panic into an answer, counts, and logs.
func (q *request) finish() {
	if v := recover(); v != nil {
		q.panicked(v)
	}
	q.h.metrics.Request(q.status)
	q.log()
}

func (q *request) panicked(v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	q.h.metrics.PanicRecovered()
	q.h.log.Error("request handler panicked", "req", q.num, "peer", q.peer, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
	if q.status != 0 {
		// What was promised cannot be kept: the client must see a cut.
		q.h.metrics.Request(q.status)
		panic(http.ErrAbortHandler)
	}
	q.early(wire.CodeInternal, errPanic)
}

// errPanic is the cause of an answer after a panic, which has its own line.
var errPanic = errors.New("panic")

// log writes the request's line: refusals of those who hold a key are warnings,
// others of an address that is not yet slowed are worth knowing, the rest is
// for debugging.
func (q *request) log() {
	level := slog.LevelDebug
	switch {
	case q.cause == nil, q.reason.Harmless():
	case q.verified:
		level = slog.LevelWarn
	case !q.h.limiter.limited(q.peer):
		level = slog.LevelInfo
	}
	ctx := context.Background()
	if !q.h.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.Uint64("req", q.num), slog.Any("peer", q.peer), slog.String("pattern", q.r.Pattern), slog.Int("status", q.status),
	}
	attrs = appendText(attrs, "source", q.source)
	attrs = appendText(attrs, "session", q.session)
	attrs = appendText(attrs, "subject", q.subject)
	attrs = append(attrs, slog.Duration("duration", time.Since(q.from)))
	if q.cause == nil {
		q.h.log.LogAttrs(ctx, level, "request", attrs...)
		return
	}
	attrs = append(attrs, slog.String("reason", string(q.reason)), slog.Any("err", q.cause))
	q.h.log.LogAttrs(ctx, level, "request refused", attrs...)
}

func appendText(attrs []slog.Attr, key, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(key, shorten(value)))
}

// shorten bounds a client's own text.
func shorten(s string) string {
	if len(s) > maxLogged {
		return s[:maxLogged] + "…"
	}
	return s
}
