package logs

import (
	"context"
	"encoding"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Columns of the format human.
const (
	humanTime    = "Jan _2 15:04:05" // the journal and syslog write it so
	levelColumns = 5
	textColumns  = 32 // messages are padded to it when attributes follow
)

// Colours, as parameters of the terminal's SGR sequence.
const (
	colorReset = "\x1b[0m"
	colorFaint = "\x1b[2m"
)

// human writes "time LEVEL message  key=value…".
type human struct {
	mu    *sync.Mutex // shared by every handler made from one
	w     io.Writer
	level slog.Leveler
	color bool

	attrs  []byte // formatted attributes of WithAttrs, each with a space before it
	prefix string // open groups, "a.b."
}

func newHuman(w io.Writer, level slog.Leveler, color bool) *human {
	return &human{mu: new(sync.Mutex), w: w, level: level, color: color}
}

// Enabled implements [slog.Handler].
func (h *human) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// WithAttrs implements [slog.Handler].
func (h *human) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append([]byte(nil), h.attrs...)
	for _, a := range attrs {
		c.attrs = c.appendAttr(c.attrs, c.prefix, a)
	}
	return &c
}

// WithGroup implements [slog.Handler].
func (h *human) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.prefix += name + "."
	return &c
}

// Handle implements [slog.Handler].
func (h *human) Handle(_ context.Context, r slog.Record) error {
	b := make([]byte, 0, 256)
	if !r.Time.IsZero() {
		b = h.paint(b, colorFaint, r.Time.Format(humanTime))
		b = append(b, ' ')
	}
	b = h.paint(b, levelColor(r.Level), fmt.Sprintf("%-*s", levelColumns, r.Level))
	b = append(b, ' ')
	start := len(b)
	b = appendPrintable(b, r.Message)
	used := len(b) - start
	attrs := h.attrs[:len(h.attrs):len(h.attrs)]
	r.Attrs(func(a slog.Attr) bool {
		attrs = h.appendAttr(attrs, h.prefix, a)
		return true
	})
	if len(attrs) > 0 {
		for ; used < textColumns; used++ {
			b = append(b, ' ')
		}
		b = append(b, attrs...)
	}
	b = append(b, '\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.w.Write(b)
	return err
}

// paint appends s, in a colour when colours were asked for.
func (h *human) paint(b []byte, color, s string) []byte {
	if !h.color {
		return append(b, s...)
	}
	b = append(b, color...)
	b = append(b, s...)
	return append(b, colorReset...)
}

// appendAttr appends " key=value", for a group each of its attributes.
func (h *human) appendAttr(b []byte, prefix string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return b
	}
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, m := range v.Group() {
			b = h.appendAttr(b, prefix, m)
		}
		return b
	}
	b = append(b, ' ')
	b = h.paint(b, colorFaint, string(appendWord(nil, prefix+a.Key))+"=")
	return appendWord(b, valueText(v))
}

// valueText is v as text, before anything in it is escaped.
func valueText(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		return anyText(v.Any())
	default:
		return v.String()
	}
}

// anyText prefers a type's own text form, which is also where secrets are
// masked. An error or a Stringer on a nil pointer is left to fmt, which
// survives its panic.
func anyText(x any) string {
	switch x := x.(type) {
	case error, fmt.Stringer:
		return fmt.Sprint(x)
	case encoding.TextMarshaler:
		if t, err := marshal(x); err == nil {
			return t
		}
	case []byte:
		return string(x)
	}
	return fmt.Sprintf("%+v", x)
}

// marshal is x's text; an x that panics is an error.
func marshal(x encoding.TextMarshaler) (text string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("text of %T: %v", x, r)
		}
	}()
	b, err := x.MarshalText()
	return string(b), err
}

func levelColor(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "\x1b[31m"
	case l >= slog.LevelWarn:
		return "\x1b[33m"
	case l >= slog.LevelInfo:
		return "\x1b[32m"
	default:
		return "\x1b[36m"
	}
}
