package keeper

import (
	"testing"

	"etcha/go/wire"
)

// TestLastWords applies what a daemon sent before it went, also when the keeper
// found out first, in vain telling it something.
func TestLastWords(t *testing.T) {
	k, srv := inProcess(t, nil)
	r := piped(t, "words", "exec cat")
	s := start(t, k, r)
	h, err := srv.find("words")
	if err != nil {
		t.Fatal(err)
	}
	h.in.mu.Lock() // what comes now waits in the socket
	if _, err := s.Input(testContext(t), 0, patternAt(0, 1000), false); err != nil {
		t.Fatal(err)
	}
	// Answers to these cannot be sent any more either.
	for id, o := range []op{opAttached, opMeta, opResize} {
		body := map[op][]byte{opResize: appendResize(nil, 1, 80, 24), opMeta: []byte("last")}[o]
		if err := s.c.send(o, 0, uint32(1000+id), body, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.c.send(opEnd, 0, 2000, []byte(wire.ReasonIdle), nil); err != nil {
		t.Fatal(err)
	}
	s.c.close()
	<-s.Lost()
	h.mu.Lock()
	h.poke() // the daemon is gone: it fails
	h.mu.Unlock()
	h.in.mu.Unlock()
	ctx := testContext(t)
	select {
	case <-h.gone:
	case <-ctx.Done():
		t.Fatal("the end was not heard")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if accepted := h.ring.h.accepted.Load(); accepted != 1000 || h.reason != wire.ReasonIdle || string(h.meta) != "last" || h.seq != 1 {
		t.Errorf("%d bytes, reason %q, record %q, control %d", accepted, h.reason, h.meta, h.seq)
	}
}
