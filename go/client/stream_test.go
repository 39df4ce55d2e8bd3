package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"etcha/go/client"
	"etcha/go/errs"
	"etcha/go/sse"
	"etcha/go/wire"
)

// speak is a node that writes text after its session event and then ends the
// stream, or cuts the connection.
func speak(t testing.TB, text string, cut bool) *node {
	n := newNode(t, func(p *program) wire.Exit {
		p.wait(func() bool { return false })
		return exited
	})
	n.editStream = func(w io.Writer) io.Writer { return &script{w: w, text: text, cut: cut} }
	n.attach = refuse(wire.CodeNotFound)
	return n
}

type script struct {
	w    io.Writer
	text string
	cut  bool
	n    int
}

func (s *script) Write(p []byte) (int, error) {
	if s.n++; s.n > 1 {
		return 0, io.ErrClosedPipe
	}
	if _, err := s.w.Write(p); err != nil {
		return 0, err
	}
	_, _ = io.WriteString(s.w, s.text)
	if s.cut {
		_ = http.NewResponseController(s.w.(http.ResponseWriter)).Flush()
		panic(http.ErrAbortHandler)
	}
	return 0, io.ErrClosedPipe // ends the fake's stream
}

const okExit = "event: exit\ndata: {\"code\":3,\"reason\":\"exited\"}\n\n"

func TestStreamThatBreaks(t *testing.T) {
	tests := map[string]struct {
		text string
		want string // of the output
	}{
		"ends":                    {"", ""},
		"ends after output":       {"event: output\nid: 2\ndata: aGk=\n\n", "hi"},
		"garbage":                 {"<html>\x00\xff\n\n\n", ""},
		"half an event":           {"event: exit\ndata: {\"code\":0,\"reason\":\"exited\"}\n", ""},
		"endless event":           {"data: " + strings.Repeat("x", sse.MaxEvent) + "\n\n" + okExit, ""},
		"gap":                     {"event: output\nid: 3\ndata: aGk=\n\n" + okExit, ""},
		"repetition":              {"event: output\nid: 2\ndata: aGk=\n\nevent: output\nid: 2\ndata: aGk=\n\n" + okExit, "hi"},
		"no offset":               {"event: output\ndata: aGk=\n\n" + okExit, ""},
		"offset is no number":     {"event: output\nid: x\ndata: aGk=\n\n" + okExit, ""},
		"output is not base64":    {"event: output\nid: 2\ndata: a*k=\n\n" + okExit, ""},
		"output is sloppy base64": {"event: output\nid: 2\ndata: aGl=\n\n" + okExit, ""},
		"input event is junk":     {"event: input\ndata: [\n\n" + okExit, ""},
		"notice is junk":          {"event: notice\ndata: 1\n\n" + okExit, ""},
		"exit is junk":            {"event: exit\ndata: {\n\n", ""},
	}
	for name, tt := range tests {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/cut %v", name, cut), func(t *testing.T) {
				n := speak(t, tt.text, cut).start(overHTTP2)
				out := newBuffer()
				s := open(t, newClient(t, n.options()), wire.Shell{}, out, nil)
				_, err := s.Wait()
				var loss *client.LossError
				if !errors.As(err, &loss) || errs.ExitOf(err) != errs.ExitTransport || errs.CodeOf(err) != wire.CodeInternal || errs.HintOf(err) == "" {
					t.Errorf("wait: %v, hint %q", err, errs.HintOf(err))
				}
				if out.String() != tt.want {
					t.Errorf("output %q, want %q", out.String(), tt.want)
				}
			})
		}
	}
}

func TestStreamThatIsOdd(t *testing.T) {
	text := ": comment\n\nevent: of the future\ndata: x\n\ndata: unnamed\n\nevent: keepalive\ndata: f8a\n\n" +
		"pad: 00\nevent: output\ndata: aGk=\nid: 2\nfuture: x\n\nevent: output\nid: 2\ndata: \n\n" +
		"event: input\ndata: {\"offset\":18446744073709551615,\"room\":18446744073709551615,\"more\":1}\n\n"
	n := speak(t, strings.ReplaceAll(text, "\n", "\r\n")+okExit, true).start(overHTTP2)
	out := newBuffer()
	s := open(t, newClient(t, n.options()), wire.Shell{}, out, nil)
	mustExit(t, s, wire.Exit{Code: 3, Reason: wire.ReasonExited})
	if out.String() != "hi" {
		t.Errorf("output %q", out.String())
	}
}

func TestStreamReplaced(t *testing.T) {
	n := speak(t, "event: replaced\ndata: \n\n", false).start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
	if _, err := s.Wait(); !errors.Is(err, client.ErrReplaced) {
		t.Errorf("wait: %v", err)
	}
}

func TestExit(t *testing.T) {
	for _, want := range []wire.Exit{
		{Code: 0, Reason: wire.ReasonExited},
		{Code: 143, Signal: "TERM", Reason: wire.ReasonExited},
		{Code: 129, Reason: wire.ReasonIdle},
		{Code: 255, Reason: wire.ReasonKeeper},
	} {
		n := newNode(t, func(*program) wire.Exit { return want }).start(overHTTP2)
		s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
		mustExit(t, s, want)
		mustExit(t, s, want)
		if err := s.Close(); err != nil {
			t.Errorf("close after the end: %v", err)
		}
		if n.asked(wire.OpClose) != 0 {
			t.Error("a session that had ended was closed")
		}
	}
}

// A status that the system would take for another is not passed on: 256 is no success.
func TestExitStatusThatIsNone(t *testing.T) {
	for _, code := range []int{-1, 256, 1 << 20} {
		n := newNode(t, func(*program) wire.Exit { return wire.Exit{Code: code, Reason: wire.ReasonExited} }).start(overHTTP2)
		exit, err := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil).Wait()
		var loss *client.LossError
		if !errors.As(err, &loss) || exit != (wire.Exit{}) {
			t.Errorf("code %d: %+v, %v", code, exit, err)
		}
	}
}

func TestExitTextIsPrintable(t *testing.T) {
	n := newNode(t, func(*program) wire.Exit {
		return wire.Exit{Code: 1, Signal: "\x1b[2JTERM", Reason: "exi\ated"}
	}).start(overHTTP2)
	mustExit(t, open(t, newClient(t, n.options()), wire.Shell{}, nil, nil), wire.Exit{Code: 1, Signal: "[2JTERM", Reason: "exited"})
}

func TestStderrKeepsApart(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit {
		for range 100 {
			_, _ = p.output(wire.EventOutput, []byte("out"))
			_, _ = p.output(wire.EventStderr, []byte("err!"))
		}
		return exited
	}).start(overHTTP2)
	var stdout, stderr bytes.Buffer
	mustExit(t, open(t, newClient(t, n.options()), wire.Shell{}, &stdout, &stderr), exited)
	if stdout.String() != strings.Repeat("out", 100) || stderr.String() != strings.Repeat("err!", 100) {
		t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
	}
}

func TestNotices(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit {
		p.notice(wire.Notice{Code: wire.NoticeIdle, Message: "the end\r\nis \x1b[5mnear"})
		return exited
	}).start(overHTTP2)
	o, e := n.options(), &events{}
	o.Notify = e.add
	mustExit(t, open(t, newClient(t, o), wire.Shell{}, nil, nil), exited)
	if len(e.all) != 1 || e.all[0].Kind != client.EventNotice || e.all[0].Text != "the end is [5mnear" || e.all[0].Code != string(wire.NoticeIdle) {
		t.Errorf("events %+v", e.all)
	}
}

// Nobody takes the output any more, as behind `| head`: the session is closed.
func TestWriterThatFails(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit {
		_, _ = io.Copy(p, noise(1, bulk))
		return exited
	}).start(overHTTP2)
	broken := errors.New("broken pipe")
	s := open(t, newClient(t, n.options()), wire.Shell{}, failing{broken}, nil)
	if _, err := s.Wait(); !errors.Is(err, broken) {
		t.Errorf("wait: %v", err)
	}
	if n.asked(wire.OpClose) == 0 {
		t.Error("the session goes on at the node")
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestResizeAndSignal(t *testing.T) {
	hold, entered := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(entered) })
	n := newNode(t, cat)
	n.fault = func(_ http.ResponseWriter, c *wire.Claims) bool {
		if c.Shell.Op == wire.OpResize {
			once()
			<-hold
		}
		return false
	}
	n.start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{PTY: true}, nil, nil)
	for i := range uint16(10) {
		if err := s.Resize(100+i, 50); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			<-entered
		}
	}
	close(hold)
	for _, name := range wire.Signals() {
		if err := s.Signal(name); err != nil {
			t.Fatal(err)
		}
	}
	ops := n.applied()
	if len(ops) != 2+len(wire.Signals()) || ops[0].Cols != 100 || ops[1].Cols != 109 {
		t.Fatalf("operations %+v", ops)
	}
	for i, name := range wire.Signals() {
		if op := ops[2+i]; op.Signal != name || op.Seq != uint64(3+i) {
			t.Errorf("operation %+v", op)
		}
	}
	if err := s.Signal("STOP"); errs.ExitOf(err) != errs.ExitUsage {
		t.Errorf("unknown signal: %v", err)
	}
}

// A signal that the node refuses is an error of that call only.
func TestSignalRefused(t *testing.T) {
	n := newNode(t, cat)
	n.fault = times(1, wire.OpSignal, refuse(wire.CodeDenied))
	n.start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{PTY: true}, nil, nil)
	if err := s.Signal("INT"); errs.CodeOf(err) != wire.CodeDenied {
		t.Errorf("signal: %v", err)
	}
	if err := s.Signal("INT"); err != nil {
		t.Errorf("second signal: %v", err)
	}
}

// The program ends by the signal before the answer to it is there.
func TestSignalThatEndsTheProgram(t *testing.T) {
	for _, lost := range []bool{false, true} {
		n := newNode(t, func(p *program) wire.Exit {
			p.wait(func() bool { return len(p.ops) > 0 })
			return exited
		})
		var s *client.Session
		n.lose = func(*wire.Claims) bool {
			<-s.Done()
			return true
		}
		if lost {
			n.fault = func(_ http.ResponseWriter, c *wire.Claims) bool {
				if c.Shell.Op == wire.OpSignal {
					n.server.CloseClientConnections()
				}
				return false
			}
		}
		n.start(overHTTP1)
		s = open(t, newClient(t, n.options()), wire.Shell{PTY: true}, nil, nil)
		if err := s.Signal("TERM"); err != nil {
			t.Errorf("signal: %v, connection lost: %v", err, lost)
		}
	}
}

func TestAfterTheEnd(t *testing.T) {
	n := newNode(t, func(*program) wire.Exit { return exited }).start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
	<-s.Done()
	for name, f := range map[string]func() error{
		"Write":      func() error { _, err := s.Write([]byte("x")); return err },
		"CloseWrite": s.CloseWrite,
		"Resize":     func() error { return s.Resize(1, 1) },
		"Signal":     func() error { return s.Signal("INT") },
	} {
		if err := f(); !errors.Is(err, client.ErrEnded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCloseWriteOnATerminal(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{PTY: true}, nil, nil)
	if err := s.CloseWrite(); err == nil {
		t.Error("accepted")
	}
	if _, err := s.Write([]byte("x")); err != nil {
		t.Errorf("write: %v", err)
	}
}

func TestWriteAfterCloseWrite(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit { p.wait(func() bool { return false }); return exited }).start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
	for range 2 {
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("accepted")
	}
}

// The opener's context is for opening only.
func TestContextEndsAfterOpening(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		n := newNode(t, cat).start(how)
		ctx, cancel := context.WithCancel(context.Background())
		out := newBuffer()
		s, err := newClient(t, n.options()).Open(ctx, source, wire.Shell{}, out, nil)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		writePieces(t, s, "x")
		out.waitFor(1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		mustExit(t, s, wire.Exit{Code: 129, Signal: "HUP", Reason: wire.ReasonClosed})
	})
}

// Closing works while a write waits for room and while output is not taken.
func TestCloseReleasesAWrite(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit {
		_, _ = p.Write(make([]byte, 1<<20))
		return exited
	})
	n.room, n.window = 1000, 64<<10
	n.start(overHTTP2)
	w := &gate{open: make(chan struct{})}
	s := open(t, newClient(t, n.options()), wire.Shell{}, w, nil)
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := s.Write(make([]byte, 10<<20)); !errors.Is(err, client.ErrClosed) && !errors.Is(err, client.ErrEnded) {
			t.Errorf("write: %v", err)
		}
	})
	n.waitAccepted(n.room)
	all.Go(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	all.Go(func() {
		p := n.only()
		p.wait(func() bool { return len(p.ops) > 0 })
		close(w.open)
	})
	all.Wait()
	if w.b.Len() > wire.MaxFrame {
		t.Errorf("%d bytes of output were written after the end", w.b.Len())
	}
}

// The node forgets the session without a word: requests say so, and the client
// does not wait for ever. What it waits for here is the stream's own end.
func TestSessionThatIsGone(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeEnded, wire.CodeNotFound, wire.CodeDenied} {
		t.Run(string(code), func(t *testing.T) {
			n := newNode(t, func(p *program) wire.Exit {
				p.wait(func() bool { return len(p.ops) > 0 })
				return exited
			})
			n.fault = times(1<<30, wire.OpInput, refuse(code))
			n.start(overHTTP2)
			s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
			var err error
			for err == nil {
				_, err = s.Write([]byte("x"))
			}
			if !errors.Is(err, client.ErrEnded) {
				t.Errorf("write: %v", err)
			}
			if err := s.Resize(1, 1); err != nil { // lets the fake's program end
				t.Fatal(err)
			}
			mustExit(t, s, exited)
		})
	}
}

// A session that the node does not know any more, and whose stream says nothing,
// is given up.
func TestSessionThatIsGoneWithoutExit(t *testing.T) {
	n := newNode(t, cat)
	n.fault = times(1<<30, wire.OpInput, refuse(wire.CodeEnded))
	n.start(overHTTP2)
	c := newClient(t, n.options())
	c.ShortWaits(time.Millisecond)
	s := open(t, c, wire.Shell{}, nil, nil)
	writePieces(t, s, "x")
	_, err := s.Wait()
	var loss *client.LossError
	if !errors.As(err, &loss) || !strings.Contains(err.Error(), "without saying how") {
		t.Errorf("wait: %v", err)
	}
}

// A stream that brings nothing at all is lost, however long the connection
// stays; one that brings keepalives is not.
func TestSilence(t *testing.T) {
	n := newNode(t, cat)
	n.attach = refuse(wire.CodeNotFound)
	n.start(overHTTP1)
	c := newClient(t, n.options())
	c.ShortSilence(time.Millisecond)
	s, err := c.Open(context.Background(), source, wire.Shell{}, nil, nil)
	if err == nil {
		_, err = s.Wait()
	}
	if err == nil || !strings.Contains(err.Error(), "silent") {
		t.Errorf("error %v", err)
	}
}

// A writer that blocks is not silence.
func TestSilenceDoesNotCountWhileTheWriterBlocks(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit {
		_, _ = io.WriteString(p, "x")
		p.wait(func() bool { return len(p.ops) > 0 })
		return exited
	})
	n.start(overHTTP2)
	c := newClient(t, n.options())
	c.ShortSilence(200 * time.Millisecond)
	w := &gate{open: make(chan struct{})}
	s := open(t, c, wire.Shell{}, w, nil)
	time.AfterFunc(400*time.Millisecond, func() {
		_ = s.Resize(1, 1)
		close(w.open)
	})
	mustExit(t, s, exited)
}

// What is logged has no secrets: no token, no input, no output, no environment.
func TestDebugLog(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	var log buffer
	log.cond.L = &log.mu
	o, _ := n.firstUse(t, knownFile(t))
	o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	out := newBuffer()
	s := open(t, newClient(t, o), wire.Shell{
		Env: map[string]string{"LANG": "canary-env"}, Title: "canary-title", Command: "canary-command", Args: []string{"canary-arg"},
	}, out, nil)
	writePieces(t, s, "canary-input")
	out.waitFor(12)
	if err := errors.Join(s.Resize(1, 2), s.Signal("INT"), s.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
	text := log.String()
	for _, secret := range []string{"canary", "eyJ", "Y2FuYXJ5"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the log:\n%s", secret, text)
		}
	}
	for _, part := range []string{
		"method=GET path=" + wire.PathNode, "op=open", "op=input offset=0 input=12", "op=resize", "op=signal",
		"path=" + wire.PathSession(source, s.ID()), "status=200", "duration=", "bytes=",
	} {
		if !strings.Contains(strings.ReplaceAll(text, "\n", " "), part) && !inAnyOrder(text, part) {
			t.Errorf("%q is not in the log:\n%s", part, text)
		}
	}
}

// inAnyOrder reports whether one line of text has all words of part.
func inAnyOrder(text, part string) bool {
	for line := range strings.Lines(text) {
		all := true
		for _, word := range strings.Fields(part) {
			all = all && strings.Contains(line, word)
		}
		if all {
			return true
		}
	}
	return false
}

// The size of a token does not tell one key from another, nor a key from an
// acknowledgement.
func TestTokensArePadded(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit {
		_, _ = p.Write(make([]byte, 2*wire.AckEvery))
		p.wait(func() bool { return p.accepted == 26*27/2 && len(p.ops) == 2 })
		return exited
	}).start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{PTY: true}, nil, nil)
	p := n.only()
	p.wait(func() bool { return p.acks > 0 })
	for k := range 27 {
		if _, err := s.Write([]byte(strings.Repeat("x", k))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Resize(100, 30), s.Signal("WINCH")); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
	sizes := map[int]bool{}
	for op, all := range n.tokens {
		if op == wire.OpOpen {
			continue
		}
		for _, size := range all {
			sizes[size] = true
			if size%wire.PadStep > 1 {
				t.Errorf("%s of %d bytes", op, size)
			}
		}
	}
	if len(sizes) > 2 { // gathered keys may be a step larger
		t.Errorf("sizes %v", sizes)
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(okExit))
	f.Add([]byte("event: output\nid: 2\ndata: aGk=\n\nevent: input\ndata: {\"offset\":1,\"room\":0}\n\n" + okExit))
	f.Add([]byte("event: notice\ndata: {\"code\":\"idle\",\"message\":\"m\"}\n\nevent: replaced\ndata:\n\n"))
	f.Add([]byte("event: stderr\nid: 1\ndata: YQ==\r\r"))
	var text []byte // one at a time in a process
	n := speak(f, "", false)
	n.editStream = func(w io.Writer) io.Writer { return &script{w: w, text: string(text)} }
	n.start(overHTTP)
	c := newClient(f, n.options())
	f.Fuzz(func(t *testing.T, in []byte) {
		text = in
		s, err := c.Open(context.Background(), source, wire.Shell{}, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Write([]byte("x"))
		exit, err := s.Wait()
		var loss *client.LossError
		if err != nil && (!errors.As(err, &loss) || exit != wire.Exit{}) {
			t.Fatalf("exit %+v, %v", exit, err)
		}
	})
}
