package cli

import (
	"bytes"
	"testing"
)

func TestTypeaheadKeepsOrder(t *testing.T) {
	q := newTypeahead()
	var want bytes.Buffer
	for i := range 20000 {
		want.Write(bytes.Repeat([]byte{byte(i)}, i%300))
	}
	done := make(chan []byte)
	go func() {
		var got, p []byte
		for len(got) < want.Len() {
			var ok bool
			if p, ok = q.take(p); !ok {
				t.Error("take ended")
				break
			}
			got = append(got, p...)
		}
		done <- got
	}()
	for rest := want.Bytes(); len(rest) > 0; {
		n := min(len(rest), 1+len(rest)%4096)
		if !q.put(rest[:n]) {
			t.Fatal("put refused")
		}
		rest = rest[n:]
	}
	if got := <-done; !bytes.Equal(got, want.Bytes()) {
		t.Errorf("took %d bytes that differ from the %d put", len(got), want.Len())
	}
}

func TestTypeaheadCloseWakesPut(t *testing.T) {
	q := newTypeahead()
	if !q.put(make([]byte, maxTypeahead)) {
		t.Fatal("put refused")
	}
	refused := make(chan bool)
	go func() { refused <- !q.put([]byte("more")) }()
	q.close()
	if !<-refused {
		t.Error("put succeeded after close")
	}
	if p, ok := q.take(nil); ok || len(p) > 0 {
		t.Errorf("take after close: %d bytes, %v", len(p), ok)
	}
}
