package sse

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"

	r3 "github.com/r3labs/sse/v2"
)

// MaxEvent bounds one event of a stream as text, bytes. The largest that a
// node of this protocol sends is an output frame: four thirds of [MaxFrame].
const MaxEvent = 64 << 10

// maxNames bounds the names of events that a reader keeps, so that a known one
// costs no allocation.
const maxNames = 16

// ErrTooLarge means that an event is longer than the reader's limit.
var ErrTooLarge = errors.New("event is too large")

// Event is one event of a stream.
type Event struct {
	Name  string // "message" where the stream gives none
	ID    uint64 // with HasID
	HasID bool   // this event carries an id, and it is a decimal number
	// Data is the data lines joined by LF. It is valid until the next call of
	// [Reader.Next] and may be changed.
	Data  []byte
	Retry time.Duration // the retry field, 0: none
}

// Reader reads events from one stream. It is not safe for concurrent use.
type Reader struct {
	lines  *lineEnds
	events *r3.EventStreamReader
	taken  int64 // bytes of lines that were yielded
	names  map[string]string
	began  bool
	err    error
}

// NewReader returns a reader of the events in r. It reads ahead.
func NewReader(r io.Reader) *Reader { return NewReaderLimit(r, MaxEvent) }

// NewReaderLimit returns a reader of events that are at most limit bytes as text,
// in place of [MaxEvent]: for feeds, whose first event is a whole list. What is
// read is scanned anew with each read of an event, so one should be rare.
func NewReaderLimit(r io.Reader, limit int) *Reader {
	lines := &lineEnds{r: r}
	return &Reader{
		lines:  lines,
		events: r3.NewEventStreamReader(lines, limit),
		names:  make(map[string]string),
	}
}

// Next returns the next event that has data, however empty. Comments, unknown
// fields and events without data are passed over, as the standard demands.
//
// The error is [io.EOF] when the stream ended between two events,
// [io.ErrUnexpectedEOF] when it ended inside one, [ErrTooLarge], or that of the
// underlying reader; it stays.
func (r *Reader) Next() (Event, error) {
	for r.err == nil {
		block, err := r.block()
		if err != nil {
			r.err = err
			break
		}
		if ev, ok := r.parse(block); ok {
			return ev, nil
		}
	}
	return Event{}, r.err
}

// block returns the lines of one event, without the blank line that ended it.
func (r *Reader) block() ([]byte, error) {
	block, err := r.events.ReadEvent()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, ErrTooLarge
	case err != nil:
		return nil, r.lines.end(err)
	}
	// At the end of the stream the splitter yields whatever is left. A whole
	// event is followed by the two bytes that ended it.
	r.taken += int64(len(block)) + 2
	if r.taken > r.lines.n {
		if len(bytes.Trim(block, "\n")) == 0 {
			return nil, r.lines.end(io.EOF)
		}
		return nil, r.lines.cut()
	}
	if !r.began {
		r.began = true
		block = bytes.TrimPrefix(block, []byte("\ufeff"))
	}
	return block, nil
}

// parse reads the fields of one event and reports whether it has data.
func (r *Reader) parse(block []byte) (Event, bool) {
	ev := Event{Name: "message"}
	hasData := false
	for len(block) > 0 {
		var line []byte
		line, block, _ = bytes.Cut(block, []byte("\n"))
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "data":
			if hasData {
				// Behind what was joined so far there is room for this line,
				// which stood further back in the same memory.
				ev.Data = append(append(ev.Data, '\n'), value...)
			} else {
				ev.Data, hasData = value, true
			}
		case "event":
			ev.Name = r.name(value)
		case "id":
			if id, err := strconv.ParseUint(string(value), 10, 64); err == nil {
				ev.ID, ev.HasID = id, true
			} else {
				ev.ID, ev.HasID = 0, false
			}
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				ev.Retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
	ev.Data = ev.Data[:len(ev.Data):len(ev.Data)]
	return ev, hasData
}

func (r *Reader) name(b []byte) string {
	if len(b) == 0 {
		return "message"
	}
	if s, ok := r.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(r.names) < maxNames {
		r.names[s] = s
	}
	return s
}

// lineEnds makes CR and CRLF into LF and remembers how the stream ended.
type lineEnds struct {
	r      io.Reader
	n      int64 // bytes given out
	wasCR  bool  // the last byte read was a CR, given out as LF
	reason error
}

func (l *lineEnds) Read(p []byte) (int, error) {
	if l.reason != nil {
		return 0, l.reason
	}
	n, err := l.r.Read(p)
	n = l.normalise(p[:n])
	l.n += int64(n)
	l.reason = err
	return n, err
}

// normalise works in place and returns the new length.
func (l *lineEnds) normalise(p []byte) int {
	if l.wasCR && len(p) > 0 && p[0] == '\n' {
		copy(p, p[1:])
		p = p[:len(p)-1]
		l.wasCR = false
	}
	if len(p) == 0 {
		return 0
	}
	l.wasCR = p[len(p)-1] == '\r'
	i := bytes.IndexByte(p, '\r')
	if i < 0 {
		return len(p)
	}
	out := i
	for ; i < len(p); i++ {
		c := p[i]
		if c == '\r' {
			c = '\n'
			if i+1 < len(p) && p[i+1] == '\n' {
				i++
			}
		}
		p[out] = c
		out++
	}
	return out
}

// end is the error of a stream that ended between two events; err is the
// splitter's, which hides some and adds others.
func (l *lineEnds) end(err error) error {
	if l.reason == nil {
		return err
	}
	return l.reason
}

// cut is the error of a stream that ended inside an event.
func (l *lineEnds) cut() error {
	if l.reason == nil || errors.Is(l.reason, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return l.reason
}
