package pty

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTerminalBelongsToTheUser(t *testing.T) {
	a := stranger(t)
	gid, ok := system().ttyGroup()
	if !ok {
		t.Skip("NOT TESTED: no group tty")
	}
	s := onTerminal(as(shell(`t=$(tty); stat -c '%u %g %a' "$t"; echo written >"$t"; ps -o tty=,sid=,pgid=,tpgid= -p $$; echo $$`), a))
	p := start(t, s)
	l := linesOf(t, p.Output())
	if got, want := l.next(), fmt.Sprintf("54321 %d 620", gid); got != want {
		t.Errorf("terminal: %q, want %q", got, want)
	}
	if got := l.next(); got != "written" {
		t.Errorf("writing to the terminal: %q", got)
	}
	ps, pid := strings.Fields(l.next()), l.next()
	if len(ps) != 4 || !strings.HasPrefix(ps[0], "pts/") || ps[1] != pid || ps[2] != pid || ps[3] != pid {
		t.Errorf("terminal, session, group, foreground group of %s: %v", pid, ps)
	}
}

// Without root, the group tty or permission to give it, nobody else may write.
func TestTerminalOwnerWithoutGroup(t *testing.T) {
	s, err := openTerminal(&Spec{Account: Account{UID: uint32(os.Getuid())}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.slave.Chown(-1, os.Getgid()); err != nil {
		t.Fatal(err)
	}
	if err := ownTerminal(s.child[0], uint32(os.Getuid()), directory{root: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	st, err := s.slave.Stat()
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v: %v", st.Mode(), err)
	}
}

func TestTerminalVanishes(t *testing.T) {
	p := start(t, onTerminal(shell("tty")))
	name := strings.TrimSpace(output(t, p.Output()))
	if !exists(name) {
		t.Errorf("%s is gone before Close", name)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if exists(name) {
		t.Errorf("%s is still there", name)
	}
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		cols, rows uint16
		want       string
	}{{132, 43, "43 132"}, {0, 0, "24 80"}, {100, 0, "24 100"}} {
		s := onTerminal(newSpec("/usr/bin/stty", "size"))
		s.Cols, s.Rows = c.cols, c.rows
		if out, _ := run(t, s); out != c.want+"\n" {
			t.Errorf("%d×%d: %q, want %q", c.cols, c.rows, out, c.want)
		}
	}
}

func TestResizeIsSeen(t *testing.T) {
	p := start(t, onTerminal(shell(`trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done`)))
	l := linesOf(t, p.Output())
	if got := l.next(); got != "24 80" {
		t.Fatalf("at first %q", got)
	}
	for _, c := range []struct {
		cols, rows uint16
		want       string
	}{{100, 50, "50 100"}, {0, 40, "40 100"}, {90, 0, "40 90"}} {
		if err := p.Resize(c.cols, c.rows); err != nil {
			t.Fatal(err)
		}
		if got := l.next(); got != c.want {
			t.Errorf("%d×%d: %q, want %q", c.cols, c.rows, got, c.want)
		}
	}
	if err := start(t, shell("exit")).Resize(1, 1); err != nil {
		t.Errorf("without a terminal: %v", err)
	}
}

func TestEchoOff(t *testing.T) {
	p := start(t, onTerminal(shell(`read a; stty -echo; echo off; read b; stty echo; echo on; read c`)))
	l := linesOf(t, p.Output())
	if p.EchoOff() {
		t.Error("echo is off at first")
	}
	input(t, p, "1\n")
	if l.next(); l.next() != "off" || !p.EchoOff() { // the first is the echo
		t.Error("echo is not off")
	}
	input(t, p, "2\n")
	if l.next() != "on" || p.EchoOff() {
		t.Error("echo is not on again")
	}
	if start(t, shell("exit")).EchoOff() {
		t.Error("echo is off without a terminal")
	}
}

func TestErasesWholeCharacters(t *testing.T) {
	for _, c := range []struct {
		env  string
		want bool
	}{{"LANG=de_DE.UTF-8", true}, {"LC_CTYPE=C.utf8", true}, {"LANG=C", false}, {"", false}, {"LC_ALL=C", false}} {
		s := onTerminal(newSpec("/usr/bin/stty", "-a"))
		s.Env = []string{"LANG=C.UTF-8", c.env}
		if c.env == "" || strings.HasPrefix(c.env, "LANG") {
			s.Env = []string{c.env}
		}
		out, _ := run(t, s)
		if got := !strings.Contains(out, "-iutf8"); got != c.want {
			t.Errorf("%v: iutf8 %v, want %v", s.Env, got, c.want)
		}
	}
}

// What was written before the end is read after it, until EIO.
func TestTailIsNotLost(t *testing.T) {
	for i := range 60 {
		s := onTerminal(shell("seq 1 500; printf 'the tail'"))
		p := start(t, s)
		if i%2 == 0 {
			await(t, p) // the output fits the kernel's buffer
		}
		out := output(t, p.Output())
		if !strings.HasSuffix(out, "\n500\nthe tail") || !strings.HasPrefix(out, "1\n2\n") {
			t.Fatalf("run %d: %d bytes, the end is %q", i, len(out), out[max(0, len(out)-20):])
		}
		if _, err := p.Output().Read(make([]byte, 1)); !errors.Is(err, syscall.EIO) || !IsEnd(err) {
			t.Errorf("after the end: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseWakesReader(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		s := newSpec("/bin/cat")
		s.Terminal = terminal
		p := start(t, s)
		failed := make(chan error)
		go func() {
			_, err := p.Output().Read(make([]byte, 1))
			failed <- err
		}()
		_ = p.Close()
		select {
		case err := <-failed:
			if !errors.Is(err, os.ErrClosed) && !IsEnd(err) {
				t.Errorf("terminal %v: %v", terminal, err)
			}
		case <-time.After(ample):
			t.Fatalf("terminal %v: the reader sleeps on", terminal)
		}
	}
}

func TestDeadlines(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		s := shell("stty raw -echo 2>/dev/null; echo ready; exec sleep 1000")
		s.Terminal = terminal
		p := start(t, s)
		linesOf(t, p.Output()).next()
		if err := p.Output().SetReadDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Output().Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read, terminal %v: %v", terminal, err)
		}
		if err := p.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := p.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n <= 0 || n >= 1<<20 {
			t.Errorf("write to a program that does not read, terminal %v: %d, %v", terminal, n, err)
		}
	}
}

func TestInputOfATerminalStaysOpen(t *testing.T) {
	p := start(t, onTerminal(newSpec("/bin/cat")))
	if err := p.CloseInput(); !errors.Is(err, ErrTerminal) {
		t.Error(err)
	}
	if p.Stderr() != nil {
		t.Error("a terminal has no stderr of its own")
	}
	input(t, p, "x\n\x04") // ^D
	if out := output(t, p.Output()); out != "x\nx\n" {
		t.Errorf("%q", out)
	}
}

func TestPipes(t *testing.T) {
	p := start(t, shell("cat; echo err >&2; exit 3"))
	input(t, p, "in\n")
	for range 2 {
		if err := p.CloseInput(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if out, text := output(t, p.Output()), output(t, p.Stderr()); out != "in\n" || text != "err\n" {
		t.Errorf("stdout %q, stderr %q", out, text)
	}
	if exit := await(t, p); exit.Code != 3 {
		t.Errorf("%+v", exit)
	}
}

// A program on pipes has a session of its own, without a terminal.
func TestPipesHaveNoTerminal(t *testing.T) {
	p := start(t, shell("ps -o tty=,sid= -p $$; echo $$; (: </dev/tty) 2>&1 || echo none"))
	l := linesOf(t, p.Output())
	ps, pid := strings.Fields(l.next()), l.next()
	if len(ps) != 2 || ps[0] != "?" || ps[1] != pid {
		t.Errorf("terminal and session of %s: %v", pid, ps)
	}
}

func TestBigStreams(t *testing.T) {
	data := make([]byte, 5<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	hexed := []byte(hex.EncodeToString(data[:len(data)/2]))
	for _, c := range []struct {
		name string
		spec Spec
		data []byte
	}{
		{"pipe", newSpec("/bin/cat"), data},
		// Raw: nothing is changed, and nothing waits for the end of a line.
		{"terminal", onTerminal(shell(fmt.Sprintf("stty raw -echo; echo ready; exec head -c %d", len(data)))), data},
		{"terminal, text", onTerminal(shell(fmt.Sprintf("stty raw -echo; echo ready; exec head -c %d", len(hexed)))), hexed},
	} {
		t.Run(c.name, func(t *testing.T) { echoed(t, c.spec, c.data) })
	}
}

func echoed(t *testing.T, s Spec, data []byte) {
	p := start(t, s)
	setDeadline(t, p.Output())
	if s.Terminal {
		ready := make([]byte, len("ready\n"))
		if _, err := io.ReadFull(p.Output(), ready); err != nil {
			t.Fatal(err)
		}
	}
	failed := make(chan error)
	go func() {
		_, err := p.Write(data)
		if !s.Terminal {
			err = errors.Join(err, p.CloseInput())
		}
		failed <- err
	}()
	got := sha256.New()
	_, err := io.Copy(got, p.Output())
	if err != nil && !IsEnd(err) {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(data)
	if hex.EncodeToString(got.Sum(nil)) != hex.EncodeToString(want[:]) {
		t.Error("what came back is not what was sent")
	}
}

func TestSignals(t *testing.T) {
	for _, name := range []string{"INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "TSTP", "CONT"} {
		for _, terminal := range []bool{false, true} {
			s := shell(fmt.Sprintf(`trap 'echo got %s; exit 9' %s; echo ready; while :; do sleep 0.05; done`, name, name))
			s.Terminal = terminal
			p := start(t, s)
			l := linesOf(t, p.Output())
			l.next()
			if err := p.Signal(name); err != nil {
				t.Fatal(err)
			}
			for l.next() != "got "+name { // before it ^C and the like, or how sleep ended
			}
			if exit := await(t, p); exit.Code != 9 {
				t.Errorf("%s: %+v", name, exit)
			}
		}
	}
}

func TestSignalErrors(t *testing.T) {
	p := start(t, newSpec("/bin/cat"))
	for _, name := range []string{"", "SIGINT", "STOP", "15"} {
		if err := p.Signal(name); !errors.Is(err, ErrSignal) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := p.Signal("KILL"); err != nil {
		t.Fatal(err)
	}
	if exit := await(t, p); exit != (Exit{137, "KILL"}) {
		t.Errorf("%+v", exit)
	}
	if err := p.Signal("TERM"); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("after the end: %v", err)
	}
}

// A job in the foreground gets the signal, not the shell that waits for it.
func TestSignalGoesToTheForeground(t *testing.T) {
	for _, name := range []string{"INT", "TERM", "USR1"} {
		p := start(t, onTerminal(shell(`set -m; trap : INT; sh -c 'echo ready; exec sleep 1000'; echo status $?`)))
		l := linesOf(t, p.Output())
		l.next()
		// The shell gives the terminal to the job's group before or after that
		// line; what is signalled must be the job in both cases.
		foreground(t, p)
		if err := p.Signal(name); err != nil {
			t.Fatal(err)
		}
		for got := l.next(); ; got = l.next() {
			if status, ok := strings.CutPrefix(got, "status "); ok {
				if want := fmt.Sprint(128 + int(unix.SignalNum("SIG"+name))); status != want {
					t.Errorf("%s: status %s, want %s", name, status, want)
				}
				break
			}
		}
		if exit := await(t, p); exit.Code != 0 {
			t.Errorf("%s: the shell: %+v", name, exit)
		}
	}
}

// foreground waits until another group than the leader's has the terminal.
func foreground(t *testing.T, p *Process) {
	t.Helper()
	eventually(t, "a job in the foreground", func() bool {
		var group uint32
		err := control(p.Output(), func(fd int) (err error) {
			group, err = unix.IoctlGetUint32(fd, unix.TIOCGPGRP)
			return err
		})
		return err == nil && int(group) != p.Pid()
	})
}
