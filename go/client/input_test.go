package client

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"etcha/go/token"
	"etcha/go/wire"
)

// put queues bytes without blocking.
func put(t testing.TB, in *input, n int) {
	t.Helper()
	for n > 0 {
		k, err := in.add(make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		n -= k
	}
}

func expired() error { return &RefusedError{Problem: wire.Problem{Code: wire.CodeExpired}} }

// On a slow line the bytes under way shrink until a token arrives in time, and
// grow again when the line is quick.
func TestFlightFollowsTheLine(t *testing.T) {
	now := time.Unix(1_000, 0)
	in := newInput(0)
	put(t, in, maxWaiting)
	for in.flight > minFlight {
		before := in.flight
		c := in.take(now)
		if c == nil || len(c.data) > max(before/4, minPiece) {
			t.Fatalf("a chunk of %d bytes with a flight of %d", len(c.data), before)
		}
		now = now.Add(wire.MaxTokenLife)
		in.refused(c, expired(), now)
		now = now.Add(time.Second)
		if in.flight != max(before/2, minFlight) {
			t.Fatalf("flight %d after %d", in.flight, before)
		}
	}
	var flying []*chunk
	for c := in.take(now); c != nil; c = in.take(now) {
		flying = append(flying, c)
	}
	if len(flying) != 1 || len(flying[0].data) != minPiece {
		t.Fatalf("%d chunks under way, the first of %d bytes", len(flying), len(flying[0].data))
	}
	for accepted := uint64(0); in.flight < maxFlight; {
		if len(flying) == 0 {
			if in.unsent == 0 {
				put(t, in, wire.MaxInput)
			}
			flying = append(flying, in.take(now))
		}
		c := flying[0]
		flying = flying[1:]
		now = now.Add(10 * time.Millisecond)
		accepted = c.end()
		in.answered(c, wire.Answer{Offset: accepted, Room: wire.InputWindow}, now)
	}
	if in.inFlight != 0 {
		t.Errorf("%d bytes under way after all was answered", in.inFlight)
	}
}

// Requests that were under way together shrink the flight once.
func TestFlightShrinksOnceForAllTogether(t *testing.T) {
	now := time.Unix(1_000, 0)
	in := newInput(0)
	put(t, in, maxWaiting)
	var flying []*chunk
	for c := in.take(now); c != nil; c = in.take(now) {
		flying = append(flying, c)
	}
	if len(flying) < 4 {
		t.Fatalf("%d chunks under way", len(flying))
	}
	for _, c := range flying {
		in.refused(c, expired(), now.Add(wire.MaxTokenLife))
	}
	if in.flight != firstFlight/2 {
		t.Errorf("flight %d", in.flight)
	}
}

// Slow answers shrink it too, before tokens expire.
func TestFlightShrinksWhenAnswersAreSlow(t *testing.T) {
	now := time.Unix(1_000, 0)
	in := newInput(0)
	put(t, in, wire.MaxInput)
	c := in.take(now)
	in.answered(c, wire.Answer{Offset: c.end(), Room: wire.InputWindow}, now.Add(slowAnswer+1))
	if in.flight != firstFlight/2 {
		t.Errorf("flight %d", in.flight)
	}
}

// Room is told in different ways; the client must neither stall nor run ahead.
func TestRoom(t *testing.T) {
	const window = wire.InputWindow
	in := newInput(0)
	in.learn(window, 0) // claims more than was sent
	if in.accepted != 0 || in.limit != window {
		t.Fatalf("accepted %d, limit %d", in.accepted, in.limit)
	}
	in.next = window
	in.learn(window/2, window/2)
	in.drained(wire.InputState{Offset: window / 4, Room: window / 4}) // of all that is sent
	if in.limit != window {
		t.Errorf("limit %d before the answers", in.limit)
	}
	in.learn(window, 0)
	if in.limit != window+window/4 {
		t.Errorf("limit %d after the answers", in.limit)
	}
	in.drained(wire.InputState{Offset: 0, Room: window}) // an old event
	if in.limit != window+window/4 {
		t.Errorf("limit %d after an old event", in.limit)
	}
	at, room := uint64(window), uint64(10)
	in.wanted(wire.Problem{Offset: &at, Room: &room})
	if in.limit != window+10 {
		t.Errorf("limit %d after a refusal", in.limit)
	}
	at = 5
	in.wanted(wire.Problem{Offset: &at, Room: &room}) // an old one
	in.wanted(wire.Problem{})
	if in.limit != window+10 {
		t.Errorf("limit %d after an old refusal", in.limit)
	}
}

// Small room is not used up by small pieces while more is about to be told.
func TestNoSmallPieces(t *testing.T) {
	now := time.Unix(1_000, 0)
	in := newInput(0)
	in.limit, in.room = minPiece+10, 0
	put(t, in, minPiece)
	first := in.take(now)
	put(t, in, minPiece)
	if c := in.take(now); c != nil {
		t.Fatalf("a piece of %d bytes while another is under way", len(c.data))
	}
	in.answered(first, wire.Answer{Offset: minPiece, Room: 10}, now)
	if c := in.take(now); c == nil || len(c.data) != 10 {
		t.Fatal("nothing is sent although nothing else is under way")
	}
}

// Nothing is sent beyond the limit, also when the limit came down.
func TestNothingBeyondTheLimit(t *testing.T) {
	in := newInput(0)
	put(t, in, wire.MaxInput)
	in.limit, in.room, in.flight = 0, 0, minFlight
	in.chunks[0].offset = 10
	if c := in.take(time.Unix(1_000, 0)); c != nil {
		t.Fatalf("sent from %d to %d", c.offset, c.end())
	}
}

// After the end nothing is sent, whatever answers still come in.
func TestInputAfterItsEnd(t *testing.T) {
	now := time.Unix(1_000, 0)
	in := newInput(0)
	put(t, in, 100)
	c := in.take(now)
	put(t, in, 100)
	in.fail(ErrEnded)
	in.fail(errors.New("later"))
	in.refused(c, expired(), now)
	in.answered(c, wire.Answer{Offset: 50, Room: 50}, now)
	if in.take(now) != nil || in.more() || in.stuck() {
		t.Error("something is to be sent")
	}
	if _, err := in.add([]byte("x")); !errors.Is(err, ErrEnded) {
		t.Errorf("add: %v", err)
	}
	if err := in.closeWrite(); !errors.Is(err, ErrEnded) {
		t.Errorf("close: %v", err)
	}
}

// Whatever is answered in whatever order, the chunks stay in order and without
// gaps, and the counts are right.
func TestInputInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := newInput(rapid.Uint64Range(0, 1<<40).Draw(t, "offset"))
		now := time.Unix(1_000, 0)
		var flying []*chunk
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				if in.unsent < maxWaiting && !in.eof {
					_, _ = in.add(make([]byte, rapid.IntRange(1, wire.MaxInput).Draw(t, "n")))
				}
			},
			"close": func(*rapid.T) { _ = in.closeWrite() },
			"take": func(*rapid.T) {
				if c := in.take(now); c != nil {
					flying = append(flying, c)
					if c.end() > in.limit {
						t.Fatalf("sent up to %d, the limit is %d", c.end(), in.limit)
					}
				}
			},
			"answer": func(t *rapid.T) {
				if len(flying) == 0 {
					return
				}
				i := rapid.IntRange(0, len(flying)-1).Draw(t, "which")
				c := flying[i]
				flying = append(flying[:i], flying[i+1:]...)
				now = now.Add(time.Duration(rapid.IntRange(0, 5_000).Draw(t, "ms")) * time.Millisecond)
				switch at := in.accepted + rapid.Uint64Range(0, in.next-in.accepted).Draw(t, "accepted"); rapid.IntRange(0, 3).Draw(t, "how") {
				case 0:
					in.refused(c, errors.New("cut"), now)
				case 1:
					room := rapid.Uint64Range(0, wire.InputWindow).Draw(t, "room")
					in.refused(c, &RefusedError{Problem: wire.Problem{Code: wire.CodeOffset, Offset: &at, Room: &room}}, now)
				case 2:
					in.refused(c, expired(), now)
				default:
					in.answered(c, wire.Answer{Offset: at, Room: rapid.Uint64Range(0, wire.InputWindow).Draw(t, "room")}, now)
				}
			},
			"event": func(t *rapid.T) {
				in.drained(wire.InputState{Offset: rapid.Uint64Range(0, in.accepted).Draw(t, "written"), Room: rapid.Uint64Range(0, wire.InputWindow).Draw(t, "room")})
			},
			"": func(t *rapid.T) { checkInput(t, in, flying) },
		})
	})
}

// inFlightState is flying, where a variable has that name.
const inFlightState = flying

func checkInput(t *rapid.T, in *input, flying []*chunk) {
	unsent, inFlight := 0, 0
	for i, c := range in.chunks {
		if i > 0 && c.offset != in.chunks[i-1].end() {
			t.Fatalf("chunk %d begins at %d, the one before ends at %d", i, c.offset, in.chunks[i-1].end())
		}
		if c.state == waiting {
			unsent += len(c.data)
		}
		if c.eof && i != len(in.chunks)-1 {
			t.Fatalf("the end is in chunk %d of %d", i, len(in.chunks))
		}
		if len(c.data) > wire.MaxInput {
			t.Fatalf("a chunk of %d bytes", len(c.data))
		}
	}
	for _, c := range flying {
		inFlight += len(c.data)
		if c.state != inFlightState {
			t.Fatalf("a chunk under way is in state %d", c.state)
		}
	}
	if n := len(in.chunks); n > 0 && in.chunks[n-1].end() != in.next || n > 0 && in.chunks[0].offset > in.accepted {
		t.Fatalf("chunks from %d to %d, accepted %d, next %d", in.chunks[0].offset, in.chunks[n-1].end(), in.accepted, in.next)
	}
	if len(in.chunks) == 0 && in.accepted != in.next {
		t.Fatalf("nothing is kept, accepted %d of %d", in.accepted, in.next)
	}
	if unsent != in.unsent || inFlight != in.inFlight {
		t.Fatalf("unsent %d, counted %d; under way %d, counted %d", unsent, in.unsent, inFlight, in.inFlight)
	}
}

// The arithmetic of padding must agree with what encoding/json and the key make.
func TestPadding(t *testing.T) {
	key, _, err := token.NewConfirm()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSeal(key)
	if err != nil {
		t.Fatal(err)
	}
	odd := -1
	rapid.Check(t, func(t *rapid.T) {
		claims := wire.Claims{
			Audience: wire.Audience{"SHA256:x+/<"}, IssuedAt: 1_700_000_000, NotBefore: 1_700_000_000, Expires: 1_700_000_005,
			Source: rapid.String().Draw(t, "source"), Session: "s",
			Shell: &wire.Shell{
				Op: wire.OpInput, Offset: rapid.Uint64().Draw(t, "offset"), Ack: rapid.Uint64().Draw(t, "ack"),
				Data: bytes.Repeat([]byte{0xfb}, rapid.IntRange(0, 3000).Draw(t, "size")),
			},
		}
		tok, err := s.sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		if odd < 0 {
			odd = len(tok) % wire.PadStep
		}
		if len(tok)%wire.PadStep != odd || odd > 1 {
			t.Fatalf("a token of %d bytes, others are %d above a step", len(tok), odd)
		}
		payload, _, err := token.Verify([]byte(tok), wire.TypeRequest, []token.PublicKey{key.Public()})
		if err != nil {
			t.Fatal(err)
		}
		got, err := token.DecodeClaims(payload)
		if err != nil || got.Pad == "" || !bytes.Equal(got.Shell.Data, claims.Shell.Data) {
			t.Fatalf("claims %+v, %v", got, err)
		}
	})
}
