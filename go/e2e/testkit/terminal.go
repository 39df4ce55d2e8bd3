//go:build linux

package testkit

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"
)

// Terminal is a terminal emulator with a program on it, as a user sees it.
type Terminal struct {
	Cmd *exec.Cmd

	t      testing.TB
	master *os.File
	slave  *os.File // kept open, so that modes can be read after the program's end
	screen vt10x.Terminal
	mu     sync.Mutex
	raw    Buffer
	done   chan struct{}
	read   chan struct{}
}

// NewTerminal starts cmd on a terminal of its own, as its controlling one.
func NewTerminal(t testing.TB, cmd *exec.Cmd, cols, rows int) *Terminal {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	term := &Terminal{Cmd: cmd, t: t, master: master, slave: slave, done: make(chan struct{}), read: make(chan struct{})}
	term.screen = vt10x.New(vt10x.WithSize(cols, rows), vt10x.WithWriter(master))
	term.Resize(cols, rows)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go term.pump()
	go func() { defer close(term.done); _ = cmd.Wait() }()
	t.Cleanup(term.cleanup)
	return term
}

func (x *Terminal) pump() {
	defer close(x.read)
	buf := make([]byte, 32<<10)
	for {
		n, err := x.master.Read(buf)
		if n > 0 {
			_, _ = x.raw.Write(buf[:n])
			x.mu.Lock()
			_, _ = x.screen.Write(buf[:n])
			x.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func (x *Terminal) cleanup() {
	select {
	case <-x.done:
	default:
		_ = x.Cmd.Process.Kill()
		<-x.done
	}
	_ = x.slave.Close()
	_ = x.master.Close()
	<-x.read
}

// Type sends keys.
func (x *Terminal) Type(keys string) {
	x.t.Helper()
	if _, err := x.master.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// Resize changes the window, as a user does with the mouse.
func (x *Terminal) Resize(cols, rows int) {
	x.t.Helper()
	x.mu.Lock()
	x.screen.Resize(cols, rows)
	x.mu.Unlock()
	if err := pty.Setsize(x.master, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}); err != nil {
		x.t.Fatal(err)
	}
}

// Screen is what is to be seen, lines without trailing blanks.
func (x *Terminal) Screen() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	lines := strings.Split(x.screen.String(), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \x00")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// Raw is everything that was printed.
func (x *Terminal) Raw() string { return x.raw.String() }

// Expect waits until the screen shows text.
func (x *Terminal) Expect(text string) {
	x.t.Helper()
	x.ExpectScreen(text, func(s string) bool { return strings.Contains(s, text) })
}

// ExpectScreen waits until the screen is as ok wants it.
func (x *Terminal) ExpectScreen(what string, ok func(screen string) bool) {
	x.t.Helper()
	deadline := time.Now().Add(patience)
	for pause := 2 * time.Millisecond; !ok(x.Screen()); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			x.t.Fatalf("the screen does not show: %s\n--- screen\n%s\n---", what, x.Screen())
		}
		time.Sleep(pause)
	}
}

// Wait waits for the program's end and gives its exit status, 128+n for signal n.
func (x *Terminal) Wait() int {
	x.t.Helper()
	select {
	case <-x.done:
	case <-time.After(patience):
		x.t.Fatalf("the program does not end\n--- screen\n%s\n---", x.Screen())
	}
	if ws, ok := x.Cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return x.Cmd.ProcessState.ExitCode()
}

// Modes are the terminal's modes, to compare before and after.
func (x *Terminal) Modes() unix.Termios {
	x.t.Helper()
	modes, err := unix.IoctlGetTermios(int(x.slave.Fd()), unix.TCGETS)
	if err != nil {
		x.t.Fatal(err)
	}
	return *modes
}
