package record

import (
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"etcha/go/wire"
)

// errClosed is for a recorder after Finish or Close.
var errClosed = fmt.Errorf("recording: %w", fs.ErrClosed)

// file is what a recorder needs of its files.
type file interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// put writes lines unless the recording would grow beyond its limit, with which
// it ends.
func (r *Recorder) put(lines []byte, next state) error {
	switch limit := r.o.MaxBytes; {
	case r.broken != nil:
		return r.broken
	case r.st.limited || r.st.finished:
		return ErrLimit
	case limit > 0 && r.st.size+int64(len(lines)) > limit-limitReserve:
		return r.limit()
	}
	if err := r.room(len(lines)); err != nil {
		return r.failed(err)
	}
	return r.commit(lines, next)
}

// limit ends the recording at its limit.
func (r *Recorder) limit() error {
	next := r.st
	lines := r.flush(&next, nil)
	lines = r.event(&next, lines, 'm', fmt.Sprintf("the recording ends here: it has reached its limit of %d bytes", r.o.MaxBytes))
	next.limited = true
	if err := r.commit(lines, next); err != nil {
		return err
	}
	return ErrLimit
}

// commit writes lines and the state that they lead to. After an error both are
// as they were, or the recorder is broken.
func (r *Recorder) commit(lines []byte, next state) error {
	if r.broken != nil {
		return r.broken
	}
	before, err := r.sum.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return r.failed(err)
	}
	if len(lines) > 0 {
		if _, err := r.cast.WriteAt(lines, r.st.size); err != nil {
			return errors.Join(r.failed(err), r.rollback(before))
		}
		r.sum.Write(lines)
	}
	next.size += int64(len(lines))
	next.seq++
	r.sum.Sum(next.digest[:0])
	if _, err := r.side.WriteAt(next.encode(), next.place()); err != nil {
		return errors.Join(r.failed(err), r.rollback(before))
	}
	r.st = next
	return nil
}

func (r *Recorder) failed(err error) error { return fmt.Errorf("record to %s: %w", r.name, err) }

// rollback makes files and hash what r.st says.
func (r *Recorder) rollback(sum []byte) error {
	err := r.cast.Truncate(r.st.size)
	if err == nil {
		err = r.sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(sum)
	}
	if err == nil {
		return nil
	}
	r.broken = r.failed(err)
	return r.broken
}

// text appends the events of p: as many as its size needs, none when it is only
// the beginning of a character.
func (r *Recorder) text(next *state, b []byte, code byte, stream int, p []byte) []byte {
	for len(p) > 0 {
		piece := p[:min(len(p), maxPiece)]
		p = p[len(piece):]
		if text := next.held[stream].take(piece); len(text) > 0 {
			b = r.line(next, b, code, text)
		}
	}
	return b
}

// flush appends what was held back: its rest will not come.
func (r *Recorder) flush(next *state, b []byte) []byte {
	for stream := range next.held {
		code := byte('o')
		if stream == streamInput {
			code = 'i'
		}
		if rest := next.held[stream].rest(); len(rest) > 0 {
			b = r.line(next, b, code, rest)
		}
	}
	return b
}

func (r *Recorder) event(next *state, b []byte, code byte, text string) []byte {
	return r.line(next, b, code, []byte(text))
}

// line appends one event at the present time.
func (r *Recorder) line(next *state, b []byte, code byte, text []byte) []byte {
	at := max(r.elapsed(), next.last)
	stamp := at
	if r.format == V3 {
		stamp -= next.last
	}
	next.last = at
	return appendEvent(b, stamp, string(code), text)
}

// elapsed is the time since the recording began. Times are written in whole
// microseconds, so that intervals add up.
func (r *Recorder) elapsed() time.Duration {
	return (r.base + r.o.Now().Sub(r.anchor)).Truncate(time.Microsecond)
}

func (r *Recorder) summary() Summary {
	_, _, session, _ := parseName(r.name)
	return Summary{
		File: r.name, Session: session, Size: r.st.size, SHA256: hex.EncodeToString(r.st.digest[:]),
		Output: r.st.output - r.st.missing, Input: r.st.input,
	}
}

func sizeText(cols, rows uint16) string { return fmt.Sprintf("%dx%d", cols, rows) }

func gapText(n uint64) string { return fmt.Sprintf("%d bytes of output are missing here", n) }

func exitText(exit wire.Exit) string { return strconv.Itoa(exit.Code) }
