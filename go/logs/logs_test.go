package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/slogtest"
	"time"
	"unicode/utf8"
)

// secret shows how a type hides itself; its text must never be seen.
type secret string

func (secret) LogValue() slog.Value { return slog.StringValue("********") }

// marked is text by MarshalText alone, and its text is an attack.
type marked string

func (m marked) MarshalText() ([]byte, error) { return []byte(m), nil }

// broken panics as a nil pointer does.
type broken struct{ s string }

func (b *broken) MarshalText() ([]byte, error) { return []byte(b.s), nil }

var at = time.Date(2026, 3, 4, 5, 6, 7, 890e6, time.UTC)

// line is what a logger writes for a record, at a fixed time.
func line(t *testing.T, format string, color bool, level slog.Level, msg string, attrs ...slog.Attr) string {
	t.Helper()
	var b bytes.Buffer
	l, err := New(&b, format, "debug", color)
	if err != nil {
		t.Fatal(err)
	}
	r := slog.NewRecord(at, level, msg, 0)
	r.AddAttrs(attrs...)
	if err := l.Handler().Handle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormats(t *testing.T) {
	attrs := []slog.Attr{
		slog.String("source", "debug"), slog.Duration("duration", 90*time.Second), slog.Any("err", errors.New("no \"way\"")),
		slog.Group("peer", slog.Int("port", 1)), slog.Any("key", secret("canary")), slog.String("empty", ""),
		slog.Any("list", []secret{"canary"}[:0]), slog.Time("when", at), slog.Any("bytes", []byte("a b")),
		slog.Any("m", marked("x\x1b]0;y")), slog.Any("n", (*broken)(nil)), slog.Any("url", time.UTC),
	}
	for _, c := range []struct {
		name, format string
		color        bool
		level        slog.Level
		want         string
	}{
		{name: "human", format: FormatHuman, level: slog.LevelInfo, want: `Mar  4 05:06:07 INFO  session opened                   source=debug duration=1m30s err="no \"way\"" peer.port=1 key=******** empty="" list=[] when=2026-03-04T05:06:07.89Z bytes="a b" m="x\x1b]0;y" n=<nil> url=UTC` + "\n"},
		{name: "colour", format: FormatHuman, color: true, level: slog.LevelError, want: "\x1b[2mMar  4 05:06:07\x1b[0m \x1b[31mERROR\x1b[0m session opened                   \x1b[2msource=\x1b[0mdebug"},
		{name: "kv", format: FormatKV, level: slog.LevelWarn, want: `time=2026-03-04T05:06:07.890Z level=warn msg="session opened" source=debug duration=1m30s err="no \"way\"" peer.port=1 key=******** empty="" list=[] when=2026-03-04T05:06:07.890Z`},
		{name: "json", format: FormatJSON, level: slog.LevelDebug, want: `{"time":"2026-03-04T05:06:07.89Z","level":"debug","msg":"session opened","source":"debug","duration":90000000000,"err":"no \"way\"","peer":{"port":1},"key":"********","empty":"","list":[],"when":"2026-03-04T05:06:07.89Z"`},
		{name: "json is never coloured", format: FormatJSON, color: true, level: slog.LevelInfo, want: `{"time":"2026-03-04T05:06:07.89Z","level":"info"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := line(t, c.format, c.color, c.level, "session opened", attrs...); !strings.HasPrefix(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestHumanWithoutAttributes(t *testing.T) {
	if got, want := line(t, FormatHuman, false, slog.LevelWarn, "stopping"), "Mar  4 05:06:07 WARN  stopping\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	long := strings.Repeat("x", textColumns+1)
	if got := line(t, FormatHuman, false, slog.LevelWarn, long, slog.Int("a", 1)); !strings.HasSuffix(got, long+" a=1\n") {
		t.Errorf("got %q, want one space after a long message", got)
	}
}

// hostile is what may come from the other end of a connection.
var hostile = []string{
	"a\nMar  4 05:06:07 ERROR forged", "a\r\nlevel=error msg=forged", "\x1b[2J\x1b]0;title\a", "\x9b31m", "\u009b31m", "a\x00b", "\x7f\x7f",
	"\u202egnp.exe", "\u2028next", "\ufeff", "\U000e0001", "\xff\xfe", "k=v x=y", `"quoted"`, "\t", " ", "", "\u2066a\u2069",
}

// checkLine tells whether out is one line that drives no terminal.
func checkLine(out string) error {
	body, ok := strings.CutSuffix(out, "\n")
	if !ok {
		return errors.New("no line end")
	}
	if !utf8.ValidString(body) {
		return errors.New("not UTF-8")
	}
	for _, r := range body {
		if !strconv.IsPrint(r) {
			return fmt.Errorf("%U does not print", r)
		}
	}
	return nil
}

func TestNothingHostileLeaves(t *testing.T) {
	for _, format := range Formats() {
		for _, s := range hostile {
			out := line(t, format, false, slog.LevelInfo, s,
				slog.String("v", s), slog.String(s, "v"), slog.Any("err", errors.New(s)), slog.Any("bytes", []byte(s)),
				slog.Any("struct", struct{ S string }{s}), slog.Group(s, slog.String("k", s)), slog.Any("m", marked(s)))
			if err := checkLine(out); err != nil {
				t.Errorf("%s of %q: %v in %q", format, s, err, out)
			}
			if format == FormatJSON {
				checkJSON(t, out, s)
			}
		}
	}
}

// checkJSON expects that escaping changed nothing that a reader sees.
func checkJSON(t *testing.T, out, s string) {
	t.Helper()
	var v struct{ Msg, V string }
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Errorf("%q: %v", out, err)
	}
	if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && (v.Msg != want || v.V != want) {
		t.Errorf("message %q and value %q, want %q", v.Msg, v.V, want)
	}
}

func TestSecretsStayMasked(t *testing.T) {
	for _, format := range Formats() {
		var b bytes.Buffer
		l, err := New(&b, format, "debug", true)
		if err != nil {
			t.Fatal(err)
		}
		l = l.With("a", secret("canary")).WithGroup("g").With("b", secret("canary"))
		l.Info("m", "c", secret("canary"), slog.Group("h", "d", secret("canary")))
		if out := b.String(); strings.Contains(out, "canary") || strings.Count(out, "********") != 4 {
			t.Errorf("%s: %q, want four masked values", format, out)
		}
	}
}

func TestLevels(t *testing.T) {
	all := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	var b bytes.Buffer
	level, err := NewLevel("info")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range Formats() {
		l, err := NewDynamic(&b, format, level, false)
		if err != nil {
			t.Fatal(err)
		}
		for skipped, name := range Levels() {
			b.Reset()
			if err := level.Set(name); err != nil {
				t.Fatal(err)
			}
			for _, at := range all {
				l.Log(t.Context(), at, "m")
			}
			if got, want := strings.Count(b.String(), "\n"), len(all)-skipped; got != want {
				t.Errorf("%s at level %s: %d lines, want %d", format, name, got, want)
			}
		}
	}
}

func TestBadNames(t *testing.T) {
	for _, c := range []struct{ format, level, want string }{
		{"xml", "info", `log format "xml": not one of human, kv, json`},
		{"JSON", "info", `log format "JSON": write it in lower case`},
		{"kv", "verbose", `log level "verbose": not one of debug, info, warn, error, none`},
		{"kv", "Info", `log level "Info": write it in lower case`},
		{"kv", "", `log level "": not one of debug, info, warn, error, none`},
	} {
		if _, err := New(nil, c.format, c.level, false); err == nil || err.Error() != c.want {
			t.Errorf("format %q, level %q: error %v, want %s", c.format, c.level, err, c.want)
		}
	}
	level, err := NewLevel("warn")
	if err != nil {
		t.Fatal(err)
	}
	if err := level.Set("loud"); err == nil || level.Level() != slog.LevelWarn {
		t.Errorf("after a bad level: error %v, level %v, want an error and warn", err, level.Level())
	}
}

// TestHumanIsAHandler runs the standard library's rules for handlers.
func TestHumanIsAHandler(t *testing.T) {
	var b bytes.Buffer
	level, err := NewLevel("debug")
	if err != nil {
		t.Fatal(err)
	}
	slogtest.Run(t,
		func(*testing.T) slog.Handler {
			b.Reset()
			return newHuman(&b, level, false)
		},
		func(t *testing.T) map[string]any { return parseHuman(t, b.String()) })
}

// parseHuman reads a line of which no value has a blank in it.
func parseHuman(t *testing.T, s string) map[string]any {
	t.Helper()
	out := map[string]any{}
	s = strings.TrimSuffix(s, "\n")
	if _, err := time.Parse(humanTime, s[:min(len(s), len(humanTime))]); err == nil {
		out[slog.TimeKey] = s[:len(humanTime)]
		s = s[len(humanTime)+1:]
	}
	out[slog.LevelKey] = strings.TrimSpace(s[:levelColumns])
	var msg []string
	for _, word := range strings.Fields(s[levelColumns:]) {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			msg = append(msg, word)
			continue
		}
		at := out
		for {
			group, rest, ok := strings.Cut(key, ".")
			if !ok {
				break
			}
			if at[group] == nil {
				at[group] = map[string]any{}
			}
			at, key = at[group].(map[string]any), rest
		}
		at[key] = value
	}
	out[slog.MessageKey] = strings.Join(msg, " ")
	return out
}

// failing is a full disk.
type failing struct{}

var errDisk = errors.New("disk full")

func (failing) Write([]byte) (int, error) { return 0, errDisk }

func TestWriteErrorIsReturned(t *testing.T) {
	for _, format := range Formats() {
		for _, msg := range []string{"plain", "\x7f"} {
			l, err := New(failing{}, format, "info", false)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Handler().Handle(t.Context(), slog.NewRecord(at, slog.LevelInfo, msg, 0)); !errors.Is(err, errDisk) {
				t.Errorf("%s: error %v, want %v", format, err, errDisk)
			}
		}
	}
}

func TestConcurrentLinesStayWhole(t *testing.T) {
	var b bytes.Buffer
	l, err := New(&b, FormatHuman, "info", false)
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 50
	done := make(chan struct{})
	for w := range writers {
		go func() {
			defer func() { done <- struct{}{} }()
			child := l.With("w", w)
			for range each {
				child.Info("m", "k", "v")
			}
		}()
	}
	for range writers {
		<-done
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != writers*each {
		t.Fatalf("%d lines, want %d", len(lines), writers*each)
	}
	for _, s := range lines {
		if !strings.HasSuffix(s, " k=v") {
			t.Fatalf("line %q is not whole", s)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range hostile {
		f.Add(s, s, s)
	}
	f.Fuzz(func(t *testing.T, msg, key, value string) {
		for _, format := range Formats() {
			out := line(t, format, false, slog.LevelInfo, msg, slog.String(key, value), slog.Any("err", errors.New(value)))
			if err := checkLine(out); err != nil {
				t.Errorf("%s: %v in %q", format, err, out)
			}
			if format == FormatJSON && !json.Valid([]byte(out)) {
				t.Errorf("%q is not JSON", out)
			}
		}
	})
}
