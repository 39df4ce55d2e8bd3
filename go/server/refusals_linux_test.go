package server

import (
	"context"
	"testing"
	"time"

	"etcha/go/audit"
	"etcha/go/wire"
)

// A key that is refused again and again has so many entries in a time, and then
// one that counts the others, whichever other key is refused meanwhile.
func TestRefusalsAreBounded(t *testing.T) {
	var told []audit.Entry
	var over []func()
	r := newRefusals(func(e audit.Entry) { told = append(told, e) })
	r.after = func(_ time.Duration, f func()) func() bool {
		over = append(over, f)
		return func() bool { return true }
	}
	refuse := func(key string, n int) (written int) {
		for range n {
			if r.take(key, "the key "+key) {
				written++
			}
		}
		return written
	}
	if got := refuse("a", refusalsEach+5); got != refusalsEach {
		t.Errorf("%d are written", got)
	}
	if got := refuse("b", 1); got != 1 {
		t.Errorf("of another key %d are written", got)
	}
	if len(told) != 0 {
		t.Errorf("told before the time is over: %v", told)
	}
	over[1]()
	over[0]()
	if len(told) != 1 || told[0].Event != audit.Refused || told[0].Key != "the key a" || told[0].Detail["refused"] != 5 {
		t.Errorf("told %+v", told)
	}
	if got := refuse("a", refusalsEach+1); got != refusalsEach {
		t.Errorf("in the next time %d are written", got)
	}
	r.flush()
	over[2]() // too late
	if len(told) != 2 || told[1].Detail["refused"] != 1 {
		t.Errorf("told %+v", told)
	}
}

// Whoever holds any key cannot fill the audit log with requests that are refused.
func TestRefusalsDoNotFillTheAuditLog(t *testing.T) {
	n := newNode(t)
	tok := n.sign(n.bob, n.claims("", "", wire.Shell{Op: wire.OpKill})) // not what the route has
	const all = refusalsEach + 20
	for range all {
		n.post(wire.PathSessions, tok).want(t, wire.CodeBadRequest)
	}
	if err := StopNode(context.Background(), n.config.Run.StateDir); err != nil {
		t.Fatal(err)
	}
	if err := n.wait(); err != nil {
		t.Fatal(err)
	}
	refused, more := 0, ""
	_, entries := n.entries("")
	for _, e := range entries {
		switch {
		case e.Event != audit.Refused:
		case e.Reason == "more":
			more = e.Detail["refused"].(interface{ String() string }).String()
		default:
			refused++
		}
	}
	if refused != refusalsEach || more != "20" {
		t.Errorf("%d refusals, and %q more; want %d and 20", refused, more, refusalsEach)
	}
}
