package client

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"etcha/go/token"
	"etcha/go/wire"
)

// Small requests are equally long, whatever they do and whatever the offsets.
func TestSmallRequestsAreEquallyLong(t *testing.T) {
	key, _, err := token.NewConfirm()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSeal(key)
	if err != nil {
		t.Fatal(err)
	}
	claims := wire.Claims{
		Audience: wire.Audience{"SHA256:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq"}, IssuedAt: 1_700_000_000,
		NotBefore: 1_700_000_000, Expires: 1_700_000_005,
	}
	rapid.Check(t, func(t *rapid.T) {
		claims := claims
		claims.Source, claims.Session = rapid.StringN(1, 80, 200).Draw(t, "source"), "s"
		offset := rapid.Uint64()
		want := 0
		for _, sh := range []wire.Shell{
			{Op: wire.OpInput, Data: bytes.Repeat([]byte{0xff}, rapid.IntRange(1, keyMax).Draw(t, "size"))},
			{Op: wire.OpInput, Data: []byte("x"), Offset: offset.Draw(t, "offset"), Ack: offset.Draw(t, "ack")},
			{Op: wire.OpInput, Decoy: true, Ack: offset.Draw(t, "ack")},
			{Op: wire.OpAck, Ack: offset.Draw(t, "ack")},
			{Op: wire.OpSignal, Signal: "WINCH", Seq: offset.Draw(t, "seq"), Ack: offset.Draw(t, "ack")},
			{Op: wire.OpResize, Cols: 65535, Rows: 65535, Seq: offset.Draw(t, "seq"), Ack: offset.Draw(t, "ack")},
		} {
			claims.Shell = &sh
			tok, err := s.sign(claims)
			if err != nil {
				t.Fatal(err)
			}
			if want == 0 {
				want = len(tok)
			}
			if len(tok) != want {
				t.Fatalf("%+v is %d bytes long, others are %d", sh, len(tok), want)
			}
		}
	})
}

// Beats are whole beats apart, whenever keys are struck, and decoys end between
// one and three seconds after the last one.
func TestBeats(t *testing.T) {
	start := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		var r rhythm
		r.hide(wire.ObscureInterval, start)
		if at := start.Sub(r.origin); at < 0 || at >= wire.Beat {
			t.Fatalf("a beat %s before the start", at)
		}
		now := start
		for range 20 {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(5*wire.Beat)).Draw(t, "pause")))
			if rapid.Bool().Draw(t, "key") {
				r.struck(rapid.IntRange(1, 1<<20).Draw(t, "bytes"), now)
				if left := r.until.Sub(now); left < wire.DecoyMin || left >= wire.DecoyMax || !r.lively(now) || r.lively(r.until) {
					t.Fatalf("decoys for %s after a key", left)
				}
			}
			pause := r.pause(now)
			if pause <= 0 || pause > wire.Beat || now.Add(pause).Sub(r.origin)%wire.Beat != 0 {
				t.Fatalf("a beat %s after %s", pause, now.Sub(r.origin))
			}
		}
	})
}

// What is pasted needs no decoys, nor does a session that hides nothing.
func TestWhatIsHidden(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		mode  wire.Obscure
		bytes int
		want  bool
	}{
		{wire.ObscureChaff, 1, true},
		{wire.ObscureChaff, keyMax, true},
		{wire.ObscureChaff, keyMax + 1, false},
		{wire.ObscureInterval, 1, true},
		{wire.ObscureInterval, 1 << 20, true},
		{wire.ObscureOff, 1, false},
		{"", 1, false},
		{"another", 1, false},
	} {
		var r rhythm
		r.hide(c.mode, now)
		r.struck(c.bytes, now)
		if got := r.lively(now); got != c.want {
			t.Errorf("%q, %d bytes: %v", c.mode, c.bytes, got)
		}
	}
}

// crowded is a session with so many requests under way, and a key to be sent.
func crowded(t *testing.T, mode wire.Obscure, senders int) (*Session, time.Time) {
	t.Helper()
	now := time.Now()
	s := &Session{in: newInput(0)}
	s.rhythm.hide(mode, now)
	s.rhythm.struck(1, now)
	put(t, s.in, 1)
	s.in.senders = senders
	return s, now
}

// Decoys leave the places to keys; on a beat without a place neither leaves.
func TestFullHouse(t *testing.T) {
	s, now := crowded(t, wire.ObscureChaff, maxBesides+1)
	if on := s.chaff(now); !on || s.in.decoys != 0 {
		t.Errorf("chaff: on %v, %d decoys", on, s.in.decoys)
	}
	s, now = crowded(t, wire.ObscureInterval, maxFlying)
	if on := s.onBeat(now); !on || s.in.decoys != 0 || s.in.unsent != 1 {
		t.Errorf("interval: on %v, %d decoys, %d bytes wait", on, s.in.decoys, s.in.unsent)
	}
}
