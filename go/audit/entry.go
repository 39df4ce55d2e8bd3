package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// timeFormat is RFC 3339 with milliseconds, in UTC.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// hashLen is the length of a hash as text.
const hashLen = 43

// hashOf is the hash of a line without its newline.
func hashOf(line []byte) string {
	sum := sha256.Sum256(line)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func isHash(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// lineJSON is the line's shape, in the line's order.
type lineJSON struct {
	Seq     uint64          `json:"seq"`
	Time    string          `json:"time"`
	Prev    string          `json:"prev"`
	Event   Event           `json:"event"`
	Session string          `json:"session,omitempty"`
	Source  string          `json:"source,omitempty"`
	Key     string          `json:"key,omitempty"`
	Subject string          `json:"sub,omitempty"`
	Addr    string          `json:"addr,omitempty"`
	User    string          `json:"user,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Detail  json.RawMessage `json:"detail,omitempty"`
}

// encode gives the line with its newline.
func (j lineJSON) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(j)
	return b.Bytes(), err
}

// bounded gives the entry's line, in which Seq, Time and Prev are still to be
// set, with texts so short that it holds at most MaxEntry bytes.
func bounded(e Entry) (lineJSON, error) {
	for limit := maxText; ; limit /= 2 {
		j, err := shortened(e, limit)
		if err != nil {
			return lineJSON{}, err
		}
		widest := j
		widest.Seq, widest.Time, widest.Prev = maxSeq, timeFormat, strings.Repeat("x", hashLen)
		b, err := widest.encode()
		if err != nil {
			return lineJSON{}, err
		}
		if len(b)-1 <= MaxEntry {
			return j, nil
		}
		if limit < 64 { // many values rather than long ones
			e.Detail = map[string]any{"shortened": true}
		}
	}
}

func shortened(e Entry, limit int) (lineJSON, error) {
	cut := func(s string) string { return shorten(s, limit) }
	j := lineJSON{
		Event: Event(cut(string(e.Event))), Session: cut(e.Session), Source: cut(e.Source), Key: cut(e.Key),
		Subject: cut(e.Subject), Addr: cut(e.Addr), User: cut(e.User), Reason: cut(e.Reason),
	}
	if len(e.Detail) == 0 {
		return j, nil
	}
	// Through JSON first: then only its own kinds are left to be shortened.
	whole, err := json.Marshal(e.Detail)
	if err != nil {
		return j, fmt.Errorf("detail: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(whole))
	dec.UseNumber()
	var plain map[string]any
	if err := dec.Decode(&plain); err != nil {
		return j, fmt.Errorf("detail: %w", err)
	}
	j.Detail, err = json.Marshal(shortenValue(plain, limit))
	return j, err
}

func shortenValue(v any, limit int) any {
	switch v := v.(type) {
	case string:
		return shorten(v, limit)
	case []any:
		for i := range v {
			v[i] = shortenValue(v[i], limit)
		}
		return v
	case map[string]any:
		short := make(map[string]any, len(v))
		for name, value := range v {
			short[shorten(name, limit)] = shortenValue(value, limit)
		}
		return short
	default:
		return v
	}
}

// shorten cuts s to at most limit bytes, between two characters.
func shorten(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}

var errNotEntry = errors.New("not an entry")

// decode reads a line without its newline. Members that it does not know are
// let be: a later version may write them, and the hash covers them.
func decode(line []byte) (Entry, error) {
	var e Entry
	if len(line) > MaxEntry {
		return e, fmt.Errorf("%w: %d bytes", errNotEntry, len(line))
	}
	if len(line) == 0 || line[0] != '{' {
		return e, errNotEntry
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&e); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", errNotEntry, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Entry{}, fmt.Errorf("%w: more after it", errNotEntry)
	}
	if e.Seq < 1 || e.Seq > maxSeq || e.Event == "" {
		return Entry{}, fmt.Errorf("%w: no number or no event", errNotEntry)
	}
	return e, nil
}

// stamp is the time as the log keeps it.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
