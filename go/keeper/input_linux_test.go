package keeper

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"etcha/go/wire"
)

func patternAt(from uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = pattern(from + uint64(i))
	}
	return b
}

// TestInputOffsets sends pieces of a stream twice, overlapping and too early;
// the program gets each byte once and in order.
func TestInputOffsets(t *testing.T) {
	k, _ := inProcess(t, nil)
	var count atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		s, err := k.Start(testContext(t), piped(t, fmt.Sprintf("offsets%d", count.Add(1)), "exec cat"))
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Release()
		var accepted uint64
		eof := false
		input := func(offset uint64, n int, end bool) {
			st, err := s.Input(context.Background(), offset, patternAt(offset, n), end)
			last := offset + uint64(n)
			switch {
			case offset > accepted:
				if !errors.Is(err, ErrGap) {
					rt.Fatalf("a gap at %d of %d: %v", offset, accepted, err)
				}
			case eof && last > accepted, end && !eof && last < accepted:
				if !errors.Is(err, ErrInputClosed) {
					rt.Fatalf("input to %d after the end at %d: %v", last, accepted, err)
				}
			case err != nil:
				rt.Fatalf("input at %d: %v", offset, err)
			default:
				accepted = max(accepted, last)
				eof = eof || end
			}
			if st.Accepted != accepted || st.Room != wire.InputWindow-(st.Accepted-st.Written) {
				rt.Fatalf("state %+v, accepted %d", st, accepted)
			}
		}
		for range rapid.IntRange(1, 30).Draw(rt, "pieces") {
			offset := rapid.Uint64Range(accepted-min(accepted, 3000), accepted+5).Draw(rt, "offset")
			input(offset, rapid.IntRange(0, 4000).Draw(rt, "length"), rapid.IntRange(0, 40).Draw(rt, "end") == 0)
		}
		input(accepted, 0, true)
		input(accepted, 0, true)
		rd := follow(t, s)
		if exit := rd.toExit(); exit.Code != 0 || !bytes.Equal(rd.out[Output], patternAt(0, int(accepted))) {
			rt.Fatalf("exit %+v, %d bytes came back of %d", exit, len(rd.out[Output]), accepted)
		}
		if err := s.Forget(context.Background()); err != nil {
			rt.Fatal(err)
		}
	})
}

// TestInputWindow fills the window of a program that does not read, and lets it
// read.
func TestInputWindow(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		k, _ := inProcess(t, nil)
		gate := filepath.Join(t.TempDir(), "gate")
		if err := syscall.Mkfifo(gate, 0o600); err != nil {
			t.Fatal(err)
		}
		r := shell(t, "window", "stty raw -echo; echo ready; read go <"+gate+"; exec cat")
		if !terminal {
			r = piped(t, "window-pipe", "echo ready; read go <"+gate+"; exec cat")
		}
		s := start(t, k, r)
		rd := follow(t, s)
		rd.until("ready\n")
		ctx := testContext(t)
		var at uint64
		for {
			st, err := s.Input(ctx, at, patternAt(at, wire.MaxInput), false)
			if errors.Is(err, ErrFull) {
				if st.Accepted != at || st.Room >= wire.MaxInput || st.Accepted-st.Written > wire.InputWindow {
					t.Fatalf("full: %+v at %d", st, at)
				}
				break
			}
			if err != nil || st.Accepted != at+wire.MaxInput {
				t.Fatalf("at %d: %+v, %v", at, st, err)
			}
			at = st.Accepted
		}
		base := rd.at
		rd.take = func(b []byte, _ Kind) {
			for i, c := range b {
				if want := pattern(rd.at - base + uint64(i)); c != want {
					t.Fatalf("byte %d is %d, want %d", rd.at-base+uint64(i), c, want)
				}
			}
		}
		if err := os.WriteFile(gate, []byte("\n"), 0); err != nil {
			t.Fatal(err)
		}
		for rd.at < base+at || s.State().Written < at {
			if n, done := rd.step(); done {
				t.Fatalf("ended: %+v", s.State())
			} else if n == 0 {
				rd.wait("input to come back")
			}
		}
		if st := s.State(); st.Room != wire.InputWindow {
			t.Errorf("room %d, want all", st.Room)
		}
	}
}

// TestRoomIsTold wakes a daemon that waits for room, with nothing else going on.
func TestRoomIsTold(t *testing.T) {
	k, _ := inProcess(t, nil)
	s := start(t, k, piped(t, "room", `read go; exec cat >/dev/null`))
	ctx := testContext(t)
	data := patternAt(0, 4<<20)
	data[0] = '\n'
	send(t, s, data) // waits for room and nothing else
	st, err := s.Input(ctx, uint64(len(data)), nil, true)
	if err != nil || st.Accepted != uint64(len(data)) {
		t.Errorf("%+v, %v", st, err)
	}
	if exit := follow(t, s).toExit(); exit.Code != 0 {
		t.Errorf("exit %+v", exit)
	}
}

// TestInputNobodyReads goes on when the program has closed its input, or ended.
func TestInputNobodyReads(t *testing.T) {
	k, _ := inProcess(t, nil)
	s := start(t, k, piped(t, "deaf", `exec <&-; echo closed; while kill -0 $PPID; do :; done 2>/dev/null`))
	rd := follow(t, s)
	rd.until("closed")
	send(t, s, make([]byte, 3*wire.InputWindow))
	if err := s.End(testContext(t), wire.ReasonClosed); err != nil {
		t.Fatal(err)
	}
	send(t, s, make([]byte, 2*wire.InputWindow))
}

// TestTerminalInputHasNoEnd refuses what cannot be done, and nothing is taken.
func TestTerminalInputHasNoEnd(t *testing.T) {
	k, _ := inProcess(t, nil)
	s := start(t, k, shell(t, "noend", "exec cat"))
	if st, err := s.Input(testContext(t), 0, []byte("x"), true); !errors.Is(err, ErrTerminal) || st.Accepted != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if st, err := s.Input(ctx, 0, []byte("x"), false); !errors.Is(err, context.Canceled) || st.Accepted != 0 {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestKeeperChecksInput breaks the connection of a daemon that does not keep to
// the rules; nothing of it reaches the program.
func TestKeeperChecksInput(t *testing.T) {
	offset := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	cases := map[string]func(*Session) error{
		"a gap":   func(s *Session) error { return s.c.send(opInput, 0, 0, offset(5), []byte("x")) },
		"an end":  func(s *Session) error { return s.c.send(opInput, flagEOF, 0, offset(0), []byte("x")) },
		"no body": func(s *Session) error { return s.c.send(opInput, 0, 0, []byte("x"), nil) },
		"junk": func(s *Session) error {
			_, err := s.c.conn.Write(bytes.Repeat([]byte{0xff}, 100))
			return err
		},
		"much": func(s *Session) error {
			for at := uint64(0); at <= 2*wire.InputWindow; at += wire.MaxInput {
				if err := s.c.send(opInput, 0, 0, offset(at), make([]byte, wire.MaxInput)); err != nil {
					return nil // cut off before the last, as it should be
				}
			}
			return nil
		},
	}
	n := 0
	for name, misbehave := range cases {
		k, _ := inProcess(t, nil)
		n++
		s := start(t, k, shell(t, fmt.Sprintf("rules%d", n), "kill -STOP $$"))
		if err := misbehave(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		select {
		case <-s.Lost():
		case <-testContext(t).Done():
			t.Fatalf("%s: the connection is still there", name)
		}
		if err := s.Err(); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
		again, err := k.Adopt(testContext(t), s.ID())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if st := again.State(); name != "much" && st.Accepted != 0 || st.Accepted-st.Written > wire.InputWindow {
			t.Errorf("%s: %+v", name, st)
		}
		again.Release()
	}
}

// TestUnknownFrames are skipped, or answered, so that a newer daemon can find
// out.
func TestUnknownFrames(t *testing.T) {
	k, _ := inProcess(t, nil)
	s := start(t, k, shell(t, "newer", "exec cat"))
	for _, c := range []*caller{k.c, s.c} {
		if err := c.send(60, 0, 0, []byte("new"), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.call(testContext(t), 61, 0, []byte("new")); !errors.Is(err, ErrInvalid) {
			t.Errorf("unknown request: %v", err)
		}
	}
}
