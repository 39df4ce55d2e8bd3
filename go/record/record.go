package record

import (
	"errors"
	"hash"
	"time"

	"etcha/go/wire"
)

// Format is the version of asciicast.
type Format string

// Formats: https://docs.asciinema.org/manual/asciicast/v3/ and v2.
const (
	V3 Format = "v3"
	V2 Format = "v2"
)

// Options say where and how recordings are written.
type Options struct {
	Dir      string           // absolute; made when missing, 0700
	Format   Format           // empty: V3
	MaxBytes int64            // of one recording; 0: no limit
	Now      func() time.Time // nil: time.Now
}

// Header is what a recording begins with.
type Header struct {
	Session, Node, Source, User string
	Key, Subject, Addr          string // of the opener
	Title                       string
	Term                        string // terminal type; empty: no terminal
	Cols, Rows                  uint16
	Started                     time.Time
	Input                       bool // input is recorded too
}

// Errors of recordings.
var (
	// ErrLimit means that a recording has reached Options.MaxBytes; it was ended in order.
	ErrLimit = errors.New("the recording has reached its limit")
	// ErrBusy means that somebody else writes the recording.
	ErrBusy = errors.New("the recording is being written")
	// ErrDamaged means that a recording is not what its state file says.
	ErrDamaged = errors.New("the recording and its state do not fit together")
)

// Sizes.
const (
	// maxPiece is the bytes of one event. JSON makes up to six of each.
	maxPiece = 32 << 10
	// limitReserve is kept free below Options.MaxBytes for how a recording ends.
	limitReserve = 1 << 10
	// maxRemark bounds the text of a marker, bytes.
	maxRemark = 256
)

// Recorder writes one recording. It has one user at a time.
type Recorder struct {
	o      Options
	dir    string
	name   string
	format Format
	cast   file
	side   file
	sum    hash.Hash // of the first st.size bytes of cast
	st     state     // what both files hold

	anchor time.Time     // when elapsed was base; with the monotonic clock
	base   time.Duration // since the beginning
	broken error         // why nothing more can be written
}

// Summary is a finished recording.
type Summary struct {
	File          string // name in the folder
	Session       string // ID
	Size          int64  // bytes
	SHA256        string // of the file, hex
	Output, Input uint64 // bytes recorded
}

// File is the recording's name in its folder.
func (r *Recorder) File() string { return r.name }

// Offset is how many bytes of the session's output are in the file for good:
// also a process that dies now has written them.
func (r *Recorder) Offset() uint64 { return r.st.output }

// Output records the next bytes of output. After an error other than [ErrLimit]
// nothing of p is recorded, and it may be tried again.
func (r *Recorder) Output(p []byte, stderr bool) error {
	next, stream := r.st, streamOutput
	if stderr {
		stream = streamErrors
	}
	next.output += uint64(len(p))
	return r.put(r.text(&next, nil, 'o', stream, p), next)
}

// Input records bytes typed by who. Errors are as for [Recorder.Output].
func (r *Recorder) Input(p []byte) error {
	next := r.st
	next.input += uint64(len(p))
	return r.put(r.text(&next, nil, 'i', streamInput, p), next)
}

// Resize records the terminal's new size.
func (r *Recorder) Resize(cols, rows uint16) error {
	next := r.st
	if next.cols == cols && next.rows == rows {
		return nil
	}
	next.cols, next.rows = cols, rows
	return r.put(r.event(&next, nil, 'r', sizeText(cols, rows)), next)
}

// Marker records a remark, of which the first 256 bytes count.
func (r *Recorder) Marker(text string) error {
	next := r.st
	return r.put(r.event(&next, nil, 'm', text[:min(len(text), maxRemark)]), next)
}

// Gap records that the next n bytes of output are lost, and counts them in
// Offset.
func (r *Recorder) Gap(n uint64) error {
	next := r.st
	lines := r.flush(&next, nil)
	next.output += n
	next.missing += n
	return r.put(r.event(&next, lines, 'm', gapText(n)), next)
}

// Finish ends the recording: what it holds is on the disk when it returns. The
// summary is true even when there is an error, unless its File is empty.
func (r *Recorder) Finish(exit wire.Exit) (Summary, error) {
	if r.broken != nil {
		return Summary{}, r.broken
	}
	var err error
	if !r.st.finished {
		next := r.st
		lines := r.ending(&next, exit)
		next.finished = true
		err = r.commit(lines, next)
	}
	if r.broken != nil {
		return Summary{}, errors.Join(err, r.close())
	}
	s := r.summary()
	return s, errors.Join(err, r.cast.Sync(), removeState(r.dir, r.name), r.close(), syncDir(r.dir))
}

// ending is the last events.
func (r *Recorder) ending(next *state, exit wire.Exit) []byte {
	lines := r.flush(next, nil)
	if exit.Reason != wire.ReasonExited && exit.Reason != "" {
		lines = r.event(next, lines, 'm', "ended: "+string(exit.Reason))
	}
	if r.format == V2 {
		return r.event(next, lines, 'm', "exit status "+exitText(exit))
	}
	return r.event(next, lines, 'x', exitText(exit))
}

// Close leaves the recording to be resumed.
func (r *Recorder) Close() error {
	if r.cast == nil {
		return nil
	}
	return r.close()
}

func (r *Recorder) close() error {
	err := errors.Join(r.cast.Close(), r.side.Close())
	r.cast, r.side, r.broken = nil, nil, errClosed
	return err
}
