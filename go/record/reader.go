package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is read.
const (
	// MaxLine is the longest line of a recording, bytes.
	MaxLine = 1 << 20
	// maxTime is the longest recording.
	maxTime = 10 * 365 * 24 * time.Hour
)

// Code says what an event is.
type Code string

// Codes of events. Readers pass over others.
const (
	Output Code = "o"
	Input  Code = "i"
	Marker Code = "m"
	Resize Code = "r" // data: COLSxROWS
	Exit   Code = "x" // data: the exit status; v3
)

// Event is something that happened in a session.
type Event struct {
	Time time.Duration // since the beginning; never less than that of the one before
	Code Code
	Data string // UTF-8
}

// Reader reads a recording of version 2 or 3. It is strict: what is not an event
// is an error. A last line that is cut off, as of a recording that is still being
// written, is io.ErrUnexpectedEOF.
type Reader struct {
	r    *bufio.Reader
	meta Meta
	last time.Duration
	line int // of the event read last, from 1

	timesOnly bool // codes and data are passed over unread
}

// NewReader reads the beginning of a recording.
func NewReader(r io.Reader) (*Reader, error) {
	d := &Reader{r: bufio.NewReaderSize(r, 64<<10)}
	line, err := d.next()
	if err == nil {
		d.meta, err = decodeHeader(line)
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("not an asciicast: %w", io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Meta is what the recording says of itself.
func (d *Reader) Meta() Meta { return d.meta }

// Next is the next event; io.EOF after the last one.
func (d *Reader) Next() (Event, error) {
	for {
		line, err := d.next()
		if err != nil {
			return Event{}, err
		}
		if d.meta.Format == V3 && bytes.HasPrefix(line, []byte("#")) {
			continue
		}
		e, err := d.decode(line)
		if err != nil {
			if !bytes.HasSuffix(line, []byte("\n")) {
				err = io.ErrUnexpectedEOF
			}
			return Event{}, fmt.Errorf("line %d of the recording: %w", d.line, err)
		}
		return e, nil
	}
}

// next is the next line, with its end where it has one.
func (d *Reader) next() ([]byte, error) {
	d.line++
	var long []byte
	for {
		part, err := d.r.ReadSlice('\n')
		if len(long)+len(part) > MaxLine {
			return nil, fmt.Errorf("line %d of the recording is longer than %d bytes", d.line, MaxLine)
		}
		switch {
		case err == nil && long == nil:
			return part, nil
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part...)
		case err == nil || errors.Is(err, io.EOF) && len(long)+len(part) > 0:
			return append(long, part...), nil
		default:
			return nil, err
		}
	}
}

// decode reads the line of an event.
func (d *Reader) decode(line []byte) (Event, error) {
	parts, err := split(line)
	if err != nil {
		return Event{}, err
	}
	at, err := seconds(parts[0])
	if err != nil {
		return Event{}, err
	}
	if d.meta.Format == V3 {
		at += d.last
	}
	if at > maxTime {
		return Event{}, errors.New("a time that is too long")
	}
	e := Event{Time: max(at, d.last)}
	d.last = e.Time
	if d.timesOnly {
		return e, nil
	}
	if err := json.Unmarshal(parts[1], (*string)(&e.Code)); err != nil {
		return Event{}, err
	}
	return e, json.Unmarshal(parts[2], &e.Data)
}

var errShape = errors.New("an event is a time and two strings: [time, \"code\", \"data\"]")

// split finds the parts of an event, without looking into the strings.
func split(line []byte) (parts [3][]byte, err error) {
	rest := line
	for i, before := range []byte("[,,") {
		if rest = bytes.TrimLeft(rest, " \t\r"); len(rest) == 0 || rest[0] != before {
			return parts, errShape
		}
		rest = bytes.TrimLeft(rest[1:], " \t\r")
		n := bytes.IndexAny(rest, ", \t\r")
		if i > 0 {
			n = stringEnd(rest)
		}
		if n < 0 {
			return parts, errShape
		}
		parts[i], rest = rest[:n], rest[n:]
	}
	if string(bytes.Trim(rest, " \t\r\n")) != "]" {
		return parts, errShape
	}
	return parts, nil
}

// stringEnd is the length of the JSON string that b begins with; -1 when there
// is none.
func stringEnd(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return -1
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// seconds reads a time, to the microsecond.
func seconds(b []byte) (time.Duration, error) {
	s, err := strconv.ParseFloat(string(b), 64)
	if err != nil || len(bytes.Trim(b, "0123456789.eE+-")) > 0 || !(s >= 0 && s <= maxTime.Seconds()) {
		return 0, fmt.Errorf("%.40q is no time", b)
	}
	return time.Duration(math.Round(s*1e6)) * time.Microsecond, nil
}

// ParseSize reads the data of a [Resize].
func ParseSize(data string) (cols, rows uint16, ok bool) {
	c, r, ok := strings.Cut(data, "x")
	if !ok {
		return 0, 0, false
	}
	cols64, err1 := strconv.ParseUint(c, 10, 16)
	rows64, err2 := strconv.ParseUint(r, 10, 16)
	return uint16(cols64), uint16(rows64), err1 == nil && err2 == nil && cols64 > 0 && rows64 > 0
}
