package pty

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// ample bounds what must happen soon, on a machine that is busy with much else.
const ample = 60 * time.Second

// asProbe makes the test binary print what it is, as a session's program.
const asProbe = "ETCHA_PTY_PROBE"

func TestMain(m *testing.M) {
	if os.Args[0] == HelperName {
		os.Exit(HelperMain())
	}
	if os.Getenv(asProbe) != "" {
		os.Exit(probeMain())
	}
	goleak.VerifyTestMain(m)
}

var sessions atomic.Int64

// newSpec is a program on pipes, as whoever runs the test.
func newSpec(argv ...string) Spec {
	a, err := LookupAccount("", "")
	if err != nil {
		panic(err)
	}
	return Spec{
		Argv: argv, Account: a, Umask: 0o022, Dir: "/",
		Env:     []string{"PATH=" + defaultPath, "LC_ALL=C.UTF-8"},
		Session: fmt.Sprintf("test-%d-%d", os.Getpid(), sessions.Add(1)),
	}
}

func shell(script string) Spec { return newSpec("/bin/sh", "-c", script) }

func onTerminal(s Spec) Spec {
	s.Terminal = true
	return s
}

func as(s Spec, a Account) Spec {
	s.Account = a
	return s
}

// stranger is an account without an entry, which only root can become.
func stranger(t testing.TB) Account {
	t.Helper()
	needRoot(t)
	return Account{Name: "stranger", UID: 54321, GID: 37, Groups: []uint32{37, 54322, 54323}, Home: "/nonexistent", Shell: "/bin/sh"}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: this needs root")
	}
}

func needCgroup(t testing.TB) string {
	t.Helper()
	dir := FindCgroup()
	if dir == "" {
		t.Skip("NOT TESTED: no cgroup v2 in which groups can be made")
	}
	return dir
}

func start(t testing.TB, s Spec) *Process {
	t.Helper()
	return startBy(t, NewParent(), s)
}

func startBy(t testing.TB, parent *Parent, s Spec) *Process {
	t.Helper()
	p, err := parent.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

// reaper makes this process the parent of orphans for the rest of the test.
func reaper(t testing.TB) *Parent {
	t.Helper()
	if err := SetSubreaper(); err != nil {
		t.Fatal(err)
	}
	parent := NewParent()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		parent.ReapOrphans(ctx)
	}()
	eventually(t, "reaping has begun", func() bool { return parent.reaping.Load() == 1 })
	t.Cleanup(func() {
		cancel()
		<-over
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); err != nil {
			t.Error(err)
		}
	})
	return parent
}

// output reads to the end; what a terminal's line discipline adds is taken away.
func output(t testing.TB, f *os.File) string {
	t.Helper()
	setDeadline(t, f)
	b, err := readToEnd(f)
	if err != nil {
		t.Fatalf("read: %v (so far %q)", err, b)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

func readToEnd(r io.Reader) ([]byte, error) {
	var all bytes.Buffer
	_, err := all.ReadFrom(r)
	if IsEnd(err) {
		err = nil
	}
	return all.Bytes(), err
}

func setDeadline(t testing.TB, f *os.File) {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(ample)); err != nil {
		t.Fatal(err)
	}
}

// run starts, reads all and waits.
func run(t testing.TB, s Spec) (string, Exit) {
	t.Helper()
	p := start(t, s)
	out := output(t, p.Output())
	return out, await(t, p)
}

func await(t testing.TB, p *Process) Exit {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(ample):
		t.Fatal("the program does not end")
	}
	return p.Exit()
}

// lines reads a program's output line by line.
type lines struct {
	t testing.TB
	s *bufio.Scanner
}

func linesOf(t testing.TB, f *os.File) *lines {
	t.Helper()
	setDeadline(t, f)
	return &lines{t, bufio.NewScanner(f)}
}

func (l *lines) next() string {
	l.t.Helper()
	if !l.s.Scan() {
		l.t.Fatalf("no further line: %v", l.s.Err())
	}
	return strings.TrimRight(l.s.Text(), "\r")
}

func (l *lines) pid() int {
	l.t.Helper()
	n, err := strconv.Atoi(l.next())
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(ample); !f(); {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// watch pins a process so that its death can be told from its number's reuse.
func watch(t testing.TB, pid int) (dead func() bool) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return func() bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n == 1
	}
}

func input(t testing.TB, p *Process, text string) {
	t.Helper()
	if _, err := p.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err error, text string, target error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if err.Error() != text {
		t.Errorf("error %q, want %q", err, text)
	}
	if !errors.Is(err, target) {
		t.Errorf("error %v is not %v", err, target)
	}
}
