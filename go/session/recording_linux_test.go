package session

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcha/go/errs"
	"etcha/go/record"
	"etcha/go/wire"
)

// records makes the node record into a folder.
func (n *node) records(mode string, must bool) {
	n.tb.Helper()
	n.record = &record.Options{Dir: filepath.Join(n.tb.TempDir(), "recordings")}
	n.source.Shell.Record, n.source.Shell.MustRecord = mode, must
	n.again()
}

// again begins another daemon's life, of the same keeper.
func (n *node) again() {
	n.tb.Helper()
	n.must(n.r.Drain(testContext(n.tb)))
	n.must(n.k.Close())
	n.connect()
}

// play reads the only recording: the data of all events of each code.
func (n *node) play() map[record.Code]string {
	n.tb.Helper()
	files, err := filepath.Glob(filepath.Join(n.record.Dir, "*.cast"))
	n.must(err)
	if len(files) != 1 {
		n.tb.Fatalf("%d recordings", len(files))
	}
	f, err := os.Open(files[0])
	n.must(err)
	defer f.Close()
	r, err := record.NewReader(f)
	n.must(err)
	all := map[record.Code]string{}
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		n.must(err)
		all[e.Code] += e.Data
		if e.Code == record.Marker {
			all[e.Code] += "\n"
		}
	}
}

// recorded waits until a recording is complete.
func (n *node) recorded() record.Summary {
	n.tb.Helper()
	eventually(n.tb, "the recording", func() bool { return len(n.happened.of(Recorded)) == 1 })
	return *n.happened.of(Recorded)[0].Recording
}

// TestRecording: all output, the sizes, who came and the end; input where it is
// wanted, but what was typed while the terminal did not echo.
func TestRecording(t *testing.T) {
	n := newNode(t)
	n.records("full", true)
	s, v := n.runOnTerminal(`echo name?; read x; stty -echo; echo password?; read y; stty echo; echo "hi $x"; read z; echo out; exit 3`)
	if info := v.session(); info.Recording != "full" || s.Info().Recording != "full" {
		t.Errorf("first event %+v", info)
	}
	v.until("name?\r\n")
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("alice\n")})
	v.until("password?\r\n")
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 6, Data: []byte("hunter2\n")})
	v.until("hi alice\r\n")
	n.do(s, wire.Shell{Op: wire.OpResize, Seq: 1, Cols: 100, Rows: 40})
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 14, Data: []byte("seen\n")})
	v.exit()
	sum := n.recorded()
	got := n.play()
	if got[record.Output] != v.text.String() || sum.Output != v.next {
		t.Errorf("output is %q, recorded %q", v.text.String(), got[record.Output])
	}
	if got[record.Input] != "alice\nseen\n" || sum.Input != 11 {
		t.Errorf("input is recorded as %q", got[record.Input])
	}
	if got[record.Resize] != "100x40" || got[record.Exit] != "3" {
		t.Errorf("recorded %q", got)
	}
	eventually(t, "the keeper to forget", func() bool { return len(n.held()) == 0 })
}

// TestRecordingOfPipes: one of output holds no input, a full one all of it: there
// is no echo that could be off.
func TestRecordingOfPipes(t *testing.T) {
	for _, mode := range []string{"output", "full"} {
		n := newNode(t)
		n.records(mode, false)
		s, v := n.run(`cat`)
		v.session()
		n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("typed"), EOF: true})
		v.exit()
		n.recorded()
		got, want := n.play(), ""
		if mode == "full" {
			want = "typed"
		}
		if got[record.Output] != "typed" || got[record.Input] != want {
			t.Errorf("%s: recorded %q", mode, got)
		}
	}
}

// TestRecordingSurvivesDeath: daemons die while the program writes; the recording
// has each byte once.
func TestRecordingSurvivesDeath(t *testing.T) {
	n := newNode(t)
	n.records("output", true)
	s, v := n.run(`i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo end; read x`)
	v.session()
	for n.happened.of(Ended); !strings.HasSuffix(v.text.String(), "end\n"); {
		for range 5 {
			if v.must(wire.EventOutput); strings.HasSuffix(v.text.String(), "end\n") {
				break
			}
			n.do(s, wire.Shell{Op: wire.OpAck, Ack: v.next})
		}
		text, next := v.text.String(), v.next
		v.vanish()
		n.restart()
		s, _ = n.r.Find("debug", s.ID())
		v = n.attach(s, wire.Shell{Offset: next}, nil)
		v.session()
		v.text.WriteString(text)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	v.exit()
	n.recorded()
	got := n.play()
	if got[record.Output] != v.text.String() {
		t.Errorf("%d bytes of output, %d recorded, or others", v.text.Len(), len(got[record.Output]))
	}
	if !strings.Contains(got[record.Marker], "attached: on call (key alice)") && !strings.Contains(got[record.Marker], "attached: key alice") {
		t.Errorf("markers %q", got[record.Marker])
	}
}

// TestRecordingGatesAcknowledgements: nothing is given up before it is recorded.
func TestRecordingGatesAcknowledgements(t *testing.T) {
	n := newNode(t)
	s, v := n.run(`echo 0123456789; read x`)
	v.session()
	v.until("0123456789\n")
	s.recordedTo(4)
	n.do(s, wire.Shell{Op: wire.OpAck, Ack: 11})
	if got := s.state().Acked; got != 4 {
		t.Errorf("%d bytes are given up", got)
	}
	s.recordedTo(11)
	if got := s.state().Acked; got != 11 {
		t.Errorf("%d bytes are given up", got)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	v.exit()
}

// TestNoRecordingNoSession: nothing is started where it has to be recorded and
// cannot be; where it need not, everybody is told.
func TestNoRecordingNoSession(t *testing.T) {
	n := newNode(t)
	n.records("output", true)
	n.must(os.WriteFile(n.record.Dir, nil, 0o600)) // in the way of the folder
	_, err := n.r.Open(testContext(t), n.grant(wire.Shell{Args: []string{"/bin/cat"}}), wire.Claims{}, nil)
	if errs.CodeOf(err) != wire.CodeInternal || len(n.held()) != 0 {
		t.Errorf("a session without its recording: %v", err)
	}
	n.source.Shell.MustRecord = false
	s, v := n.run(`read x`)
	if info := v.session(); info.Recording != "" {
		t.Errorf("first event %+v", info)
	}
	v.noticeText(wire.NoticeRecording)
	if h := n.happened.of(Unrecorded); len(h) != 1 || h[0].Err == nil {
		t.Errorf("happenings %+v", h)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	v.exit()
}

// TestRecordingFails in the midst: with and without having to.
func TestRecordingFails(t *testing.T) {
	for _, must := range []bool{false, true} {
		n := newNode(t)
		n.records("output", must)
		n.record.MaxBytes = 4 << 10
		n.again()
		s, v := n.run(`echo one; read x; head -c 20000 /dev/zero; read y; echo end; read z`)
		v.session()
		v.until("one\n")
		n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
		text := v.noticeText(wire.NoticeRecording)
		if strings.Contains(text, "ends") != must {
			t.Errorf("must %v: notice %q", must, text)
		}
		if must {
			if x := v.exit(); x.Reason != wire.ReasonRecord {
				t.Errorf("exit %+v", x)
			}
		} else {
			n.do(s, wire.Shell{Op: wire.OpInput, Offset: 1, Data: []byte("\n\n")})
			if v.exit(); !strings.HasSuffix(v.text.String(), "end\n") || s.Info().Recording != "" {
				t.Errorf("the session did not go on: %q", v.text.String()[:10])
			}
		}
		if h := n.happened.of(Unrecorded); len(h) != 1 || !errors.Is(h[0].Err, record.ErrLimit) {
			t.Errorf("happenings %+v", h)
		}
		n.recorded()
	}
}

// TestMissingRecording: a daemon that does not find the recording begins another,
// which says what it lacks.
func TestMissingRecording(t *testing.T) {
	n := newNode(t)
	n.records("output", true)
	s, v := n.run(`echo one; read x; echo two`)
	v.session()
	v.until("one\n")
	v.vanish()
	n.must(n.r.Drain(testContext(t)))
	n.must(os.RemoveAll(n.record.Dir))
	n.must(n.k.Close())
	n.connect()
	n.must(n.r.Restore(testContext(t), n.policy()))
	s, _ = n.r.Find("debug", s.ID())
	v = n.attach(s, wire.Shell{}, nil)
	v.session()
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	v.exit()
	n.recorded()
	if got := n.play(); got[record.Output] != "one\ntwo\n" || !strings.Contains(got[record.Marker], "missing") {
		t.Errorf("recorded %q", got)
	}
}

// TestDiscardIsRecorded: where output goes while nobody is attached, the recording
// has all of it nevertheless, and the program does not wait.
func TestDiscardIsRecorded(t *testing.T) {
	n := newNode(t)
	n.source.Shell.Discard, n.source.Shell.Window = true, 64<<10
	n.records("output", true)
	s, v := n.run(`echo up; read x; head -c 1000000 /dev/zero | tr '\0' x; echo end; read x`)
	v.session()
	v.until("up\n")
	v.vanish()
	n.do(s, wire.Shell{Op: wire.OpInput, Data: []byte("\n")})
	eventually(t, "all output", func() bool { return s.state().Head == 1_000_007 })
	v = n.attach(s, wire.Shell{Offset: 3}, nil)
	if info := v.session(); info.Dropped == 0 || info.OutputStart != 3+info.Dropped {
		t.Errorf("first event %+v", info)
	}
	n.do(s, wire.Shell{Op: wire.OpInput, Offset: 1, Data: []byte("\n")})
	v.exit()
	if sum := n.recorded(); sum.Output != 1_000_007 {
		t.Errorf("%d bytes are recorded", sum.Output)
	}
}

func TestTyped(t *testing.T) {
	var in typed
	in.add(10, []byte("abcdef"))
	if got := in.take(11, 13); string(got) != "bc" || in.from != 13 {
		t.Errorf("took %q, at %d", got, in.from)
	}
	in.cut(15)
	in.add(15, []byte("XY"))
	if got := in.take(0, 100); string(got) != "deXY" {
		t.Errorf("took %q", got)
	}
	in.add(17, make([]byte, wire.InputWindow))
	in.add(17+wire.InputWindow, []byte("new"))
	if len(in.data) != wire.InputWindow || in.from != 20 {
		t.Errorf("%d bytes are kept from %d on", len(in.data), in.from)
	}
	in.add(5_000_000, []byte("far"))
	if string(in.data) != "far" {
		t.Errorf("%d bytes are kept", len(in.data))
	}
	kept := in.data
	in.wipe()
	if string(kept) != "\x00\x00\x00" {
		t.Errorf("%q is left in memory", kept)
	}
}
