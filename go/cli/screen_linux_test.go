package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must come. Nothing depends on how
// long it takes.
const patience = 60 * time.Second

// afterExit is how long what a program wrote may take through the terminal once
// it has ended.
const afterExit = 5 * time.Second

// screen is a program on a terminal, and what a person would see of it.
type screen struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	slave  *os.File // kept open, to look at the modes after the program's end
	before unix.Termios

	mu    sync.Mutex
	moved sync.Cond
	term  vt10x.Terminal
	raw   strings.Builder // all that was written to the terminal
	ended bool

	exited chan struct{}
	read   chan struct{}
}

// onScreen starts a program on a terminal of 80 × 24.
func onScreen(t *testing.T, cmd *exec.Cmd) *screen {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Cols: 80, Rows: 24}); err != nil {
		t.Fatal(err)
	}
	master = wakeable(t, master)
	s := &screen{
		t: t, cmd: cmd, master: master, slave: slave, exited: make(chan struct{}), read: make(chan struct{}),
		term: vt10x.New(vt10x.WithSize(80, 24), vt10x.WithWriter(io.Discard)),
	}
	s.moved.L = &s.mu
	s.before = s.modes()
	if cmd.Stdin == nil {
		cmd.Stdin = slave
	}
	if cmd.Stdout == nil {
		cmd.Stdout = slave
	}
	if cmd.Stderr == nil {
		cmd.Stderr = slave
	}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.watch()
	go func() {
		defer close(s.exited)
		_ = cmd.Wait()
		s.end(afterExit)
	}()
	t.Cleanup(s.close)
	return s
}

// end makes waiting for what does not come fail after a while.
func (s *screen) end(after time.Duration) *time.Timer {
	return time.AfterFunc(after, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = true
		s.moved.Broadcast()
	})
}

// wakeable is f with a Close that wakes a Read.
func wakeable(t *testing.T, f *os.File) *os.File {
	t.Helper()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = errors.Join(f.Close(), unix.SetNonblock(fd, true))
	}
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "terminal")
}

func (s *screen) close() {
	_ = s.cmd.Process.Kill()
	<-s.exited
	_ = s.slave.Close()
	_ = s.master.Close()
	<-s.read
}

// watch shows what is written to the terminal.
func (s *screen) watch() {
	defer close(s.read)
	buf := make([]byte, 64<<10)
	for {
		n, err := s.master.Read(buf)
		s.mu.Lock()
		s.raw.Write(buf[:n])
		_, _ = s.term.Write(buf[:n])
		s.moved.Broadcast()
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// modes are the terminal's.
func (s *screen) modes() unix.Termios {
	s.t.Helper()
	m, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return *m
}

// until waits for a condition on what was written and what is on the screen.
func (s *screen) until(what string, ok func(written, shown string) bool) {
	s.t.Helper()
	defer s.end(patience).Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok(s.raw.String(), s.term.String()) {
		if s.ended {
			s.t.Fatalf("%s did not come; the screen:\n%s", what, s.term.String())
		}
		s.moved.Wait()
	}
}

// sees waits for text that is written to the terminal.
func (s *screen) sees(text string) {
	s.t.Helper()
	s.until(text, func(written, _ string) bool { return strings.Contains(written, text) })
}

// seesLine waits for a line on the screen.
func (s *screen) seesLine(line string) {
	s.t.Helper()
	s.until(fmt.Sprintf("the line %q", line), func(_, shown string) bool {
		for l := range strings.Lines(shown) {
			if strings.TrimSpace(l) == line {
				return true
			}
		}
		return false
	})
}

// atPrompt waits until the prompt is the last thing on the screen.
func (s *screen) atPrompt(prompt string) {
	s.t.Helper()
	s.until("the prompt", func(_, shown string) bool {
		shown = strings.TrimRight(shown, " \n")
		return shown == prompt || strings.HasSuffix(shown, "\n"+prompt)
	})
}

func (s *screen) types(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.master, text); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the program's end and checks its status, and that the terminal
// is as it was.
func (s *screen) ends(status int) {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.t.Fatalf("the program does not end; the screen:\n%s", s.shown())
	}
	if got := s.cmd.ProcessState.ExitCode(); got != status {
		s.t.Errorf("exit status %d, want %d; the screen:\n%s", got, status, s.shown())
	}
	s.restored()
}

func (s *screen) restored() {
	s.t.Helper()
	if got := s.modes(); got != s.before {
		s.t.Errorf("terminal modes are not as before:\n%+v\n%+v", got, s.before)
	}
}

// isRaw checks that the program has taken the terminal.
func (s *screen) isRaw() {
	s.t.Helper()
	if s.modes().Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
		s.t.Error("the terminal is not raw")
	}
}

func (s *screen) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.term.String()
}

// written is all that was written to the terminal.
func (s *screen) written() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.String()
}

func (s *screen) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatal(err)
	}
}

// shellNode is a node with a source debug, and a client that may use it.
type shellNode struct {
	*testNode
	home string
}

func newShellNode(t *testing.T) *shellNode {
	t.Helper()
	dir, err := os.MkdirTemp("", "etcha-cli-") // short: the node's sockets are in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if out, err := exec.Command("etcha", "generate-keys", "--out", filepath.Join(dir, "key")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pub, err := os.ReadFile(filepath.Join(dir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	conf := "{ run: { stateDir: '" + dir + "/state', verifyKeys: ['" + strings.TrimSpace(string(pub)) + "'] },\n" +
		"  sources: { debug: { shell: { command: '/bin/bash --norc --noprofile', acceptEnv: ['*'], share: 'true', detachFor: '1h' } },\n" +
		"    recorded: { shell: { command: '/bin/bash --norc --noprofile', record: 'output' } } } }\n"
	if err := os.WriteFile(filepath.Join(dir, "etcha.jsonnet"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := runNode(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	return &shellNode{n, dir}
}

// command is etcha shell on the node.
func (n *shellNode) command(args ...string) *exec.Cmd {
	cmd := exec.Command("etcha", n.shellArgs(args...)...)
	cmd.Dir = n.home
	cmd.Env = append(os.Environ(), "HOME="+n.home, "XDG_CONFIG_HOME="+n.home, "TERM=xterm")
	return cmd
}

func (n *shellNode) shellArgs(args ...string) []string {
	return append([]string{
		"-c", filepath.Join(n.home, "etcha.jsonnet"), "shell", "-i", filepath.Join(n.home, "key"),
		"--node-id", n.ready.ID, "--env", "PS1=prompt: ", "debug", "127.0.0.1:" + n.port(),
	}, args...)
}

// open is a shell on a screen, at its prompt.
func (n *shellNode) open(t *testing.T, args ...string) *screen {
	t.Helper()
	s := onScreen(t, n.command(args...))
	if len(args) == 0 {
		s.sees("prompt: ")
		s.isRaw()
	}
	return s
}
