package logs

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// Formats of a log line.
const (
	FormatHuman = "human" // short and aligned, for people
	FormatKV    = "kv"    // logfmt
	FormatJSON  = "json"  // one object per line
)

// Formats lists what [New] takes as a format.
func Formats() []string { return []string{FormatHuman, FormatKV, FormatJSON} }

// New makes a logger that writes to w, each record with one Write of one line.
// Colour is for the format human alone. The error names a format or a level that
// does not exist, and those that do.
func New(w io.Writer, format, level string, color bool) (*slog.Logger, error) {
	l, err := NewLevel(level)
	if err != nil {
		return nil, err
	}
	return NewDynamic(w, format, l, color)
}

// NewDynamic is [New] with a level that may be changed later.
func NewDynamic(w io.Writer, format string, level *Level, color bool) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: lowerLevel}
	switch format {
	case FormatHuman:
		return slog.New(newHuman(w, level, color)), nil
	case FormatKV:
		return slog.New(slog.NewTextHandler(printable{w}, opts)), nil
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(printable{w}, opts)), nil
	}
	return nil, oneOf("log format", format, Formats())
}

// lowerLevel writes a record's level as the configuration does.
func lowerLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		if l, ok := a.Value.Any().(slog.Level); ok {
			a.Value = slog.StringValue(strings.ToLower(l.String()))
		}
	}
	return a
}

func oneOf(what, got string, known []string) error {
	if slices.Contains(known, strings.ToLower(got)) {
		return fmt.Errorf("%s %q: write it in lower case", what, got)
	}
	return fmt.Errorf("%s %q: not one of %s", what, got, strings.Join(known, ", "))
}
