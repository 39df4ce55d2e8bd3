package record

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// ExportFormat is what a recording can be turned into.
type ExportFormat string

// Formats of [Export].
const (
	ExportV3   ExportFormat = "v3"
	ExportV2   ExportFormat = "v2"
	ExportText ExportFormat = "txt" // what was on the screen as lines, without control sequences
	ExportRaw  ExportFormat = "raw" // output as it was, with all control sequences
)

// ExportFormats is the names of all.
func ExportFormats() []string {
	return []string{string(ExportV3), string(ExportV2), string(ExportText), string(ExportRaw)}
}

// Export turns a recording into another format. A recording whose last line is
// cut off is written up to there, and the error is io.ErrUnexpectedEOF.
func Export(w io.Writer, r io.Reader, f ExportFormat) error {
	d, err := NewReader(r)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(w, batchSize)
	one, end, err := exporter(buffered, d.Meta(), f)
	if err != nil {
		return err
	}
	var e Event
	for err == nil {
		if e, err = d.Next(); err == nil {
			err = one(e)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	end()
	return errors.Join(err, buffered.Flush())
}

// exporter is what is done with each event, and at the end.
func exporter(w *bufio.Writer, m Meta, f ExportFormat) (one func(Event) error, end func(), err error) {
	none := func() {}
	switch f {
	case ExportV3, ExportV2:
		one, err = exportCast(w, m, Format(f))
		return one, none, err
	case ExportRaw:
		return func(e Event) error {
			if e.Code != Output {
				return nil
			}
			_, err := w.WriteString(e.Data)
			return err
		}, none, nil
	case ExportText:
		one, end = exportText(w)
		return one, end, nil
	}
	return nil, nil, fmt.Errorf("format %q is none of %s", f, strings.Join(ExportFormats(), ", "))
}

// exportCast writes the header and gives what writes events.
func exportCast(w *bufio.Writer, m Meta, f Format) (func(Event) error, error) {
	header, err := m.encode(f)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(header); err != nil {
		return nil, err
	}
	var last time.Duration
	var line []byte
	return func(e Event) error {
		at := e.Time
		if f == V3 {
			at, last = at-last, at
		}
		if f == V2 && e.Code == Exit {
			e.Code, e.Data = Marker, "exit status "+e.Data
		}
		line = appendEvent(line[:0], at, string(e.Code), []byte(e.Data))
		_, err := w.Write(line)
		return err
	}, nil
}

// exportText writes lines. Their ends have no blanks; errors of w stay in it.
func exportText(w *bufio.Writer) (one func(Event) error, end func()) {
	text := plain{done: func(line []rune) {
		_, _ = w.WriteString(strings.TrimRightFunc(string(line), unicode.IsSpace)) // Flush has the error
		_ = w.WriteByte('\n')
	}}
	return func(e Event) error {
		if e.Code == Output {
			text.feed(e.Data)
		}
		return nil
	}, text.end
}
