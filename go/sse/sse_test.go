package sse_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"etcha/go/sse"
	"etcha/go/wire"
)

func TestLimitEqualsProtocol(t *testing.T) {
	if sse.MaxFrame != wire.MaxFrame {
		t.Fatalf("MaxFrame %d, protocol says %d", sse.MaxFrame, wire.MaxFrame)
	}
}

// event is an Event whose data outlives the next call.
type event struct {
	name  string
	id    uint64
	hasID bool
	data  string
	retry time.Duration
}

func readAll(r io.Reader) (all []event, err error) {
	for reader := sse.NewReader(r); ; {
		ev, err := reader.Next()
		if err != nil {
			return all, err
		}
		all = append(all, event{ev.Name, ev.ID, ev.HasID, string(ev.Data), ev.Retry})
	}
}

func TestReader(t *testing.T) {
	msg := func(data ...string) (all []event) {
		for _, d := range data {
			all = append(all, event{name: "message", data: d})
		}
		return all
	}
	tests := []struct {
		name, in string
		want     []event
		err      error
	}{
		{"empty stream", "", nil, io.EOF},
		{"all fields", "event: output\nid: 42\nretry: 250\ndata: YQ==\n\n", []event{{"output", 42, true, "YQ==", 250 * time.Millisecond}}, io.EOF},
		{"any order", "data:x\nid:7\nevent:e\n\n", []event{{"e", 7, true, "x", 0}}, io.EOF},
		{"one space is removed", "data:  x \n\n", msg(" x "), io.EOF},
		{"lines are joined", "data: a\ndata:\ndata: b\ndata\n\n", msg("a\n\nb\n"), io.EOF},
		{"first line without a colon", "data\ndata: b\n\n", msg("\nb"), io.EOF},
		{"empty data", "event: e\ndata:\n\n", []event{{name: "e"}}, io.EOF},
		{"data without a colon", "data\n\n", msg(""), io.EOF},
		{"empty name", "event:\ndata: x\n\n", msg("x"), io.EOF},
		{"last name counts", "event: a\nevent: b\ndata: x\n\n", []event{{name: "b", data: "x"}}, io.EOF},
		{"no data, no event", "event: e\nid: 1\n\ndata: x\n\n", msg("x"), io.EOF},
		{"name and id do not carry over", "event: e\nid: 1\ndata: a\n\ndata: b\n\n", []event{{"e", 1, true, "a", 0}, {name: "message", data: "b"}}, io.EOF},
		{"comments", ": hello\n\n:\n: more\ndata: x\n: inside\ndata: y\n\n", msg("x\ny"), io.EOF},
		{"unknown fields", "pad: 000\ndata: x\ndatum: z\n Data: q\n\n", msg("x"), io.EOF},
		{"CR", "data: a\rdata: b\r\rdata: c\r\r", msg("a\nb", "c"), io.EOF},
		{"CRLF", "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", msg("a\nb", "c"), io.EOF},
		{"mixed line ends", "data: a\r\n\rdata: b\n\r\ndata: c\r\r\ndata: d\n\n", msg("a", "b", "c", "d"), io.EOF},
		{"blank lines between", "\n\n\ndata: a\n\n\n\r\n\r\rdata: b\n\n\n", msg("a", "b"), io.EOF},
		{"byte order mark", "\ufeffdata: a\n\n\ufeffdata: b\n\ndata: c\n\n", msg("a", "c"), io.EOF},
		{"id 0", "id: 0\ndata: x\n\n", []event{{"message", 0, true, "x", 0}}, io.EOF},
		{"largest id", "id: 18446744073709551615\ndata: x\n\n", []event{{"message", math.MaxUint64, true, "x", 0}}, io.EOF},
		{"id beyond", "id: 18446744073709551616\ndata: x\n\n", msg("x"), io.EOF},
		{"id is no number", "id: -1\ndata: x\n\nid: a\ndata: y\n\nid:\ndata: z\n\n", msg("x", "y", "z"), io.EOF},
		{"retry is no number", "retry: 1s\ndata: x\n\n", msg("x"), io.EOF},
		{"cut in a field", "data: a\n\ndat", msg("a"), io.ErrUnexpectedEOF},
		{"cut before the blank line", "data: a\n\ndata: b\n", msg("a"), io.ErrUnexpectedEOF},
		{"cut without any line end", "data: a", nil, io.ErrUnexpectedEOF},
		{"NUL", "data: \x00\n\n", msg("\x00"), io.EOF},
		{"largest event", "data: " + strings.Repeat("x", sse.MaxEvent-8) + "\n\n", msg(strings.Repeat("x", sse.MaxEvent-8)), io.EOF},
		{"too large", "data: a\n\ndata: " + strings.Repeat("x", sse.MaxEvent) + "\n\n", msg("a"), sse.ErrTooLarge},
	}
	for _, tt := range tests {
		for how, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "by byte": iotest.OneByteReader,
			"halves": iotest.HalfReader, "end with data": iotest.DataErrReader,
		} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				got, err := readAll(wrap(strings.NewReader(tt.in)))
				if !errors.Is(err, tt.err) {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				if !equal(got, tt.want) {
					t.Errorf("got %+v\nwant %+v", got, tt.want)
				}
			})
		}
	}
}

func equal(a, b []event) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestReaderKeepsItsError(t *testing.T) {
	broken := errors.New("connection reset")
	r := sse.NewReader(io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(broken)))
	if ev, err := r.Next(); err != nil || string(ev.Data) != "a" {
		t.Fatalf("first event: %q, %v", ev.Data, err)
	}
	for range 3 {
		if ev, err := r.Next(); !errors.Is(err, broken) || ev.Data != nil {
			t.Fatalf("after the break: %q, %v", ev.Data, err)
		}
	}
}

func TestReaderBetweenEventsReportsTheCause(t *testing.T) {
	broken := errors.New("connection reset")
	_, err := readAll(io.MultiReader(strings.NewReader("data: a\n\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Fatalf("error %v", err)
	}
}

// A reader that never yields anything is an error, not an endless loop.
func TestReaderNoProgress(t *testing.T) {
	_, err := readAll(idle{})
	if !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("error %v", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// Memory is bounded however long an event is: the reader gives up at its limit.
func TestReaderStopsAtItsLimit(t *testing.T) {
	endless := &counter{}
	if _, err := sse.NewReader(endless).Next(); !errors.Is(err, sse.ErrTooLarge) {
		t.Fatalf("error %v", err)
	}
	if endless.n > 2*sse.MaxEvent {
		t.Fatalf("read %d bytes of an endless event", endless.n)
	}
}

type counter struct{ n int }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	c.n += len(p)
	return len(p), nil
}

func TestWriterText(t *testing.T) {
	var out bytes.Buffer
	flushes := 0
	w := sse.NewWriter(&out, func() error { flushes++; return nil })
	must(t, w.Event("session", sse.NoID, []byte(`{"a":1}`)))
	must(t, w.Output("output", 3, []byte("abc")))
	must(t, w.Event("keepalive", sse.NoID, nil))
	if out.Len() != 0 || flushes != 0 {
		t.Fatal("written before Flush")
	}
	must(t, w.Flush())
	want := "event: session\ndata: {\"a\":1}\n\nevent: output\nid: 3\ndata: YWJj\n\nevent: keepalive\ndata: \n\n"
	if out.String() != want {
		t.Errorf("wrote %q\nwant  %q", out.String(), want)
	}
	must(t, w.Flush())
	if flushes != 1 {
		t.Errorf("%d flushes, the second had nothing to send", flushes)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWriterSplitsOutput(t *testing.T) {
	var out bytes.Buffer
	w := sse.NewWriter(&out, nil)
	raw := bytes.Repeat([]byte("0123456789"), 2000)
	must(t, w.Output("output", 50_000, raw))
	must(t, w.Flush())
	got, err := readAll(&out)
	if !errors.Is(err, io.EOF) || len(got) != 3 {
		t.Fatalf("%d events, %v", len(got), err)
	}
	var all []byte
	for i, ev := range got {
		p, err := base64.StdEncoding.Strict().DecodeString(ev.data)
		must(t, err)
		all = append(all, p...)
		if want := 50_000 - uint64(len(raw)-len(all)); ev.id != want || len(p) > sse.MaxFrame {
			t.Errorf("event %d: id %d, want %d; %d bytes", i, ev.id, want, len(p))
		}
	}
	if !bytes.Equal(all, raw) {
		t.Error("output differs")
	}
}

func TestWriterNothing(t *testing.T) {
	var out bytes.Buffer
	w := sse.NewWriter(&out, func() error { return errors.New("flushed") })
	must(t, w.Output("output", 9, nil))
	must(t, w.Flush())
	if out.Len() != 0 {
		t.Errorf("wrote %q for no output", out.String())
	}
}

func TestWriterLargeBurst(t *testing.T) {
	writes := &chunks{}
	w := sse.NewWriter(writes, nil)
	raw := make([]byte, 1<<20)
	must(t, w.Output("output", 1<<20, raw))
	must(t, w.Flush())
	if writes.largest > 64<<10 {
		t.Errorf("buffered %d bytes before a write", writes.largest)
	}
	if writes.n < 4*len(raw)/3 {
		t.Errorf("wrote %d bytes", writes.n)
	}
}

type chunks struct{ n, largest int }

func (c *chunks) Write(p []byte) (int, error) {
	c.n += len(p)
	c.largest = max(c.largest, len(p))
	return len(p), nil
}

func TestWriterErrorsStay(t *testing.T) {
	broken := errors.New("broken pipe")
	tests := []struct {
		name string
		w    io.Writer
		f    func() error
		want error
	}{
		{"write", failing{broken}, nil, broken},
		{"flush", io.Discard, func() error { return broken }, broken},
		{"short write", short{}, nil, io.ErrShortWrite},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := sse.NewWriter(tt.w, tt.f)
			must(t, w.Event("e", sse.NoID, []byte("x")))
			for range 2 {
				if err := w.Flush(); !errors.Is(err, tt.want) {
					t.Errorf("Flush: %v", err)
				}
			}
			if err := w.Event("e", sse.NoID, nil); !errors.Is(err, tt.want) {
				t.Errorf("Event: %v", err)
			}
			if err := w.Output("e", 1, []byte("x")); !errors.Is(err, tt.want) {
				t.Errorf("Output: %v", err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

type short struct{}

func (short) Write(p []byte) (int, error) { return len(p) - 1, nil }

func TestWriterRefusesNames(t *testing.T) {
	for _, name := range []string{"", "a\nb", "a\rb", "a\x00"} {
		w := sse.NewWriter(io.Discard, nil)
		if err := w.Event(name, sse.NoID, nil); !errors.Is(err, sse.ErrName) {
			t.Errorf("Event(%q): %v", name, err)
		}
	}
}

func TestWriterDoesNotAllocatePerFrame(t *testing.T) {
	w := sse.NewWriter(io.Discard, func() error { return nil })
	raw := make([]byte, 4096)
	id := uint64(0)
	frame := func() {
		id += uint64(len(raw))
		_ = w.Output("output", id, raw)
		_ = w.Flush()
	}
	frame()
	if n := testing.AllocsPerRun(100, frame); n != 0 {
		t.Errorf("%v allocations per output frame", n)
	}
}

// An idle stream must not keep the buffer of the burst before.
func TestWriterGivesItsBufferBack(t *testing.T) {
	w := sse.NewWriter(io.Discard, nil)
	raw := make([]byte, 64<<10)
	keepalive := func() {
		_ = w.Event("keepalive", sse.NoID, []byte("x"))
		_ = w.Flush()
	}
	must(t, w.Output("output", 1, raw))
	must(t, w.Flush())
	for range 20 {
		keepalive()
	}
	if c := w.BufferCap(); c > 4<<10 {
		t.Errorf("an idle stream keeps %d bytes", c)
	}
	if n := testing.AllocsPerRun(100, keepalive); n != 0 {
		t.Errorf("%v allocations per keepalive", n)
	}
}
