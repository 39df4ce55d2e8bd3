// Package record writes and reads recordings of sessions: asciicast files.
package record

import (
	"errors"
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

// ErrLimit means that a recording has reached Options.MaxBytes; it was ended in order.
var ErrLimit = errors.New("the recording has reached its limit")

// Recorder writes one recording. It has one user at a time.
type Recorder struct{}

// Summary is a finished recording.
type Summary struct {
	File          string // name in the folder
	Size          int64  // bytes
	SHA256        string // of the file, hex
	Output, Input uint64 // bytes recorded
}

// Create begins the recording of a session.
func Create(o Options, h Header) (*Recorder, error) { return nil, errors.ErrUnsupported }

// Resume goes on with the recording that an earlier daemon began; fs.ErrNotExist
// when there is none.
func Resume(o Options, session string) (*Recorder, error) { return nil, errors.ErrUnsupported }

// File is the recording's name in its folder.
func (r *Recorder) File() string { return "" }

// Offset is how many bytes of the session's output are in the file for good:
// also a process that dies now has written them.
func (r *Recorder) Offset() uint64 { return 0 }

// Output records the next bytes of output.
func (r *Recorder) Output(p []byte, stderr bool) error { return errors.ErrUnsupported }

// Input records bytes typed by who.
func (r *Recorder) Input(p []byte) error { return errors.ErrUnsupported }

// Resize records the terminal's new size.
func (r *Recorder) Resize(cols, rows uint16) error { return errors.ErrUnsupported }

// Marker records a remark.
func (r *Recorder) Marker(text string) error { return errors.ErrUnsupported }

// Finish ends the recording.
func (r *Recorder) Finish(exit wire.Exit) (Summary, error) { return Summary{}, errors.ErrUnsupported }

// Close leaves the recording to be resumed.
func (r *Recorder) Close() error { return nil }
