package sse_test

import (
	"bytes"
	"strings"
	"testing"

	"etcha/go/sse"
)

func TestPad(t *testing.T) {
	const step = 256
	for size := range 600 {
		var stream bytes.Buffer
		w := sse.NewWriter(&stream, nil)
		w.Pad(step) // nothing to pad
		must(t, w.Output("output", 7, bytes.Repeat([]byte{'x'}, max(size, 1))))
		if size%2 == 0 {
			must(t, w.Event("keepalive", sse.NoID, []byte(strings.Repeat("y", size))))
		}
		w.Pad(step)
		must(t, w.Flush())
		if stream.Len()%step != 0 || stream.Len() > (size*4+100)/step*step+2*step {
			t.Fatalf("%d bytes were sent for %d", stream.Len(), size)
		}
		r := sse.NewReader(&stream)
		ev, err := r.Next()
		must(t, err)
		if ev.Name != "output" || ev.ID != 7 || len(ev.Data) != (max(size, 1)+2)/3*4 {
			t.Fatalf("size %d: %s %d, %d bytes", size, ev.Name, ev.ID, len(ev.Data))
		}
	}
	var stream bytes.Buffer
	w := sse.NewWriter(&stream, nil)
	must(t, w.Output("output", 1<<20, make([]byte, 100_000))) // part of it is written before
	w.Pad(step)
	must(t, w.Flush())
	if stream.Len()%step != 0 {
		t.Errorf("a burst has %d bytes", stream.Len())
	}
}
