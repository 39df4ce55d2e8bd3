package keeper

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"etcha/go/pty"
	"etcha/go/wire"
)

// TestStateStrict refuses what no keeper of a known version wrote.
func TestStateStrict(t *testing.T) {
	good := sampleState()
	b, err := good.encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeState(b); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*keeperState){
		"descriptor twice": func(s *keeperState) { s.Listener = s.Lock },
		"stderr":           func(s *keeperState) { s.Lock = 2 },
		"session twice":    func(s *keeperState) { s.Sessions = append(s.Sessions, s.Sessions[0]); s.Sessions[1].Ring = 99 },
		"name":             func(s *keeperState) { s.Sessions[0].ID = "../x" },
		"queue":            func(s *keeperState) { s.Sessions[0].Queue = nil },
		"offsets":          func(s *keeperState) { s.Sessions[0].Written = 100 },
		"window":           func(s *keeperState) { s.Sessions[0].Window = wire.MaxWindow + 1 },
		"program":          func(s *keeperState) { s.Sessions[0].Process.PID++ },
	} {
		st := sampleState()
		change(&st)
		bad, err := st.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeState(bad); !errors.Is(err, errState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string][]byte{
		"cut": b[:len(b)-1], "more": append(slices.Clone(b), '1'), "magic": b[1:], "nothing": nil,
		"version": append(append([]byte(stateMagic), 2, 0, 0, 0), b[stateHeader:]...),
		"field":   bytes.Replace(b, []byte(`"eof"`), []byte(`"eox"`), 1),
	} {
		if _, err := decodeState(bad); !errors.Is(err, errState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func sampleState() keeperState {
	return keeperState{Lock: 3, Listener: 4, Sessions: []sessionState{{
		ID: "x", PID: 77, Window: 1, Ring: 5, Accepted: 9, Written: 7, Queue: []byte("ab"), Started: time.Unix(1, 0).UTC(),
		Process: &pty.ProcessState{PID: 77, Session: "x", In: 6, Out: 7, Err: -1},
	}}}
}

func FuzzState(f *testing.F) {
	b, err := sampleState().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(stateMagic + "\x01\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := decodeState(b)
		if err != nil {
			if !errors.Is(err, errState) {
				t.Fatal(err)
			}
			return
		}
		again, err := st.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeState(again); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
	})
}
