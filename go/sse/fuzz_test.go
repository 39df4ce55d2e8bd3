package sse_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"etcha/go/sse"
)

// What is written is read back, however the stream is cut into reads.
func FuzzRoundTrip(f *testing.F) {
	f.Add("output", uint64(5), []byte("hello"), []byte("text\nmore"), true)
	f.Add("", uint64(0), []byte{}, []byte("\r\n\r\r\n"), false)
	f.Add("x: y", uint64(1<<63), bytes.Repeat([]byte{0xff}, 9000), []byte("\n\ndata: evil\n\n"), true)
	f.Fuzz(func(t *testing.T, name string, id uint64, raw, text []byte, byByte bool) {
		if len(raw) > 4*sse.MaxFrame || len(text) > 2*sse.MaxFrame || len(name) > 100 || strings.Count(string(text), "\n")+strings.Count(string(text), "\r") > 4000 {
			return
		}
		var stream bytes.Buffer
		w := sse.NewWriter(&stream, nil)
		err := errors.Join(w.Event(name, sse.NoID, text), w.Output(name, id, raw), w.Flush())
		if valid := name != "" && !strings.ContainsAny(name, "\r\n\x00"); (err == nil) != valid {
			t.Fatalf("writing %q: %v", name, err)
		} else if !valid {
			return
		}
		var r io.Reader = &stream
		if byByte {
			r = iotest.OneByteReader(r)
		}
		events, err := readAll(r)
		if !errors.Is(err, io.EOF) || len(events) == 0 {
			t.Fatalf("%d events, then %v", len(events), err)
		}
		lines := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(text))
		if first := events[0]; first.data != lines || first.name != name || first.hasID {
			t.Fatalf("event %+v, wrote %q %q", first, name, lines)
		}
		checkOutput(t, events[1:], id, raw)
	})
}

func checkOutput(t *testing.T, events []event, id uint64, raw []byte) {
	t.Helper()
	var got []byte
	for _, ev := range events {
		p, err := base64.StdEncoding.Strict().DecodeString(ev.data)
		if err != nil || len(p) == 0 || len(p) > sse.MaxFrame {
			t.Fatalf("frame of %d bytes: %v", len(p), err)
		}
		got = append(got, p...)
		// An id that wraps around to NoID cannot be written; offsets never get there.
		if want := id - uint64(len(raw)-len(got)); want != sse.NoID && (!ev.hasID || ev.id != want) {
			t.Fatalf("id %d, want %d", ev.id, want)
		}
	}
	if !bytes.Equal(got, raw) {
		t.Fatalf("read %d bytes of output, wrote %d", len(got), len(raw))
	}
}

// The reader against a plain implementation of the standard: same events, same
// end; and it never panics and never yields more than its limit.
func FuzzReader(f *testing.F) {
	f.Add([]byte("event: a\ndata: b\nid: 1\n\n"), byte(1))
	f.Add([]byte("\xef\xbb\xbfdata: b\r\rdata\r\n\r\n:\n\n"), byte(0))
	f.Add([]byte("data: a\r\n\rdata: b"), byte(2))
	f.Add([]byte("\n\n\n\ndata:\n\n\n"), byte(3))
	f.Fuzz(func(t *testing.T, in []byte, how byte) {
		if len(in) >= sse.MaxEvent {
			return // TestReader has the limit
		}
		var r io.Reader = bytes.NewReader(in)
		switch how % 4 {
		case 1:
			r = iotest.OneByteReader(r)
		case 2:
			r = iotest.HalfReader(r)
		case 3:
			r = iotest.DataErrReader(r)
		}
		got, err := readAll(r)
		want, whole := plain(string(in))
		if len(got) != len(want) {
			t.Fatalf("%d events, want %d of %q", len(got), len(want), in)
		}
		for i := range got {
			if got[i].name != want[i].name || got[i].data != want[i].data {
				t.Fatalf("event %d: %+v, want %+v of %q", i, got[i], want[i], in)
			}
		}
		if errors.Is(err, io.EOF) != whole || !whole && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("end %v, whole %v, of %q", err, whole, in)
		}
	})
}

// plain follows the standard's text line by line.
func plain(in string) (all []event, whole bool) {
	in = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(in)
	in = strings.TrimPrefix(in, "\ufeff")
	lines := strings.Split(in, "\n")
	ev, hasData := event{name: "message"}, false
	pending := false
	for i, line := range lines {
		if i == len(lines)-1 {
			return all, line == "" && !pending
		}
		pending = line != ""
		if line == "" {
			if hasData {
				all = append(all, ev)
			}
			ev, hasData = event{name: "message"}, false
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "data":
			if hasData {
				ev.data += "\n"
			}
			ev.data, hasData = ev.data+value, true
		case "event":
			ev.name = value
			if value == "" {
				ev.name = "message"
			}
		}
	}
	return all, true
}
