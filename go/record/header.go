package record

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"time"
)

// The size of the screen that a session without a terminal is shown on.
const (
	defaultCols = 80
	defaultRows = 24
)

// castHeader is the first line of a recording, of both versions. What is not
// named here is ignored, as the format asks for.
type castHeader struct {
	Version   int               `json:"version"`
	Term      *castTerm         `json:"term,omitempty"`   // v3
	Width     int               `json:"width,omitempty"`  // v2
	Height    int               `json:"height,omitempty"` // v2
	Timestamp int64             `json:"timestamp,omitempty"`
	Title     string            `json:"title,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
	Etcha     *castEtcha        `json:"etcha,omitempty"`
}

type castTerm struct {
	Cols int    `json:"cols"`
	Rows int    `json:"rows"`
	Type string `json:"type,omitempty"`
}

// castEtcha is what only our recordings have.
type castEtcha struct {
	Session string `json:"session"`
	Node    string `json:"node"`
	Source  string `json:"source"`
	User    string `json:"user"`
	Key     string `json:"key"`
	Subject string `json:"subject,omitempty"`
	Addr    string `json:"addr,omitempty"`
	Input   bool   `json:"input,omitempty"`
	// Terminal is whether the session had one: without it lines end with a line
	// feed alone.
	Terminal bool `json:"terminal"`
}

// Meta is what a recording says of itself.
type Meta struct {
	Header
	Format Format
	// Pipes is true of a session without a terminal: its lines end with a line
	// feed alone.
	Pipes bool
}

// encode is the first line of a recording of format f.
func (m Meta) encode(f Format) ([]byte, error) {
	cols, rows := int(cmp.Or(m.Cols, defaultCols)), int(cmp.Or(m.Rows, defaultRows))
	h := castHeader{Timestamp: m.Started.Unix(), Title: m.Title}
	switch f {
	case V3:
		h.Version, h.Term = 3, &castTerm{Cols: cols, Rows: rows, Type: m.Term}
	case V2:
		h.Version, h.Width, h.Height = 2, cols, rows
		if m.Term != "" {
			h.Env = map[string]string{"TERM": m.Term}
		}
	default:
		return nil, fmt.Errorf("format %q of recordings is neither v3 nor v2", f)
	}
	if m.Started.IsZero() {
		h.Timestamp = 0
	}
	if m.Session != "" {
		h.Etcha = &castEtcha{
			Session: m.Session, Node: m.Node, Source: m.Source, User: m.User, Key: m.Key,
			Subject: m.Subject, Addr: m.Addr, Input: m.Input, Terminal: !m.Pipes,
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(h); err != nil {
		return nil, fmt.Errorf("encode the header of a recording: %w", err)
	}
	return escapeControls(b.Bytes()), nil
}

// decodeHeader reads the first line of a recording.
func decodeHeader(line []byte) (Meta, error) {
	var h castHeader
	if err := json.Unmarshal(line, &h); err != nil {
		return Meta{}, fmt.Errorf("not an asciicast: %w", err)
	}
	m := Meta{Header: Header{Title: h.Title}}
	cols, rows := h.Width, h.Height
	switch {
	case h.Version == 2:
		m.Format, m.Term = V2, h.Env["TERM"]
	case h.Version == 3 && h.Term != nil:
		m.Format, m.Term = V3, h.Term.Type
		cols, rows = h.Term.Cols, h.Term.Rows
	default:
		return Meta{}, fmt.Errorf("not an asciicast of version 2 or 3 (version %d)", h.Version)
	}
	if cols < 0 || cols > 0xffff || rows < 0 || rows > 0xffff {
		return Meta{}, fmt.Errorf("not an asciicast: a terminal of %d × %d", cols, rows)
	}
	cols, rows = cmp.Or(cols, defaultCols), cmp.Or(rows, defaultRows) // asciinema writes 0 for a terminal that has no size
	m.Cols, m.Rows = uint16(cols), uint16(rows)
	if h.Timestamp != 0 {
		m.Started = time.Unix(h.Timestamp, 0)
	}
	if e := h.Etcha; e != nil {
		m.Session, m.Node, m.Source, m.User = e.Session, e.Node, e.Source, e.User
		m.Key, m.Subject, m.Addr, m.Input, m.Pipes = e.Key, e.Subject, e.Addr, e.Input, !e.Terminal
	}
	return m, nil
}
