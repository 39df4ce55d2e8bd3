package server

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"etcha/go/wire"
)

// firstRead is a body's first buffer, bytes; it grows with what really arrives.
const firstRead = 8 << 10

// readBody reads the whole body, within its size and time, before anything
// looks at it. It reports whether the request may go on.
func (q *request) readBody() bool {
	if q.r.Body == nil || q.r.Body == http.NoBody {
		return true
	}
	body, err := q.readWithin()
	if err != nil {
		// What net/http still reads, so that the client sees the answer, is
		// bounded too.
		_ = q.rc.SetReadDeadline(q.from.Add(q.h.readTime))
		q.Header().Set("Connection", "close")
		q.early(codeOfRead(err), err)
		return false
	}
	q.body = body
	return true
}

func (q *request) readWithin() ([]byte, error) {
	size := q.r.ContentLength
	if size > wire.MaxBody {
		return nil, &http.MaxBytesError{Limit: wire.MaxBody}
	}
	b := &bound{rc: q.rc}
	late := time.AfterFunc(q.h.readTime, b.cut)
	place := q.h.reading.enter(q.peer, b.cut)
	buf := bytes.NewBuffer(make([]byte, 0, min(max(size, 0)+bytes.MinRead, firstRead)))
	_, err := io.Copy(buf, http.MaxBytesReader(q.ResponseWriter, q.r.Body, wire.MaxBody))
	place.leave()
	late.Stop()
	return buf.Bytes(), errors.Join(err, b.lift())
}

func codeOfRead(err error) wire.Code {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return wire.CodeTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return wire.CodeTimeout
	default:
		return wire.CodeBadRequest
	}
}

// bound cuts the reading of a body off. Nearly all bodies are there before
// anything would: on HTTP/2, setting a deadline and lifting it again would wake
// the connection's goroutine twice for each key typed.
type bound struct {
	rc   *http.ResponseController
	mu   sync.Mutex
	done bool // nothing is to be cut any more
	was  bool // it was cut
}

// cut ends the reading with os.ErrDeadlineExceeded.
func (b *bound) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		b.was = true
		_ = b.rc.SetReadDeadline(time.Unix(1, 0))
	}
}

// lift ends the bound. A deadline that stayed would look like the client's
// going away.
func (b *bound) lift() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = true
	if b.was {
		return b.rc.SetReadDeadline(time.Time{})
	}
	return nil
}
