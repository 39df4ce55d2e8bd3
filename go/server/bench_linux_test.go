package server

import (
	"net/http"
	"strings"
	"testing"

	"etcha/go/wire"
)

// BenchmarkRefused is what a guess costs the node, without the network.
func BenchmarkRefused(b *testing.B) {
	l := newLone(b)
	key := newPrivate(b, "ed25519", "mallory")
	l.alice = key
	tok := l.token("debug", wire.Shell{Op: wire.OpOpen}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if m := l.do(http.MethodPost, wire.PathShell("debug"), wire.TypeJWT, tok); m.status != http.StatusNotFound {
			b.Fatal(m.status)
		}
	}
}

// BenchmarkUnsigned is what junk costs.
func BenchmarkUnsigned(b *testing.B) {
	l := newLone(b)
	body := strings.Repeat("x", 2000)
	b.ReportAllocs()
	for b.Loop() {
		if m := l.do(http.MethodPost, wire.PathShell("debug"), wire.TypeJWT, body); m.status != http.StatusNotFound {
			b.Fatal(m.status)
		}
	}
}

// BenchmarkKey is one key typed and acknowledged: signed, sent over HTTP/2,
// verified, given to the program, and answered.
func BenchmarkKey(b *testing.B) {
	n := newNode(b)
	s := n.open(n.h2, n.alice, "debug", "/bin/sh -c 'cat >/dev/null'")
	var offset uint64
	b.ReportAllocs()
	for b.Loop() {
		if r := s.input(offset, "x"); r.status != http.StatusOK {
			b.Fatalf("%d %s", r.status, r.body)
		}
		offset++
	}
	s.finish()
}
