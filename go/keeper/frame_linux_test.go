package keeper

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"etcha/go/pty"
	"etcha/go/wire"
)

func reading(from io.Reader) *frameReader { return &frameReader{from: from, pool: &buffers{}} }

func TestFrames(t *testing.T) {
	bodies := [][]byte{
		nil, []byte("x"), bytes.Repeat([]byte("y"), 500), bytes.Repeat([]byte("z"), 512),
		bytes.Repeat([]byte("a"), 513), bytes.Repeat([]byte("b"), MaxMeta),
	}
	var stream []byte
	for i, b := range bodies {
		stream = append(appendHeader(stream, opMeta, uint8(i), uint32(i)<<9, len(b)), b...)
	}
	ways := map[string]io.Reader{
		"at once":      bytes.NewReader(stream),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"by halves":    iotest.HalfReader(bytes.NewReader(stream)),
		"with end":     iotest.DataErrReader(bytes.NewReader(stream)),
	}
	for name, from := range ways {
		fr := reading(from)
		for i, b := range bodies {
			f, err := fr.next()
			if err != nil || f.op != opMeta || f.flags != uint8(i) || f.id != uint32(i)<<9 || !bytes.Equal(f.body, b) {
				t.Errorf("%s: frame %d: %v %d %d", name, i, err, f.op, len(f.body))
			}
		}
		if _, err := fr.next(); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: end: %v", name, err)
		}
	}
}

func TestFrameRefusals(t *testing.T) {
	full := append(appendHeader(nil, opMeta, 0, 1, 600), make([]byte, 600)...)
	cases := map[string]struct {
		in   []byte
		want error
	}{
		"half a header": {full[:5], io.ErrUnexpectedEOF},
		"no body":       {full[:headerSize], io.ErrUnexpectedEOF},
		"half a body":   {full[:300], io.ErrUnexpectedEOF},
		"too long":      {appendHeader(nil, opMeta, 0, 1, MaxMeta+1), errFrame},
		"empty by rule": {appendHeader(nil, opSpace, 0, 1, 1), errFrame},
		"huge":          {appendHeader(nil, 99, 0, 1, 1<<30), errFrame},
	}
	for name, c := range cases {
		if _, err := reading(bytes.NewReader(c.in)).next(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// FuzzFrames feeds a connection of the keeper: whatever comes, frames stay
// within their bounds and messages that pass their checks are sane.
func FuzzFrames(f *testing.F) {
	hello, _ := json.Marshal(hello{Newest: 1, Oldest: 1, PID: 1})
	begin, _ := json.Marshal((&StartRequest{ID: "a", Spec: pty.Spec{Argv: []string{"sh"}}}).body())
	stream := append(appendHeader(nil, opHello, 0, 1, len(hello)), hello...)
	stream = append(append(stream, appendHeader(nil, opStart, 0, 2, len(begin))...), begin...)
	f.Add(stream)
	f.Add(append(appendHeader(nil, opInput, flagEOF, 0, 9), "\x05\x00\x00\x00\x00\x00\x00\x00x"...))
	f.Add(append(appendHeader(nil, opResize, 0, 2, 12), "\x05\x00\x00\x00\x00\x00\x00\x00\x50\x00\x18\x00"...))
	f.Add(append(appendHeader(nil, opSignal, 0, 2, 11), "\x05\x00\x00\x00\x00\x00\x00\x00INT"...))
	f.Add(append(appendHeader(nil, opAnswer, flagFailed, 3, 2), "{}"...))
	f.Add(binary.LittleEndian.AppendUint32(nil, 1<<30))
	f.Fuzz(func(t *testing.T, in []byte) {
		fr := reading(iotest.HalfReader(bytes.NewReader(in)))
		for total := 0; ; {
			f, err := fr.next()
			if err != nil {
				return
			}
			if len(f.body) > f.op.maxBody() {
				t.Fatalf("op %d with %d bytes", f.op, len(f.body))
			}
			if total += headerSize + len(f.body); total > len(in) {
				t.Fatalf("%d bytes of frames from %d of input", total, len(in))
			}
			decodeAny(t, f)
		}
	})
}

// decodeAny reads a frame's body as its receiver does.
func decodeAny(t *testing.T, f frame) {
	switch f.op {
	case opInput:
		if _, data, err := parseInput(f.body); err == nil && len(data) > wire.MaxInput {
			t.Fatalf("input of %d bytes", len(data))
		}
	case opStart:
		var b startBody
		if json.Unmarshal(f.body, &b) != nil {
			return
		}
		if r, err := b.request(); err == nil && (strings.ContainsAny(r.ID, "/.\x00") || r.Window == 0 || r.Window > wire.MaxWindow) {
			t.Fatalf("accepted %q, window %d", r.ID, r.Window)
		}
	case opResize:
		if seq, cols, rows, err := parseResize(f.body); err == nil && !bytes.HasPrefix(f.body, appendResize(nil, seq, cols, rows)) {
			t.Fatal("a resize is not what it was")
		}
	case opSignal:
		if seq, name, err := parseSignal(f.body); err == nil && !bytes.Equal(f.body, appendSignal(nil, seq, name)) {
			t.Fatal("a signal is not what it was")
		}
	case opAnswer:
		if failed(f.body) == nil {
			t.Fatal("a failure without an error")
		}
		var a listAnswer
		_ = json.Unmarshal(f.body, &a)
	}
}

func TestFailuresSurviveTheSocket(t *testing.T) {
	for code, is := range failureCodes() {
		if err := failed(fail(is)); !errors.Is(err, is) || err.Error() != is.Error() {
			t.Errorf("%s: %v", code, err)
		}
	}
	err := failed(fail(&pty.StartError{Step: "start", Item: "/bin/none", Err: syscall.ENOENT}))
	var start *pty.StartError
	if !errors.As(err, &start) || start.Step != "start" || start.Item != "/bin/none" || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("start error: %v", err)
	}
	if err := failed([]byte("{")); !errors.Is(err, errFrame) {
		t.Errorf("broken failure: %v", err)
	}
}

func TestStartRequestSurvivesTheSocket(t *testing.T) {
	r := StartRequest{
		ID: "Az_-9", Window: 5, Scrollback: 6, Resume: 7, Discard: true, Keep: true, Meta: []byte{0, 255},
		Spec: pty.Spec{
			Path: "/bin/\xff", Argv: []string{"-\xfe", ""}, Env: []string{"A=\xfd"}, Dir: "/\xfc",
			Account:  pty.Account{Name: "n", UID: 1, GID: 2, Groups: []uint32{3, 4}, Home: "/h", Shell: "/s"},
			Terminal: true, Cols: 8, Rows: 9, Umask: 0o27,
		},
	}
	b, err := json.Marshal(r.body())
	if err != nil {
		t.Fatal(err)
	}
	var body startBody
	if err := json.Unmarshal(b, &body); err != nil {
		t.Fatal(err)
	}
	got, err := body.request()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(r.body())
	have, _ := json.Marshal(got.body())
	if !bytes.Equal(want, have) || got.Spec.Path != r.Spec.Path {
		t.Errorf("have %s\nwant %s", have, want)
	}
}

func TestStartRequestIsChecked(t *testing.T) {
	good := func() StartRequest { return StartRequest{ID: "x", Spec: pty.Spec{Argv: []string{"sh"}}} }
	bad := map[string]func(*StartRequest){
		"no ID":       func(r *StartRequest) { r.ID = "" },
		"a path":      func(r *StartRequest) { r.ID = "../x" },
		"a long ID":   func(r *StartRequest) { r.ID = strings.Repeat("x", MaxID+1) },
		"no program":  func(r *StartRequest) { r.Spec.Argv = nil },
		"window":      func(r *StartRequest) { r.Window = wire.MaxWindow + 1 },
		"scrollback":  func(r *StartRequest) { r.Scrollback = wire.MaxWindow + 1 },
		"much meta":   func(r *StartRequest) { r.Meta = make([]byte, MaxMeta+1) },
		"less than 0": func(r *StartRequest) { r.Resume = -1 },
	}
	r := good()
	if err := r.check(); err != nil || r.Window != wire.DefaultWindow {
		t.Errorf("good request: %v, window %d", err, r.Window)
	}
	for name, change := range bad {
		r := good()
		change(&r)
		if err := r.check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
