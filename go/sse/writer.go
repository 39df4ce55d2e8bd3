package sse

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"strconv"
)

// MaxFrame is the most raw bytes of one output event; [Writer.Output] splits
// what is longer. It equals the protocol's limit of the same name.
const MaxFrame = 8 << 10

// NoID is the id of an event that has none.
const NoID = math.MaxUint64

// Buffer limits of a writer, bytes.
const (
	// writeAt is the buffered size at which a writer does not wait for Flush.
	writeAt = 32 << 10
	// smallBuffer is the capacity that an idle stream may keep.
	smallBuffer = 4 << 10
	// quietFlushes is how many small bursts in a row make a stream idle.
	quietFlushes = 8
)

// ErrName means that an event's name is empty or holds a line end or NUL.
var ErrName = errors.New("event name is empty or holds a line end")

// Writer writes events to one stream. It is not safe for concurrent use.
// After an error each method returns that error.
type Writer struct {
	w     io.Writer
	flush func() error
	buf   []byte
	sent  int // bytes written since the last Flush
	quiet int // small bursts in a row
	err   error
}

// NewWriter returns a writer of events to w. flush, which may be nil, is called
// after the buffered events were written to w, and sends them on their way.
func NewWriter(w io.Writer, flush func() error) *Writer {
	return &Writer{w: w, flush: flush}
}

// Event buffers one event; [Writer.Flush] sends it. The data may hold several
// lines, ended by CR, LF or CRLF, and may be empty. id is a byte offset or [NoID].
func (w *Writer) Event(name string, id uint64, data []byte) error {
	if !w.begin(name, id) {
		return w.err
	}
	for {
		i := bytes.IndexAny(data, "\r\n")
		if i < 0 {
			break
		}
		w.line(data[:i])
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		data = data[i+1:]
	}
	w.line(data)
	return w.end()
}

// Output buffers raw as base64, in as many events as [MaxFrame] demands;
// [Writer.Flush] sends them. id is the offset after the last byte of raw; each
// event carries the offset after its own last byte. Empty raw writes nothing.
func (w *Writer) Output(name string, id uint64, raw []byte) error {
	for len(raw) > 0 && w.err == nil {
		n := min(len(raw), MaxFrame)
		if !w.begin(name, id-uint64(len(raw)-n)) {
			break
		}
		w.buf = append(w.buf, "data: "...)
		w.buf = base64.StdEncoding.AppendEncode(w.buf, raw[:n])
		w.buf = append(w.buf, '\n')
		raw = raw[n:]
		if w.end() != nil {
			break
		}
	}
	return w.err
}

// Flush writes what is buffered, if anything, and flushes it.
func (w *Writer) Flush() error {
	if w.err != nil || w.sent+len(w.buf) == 0 {
		return w.err
	}
	if w.write() == nil && w.flush != nil {
		w.err = w.flush()
	}
	w.shrink(w.sent)
	w.sent = 0
	return w.err
}

// Pad brings what the next Flush sends to a multiple of step bytes, by a field
// "pad" at the end of the last event, which readers skip: the size then tells
// one event from another no more. Without a buffered event it does nothing.
func (w *Writer) Pad(step int) {
	const field = len("pad:\n")
	if w.err != nil || len(w.buf) == 0 {
		return
	}
	rest := (w.sent + len(w.buf) + field) % step
	w.buf = append(w.buf[:len(w.buf)-1], "pad:"...) // in place of the empty line
	for range (step - rest) % step {
		w.buf = append(w.buf, '0')
	}
	w.buf = append(w.buf, '\n', '\n')
}

// begin writes the lines before the data.
func (w *Writer) begin(name string, id uint64) bool {
	if w.err != nil {
		return false
	}
	if !validName(name) {
		w.err = ErrName
		return false
	}
	w.buf = append(w.buf, "event: "...)
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '\n')
	if id != NoID {
		w.buf = append(w.buf, "id: "...)
		w.buf = strconv.AppendUint(w.buf, id, 10)
		w.buf = append(w.buf, '\n')
	}
	return true
}

func (w *Writer) line(p []byte) {
	w.buf = append(w.buf, "data: "...)
	w.buf = append(w.buf, p...)
	w.buf = append(w.buf, '\n')
}

// end closes the event and writes the buffer when it is large.
func (w *Writer) end() error {
	w.buf = append(w.buf, '\n')
	if len(w.buf) >= writeAt {
		return w.write()
	}
	return nil
}

func (w *Writer) write() error {
	if len(w.buf) == 0 {
		return w.err
	}
	n, err := w.w.Write(w.buf)
	if err == nil && n < len(w.buf) {
		err = io.ErrShortWrite
	}
	w.sent += len(w.buf)
	w.buf = w.buf[:0]
	w.err = err
	return err
}

// shrink gives a large buffer back once the stream has become quiet.
func (w *Writer) shrink(burst int) {
	if burst > smallBuffer {
		w.quiet = 0
	} else if w.quiet++; w.quiet >= quietFlushes && cap(w.buf) > smallBuffer {
		w.buf = nil
	}
}

func validName(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c == '\r' || c == '\n' || c == 0 {
			return false
		}
	}
	return true
}
