package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
)

func TestTerminalExitStatus(t *testing.T) {
	n := newShellNode(t)
	for _, c := range []struct {
		name, typed string
		status      int
	}{
		{"exit", "exit\r", 0},
		{"exit 7", "exit 7\r", 7},
		{"end of input", "\x04", 0},
		{"killed by TERM", "kill -TERM $$; exec sleep 1000\r", 0}, // an interactive bash ignores it
		{"program killed by TERM", "exec sh -c 'kill -TERM $$'\r", 143},
		{"program killed by KILL", "kill -KILL $$\r", 137},
	} {
		if strings.HasPrefix(c.name, "killed by") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := n.open(t)
			s.types(c.typed)
			s.ends(c.status)
		})
	}
	t.Run("program of its own", func(t *testing.T) {
		s := n.open(t, "--", "sh", "-c", "tty; exit 9")
		s.sees("/dev/pts/")
		s.ends(9)
	})
	t.Run("what was typed early is not lost", func(t *testing.T) {
		s := onScreen(t, n.command())
		s.types("exit 11\r")
		s.ends(11)
	})
}

func TestTerminalSignals(t *testing.T) {
	n := newShellNode(t)
	for _, c := range []struct {
		sig    syscall.Signal
		status int
	}{
		{syscall.SIGTERM, 143}, {syscall.SIGHUP, 129}, {syscall.SIGINT, 130}, {syscall.SIGQUIT, 131},
	} {
		t.Run(c.sig.String(), func(t *testing.T) {
			s := n.open(t)
			s.signal(c.sig)
			s.ends(c.status)
			n.hasSessions(t, 0)
		})
	}
}

// hasSessions waits until the node has that many sessions: it ends one while it
// tells the client.
func (n *shellNode) hasSessions(t *testing.T, want int) {
	t.Helper()
	var st struct{ Sessions int }
	for deadline := time.Now().Add(patience); ; {
		out, err := n.control("show", "--json")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := json.Unmarshal(out, &st); err != nil {
			t.Fatal(err)
		}
		if st.Sessions == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the node has %d sessions, want %d", st.Sessions, want)
		}
	}
}

func TestTerminalHangsUp(t *testing.T) {
	n := newShellNode(t)
	s := n.open(t)
	s.slave.Close()
	s.master.Close()
	<-s.exited
	n.hasSessions(t, 0)
}

func TestTerminalEscapes(t *testing.T) {
	n := newShellNode(t)
	s := n.open(t)
	s.types("~?")
	s.sees("~^Z  suspend etcha")
	s.types("~#")
	s.sees("session ")
	s.sees(n.ready.ID)
	s.types("echo a~.b\r")
	s.seesLine("a~.b")
	s.atPrompt("prompt:")
	s.types("~~\x15echo $((40+2))\r")
	s.seesLine("42")
	s.atPrompt("prompt:")
	// Inside a paste nothing was typed: bash asks for brackets around it.
	s.types("\x1b[200~true\r~.\x1b[201~\x15")
	s.types("\recho $((50+5))\r")
	s.seesLine("55")
	s.types("\r~.")
	s.ends(255)
	s.sees("ended the session on 127.0.0.1")
	n.hasSessions(t, 0)
}

func TestTerminalEscapeWhileTheProgramDoesNotRead(t *testing.T) {
	n := newShellNode(t)
	s := n.open(t, "--", "sh", "-c", "stty raw -echo; printf stopped; exec sleep 1000")
	s.sees("stopped")
	chunk := strings.Repeat("x", 1<<10)
	for range 2 << 10 { // 2 MiB: more than the node takes
		s.types(chunk)
	}
	s.types("\r~.")
	s.ends(255)
}

func TestTerminalOtherEscapes(t *testing.T) {
	n := newShellNode(t)
	s := onScreen(t, n.command("-e", "^]"))
	s.sees("prompt: ")
	s.types("\r~.\r\x1d?")
	s.sees("^]^Z  suspend etcha")
	s.types("\x1d.")
	s.ends(255)
	s = onScreen(t, n.command("-e", "none"))
	s.sees("prompt: ")
	s.types("\r~.\r~?\rexit 5\r")
	s.ends(5)
}

func TestTerminalResize(t *testing.T) {
	n := newShellNode(t)
	s := n.open(t, "--", "bash", "-c", `while :; do now=$(stty size); [ "$now" = "$was" ] || echo "<$now>"; was=$now; sleep 0.02; done`)
	s.sees("<24 80>")
	for _, size := range []pty.Winsize{{Cols: 101, Rows: 33}, {Cols: 40, Rows: 10}, {Cols: 200, Rows: 60}} {
		if err := pty.Setsize(s.master, &size); err != nil {
			t.Fatal(err)
		}
		s.sees(fmt.Sprintf("<%d %d>", size.Rows, size.Cols))
	}
	s.types("\x03")
	s.ends(130)
}

func TestTerminalPaste(t *testing.T) {
	n := newShellNode(t)
	const size = 300_000
	s := n.open(t, "--", "sh", "-c", fmt.Sprintf("stty raw -echo; printf ready; head -c %d | sha256sum", size))
	s.sees("ready")
	paste := make([]byte, size)
	for i := range paste {
		paste[i] = byte(i * 7) // every byte, at every place of a line
	}
	paste = bytes.ReplaceAll(paste, []byte("~"), []byte("-"))
	s.types(string(paste))
	sum := sha256.Sum256(paste)
	s.sees(hex.EncodeToString(sum[:]))
	s.ends(0)
}

func TestTerminalModesAreUndone(t *testing.T) {
	n := newShellNode(t)
	s := n.open(t, "--", "sh", "-c", `printf '\033[?1049h\033[?25l\033[?2004hfull screen'; exec sleep 1000`)
	s.sees("full screen")
	s.signal(syscall.SIGTERM)
	s.ends(143)
	s.until("the reset", func(written, _ string) bool { return strings.Contains(written, "\x1b[?1049l") })
	if written := s.written(); s.term.Mode()&vt10x.ModeAltScreen != 0 || !s.term.CursorVisible() || !strings.Contains(written, "\x1b[?2004l") {
		t.Errorf("the terminal is not put right: %q", written)
	}
}

func TestTerminalNodeLost(t *testing.T) {
	n := newShellNode(t)
	s := n.open(t)
	keepers, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range keepers {
		b, err := os.ReadFile(f)
		if err == nil && bytes.Contains(b, []byte("keeper\x00--state-dir="+n.home)) {
			var pid int
			if _, err := fmt.Sscanf(f, "/proc/%d/cmdline", &pid); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.ends(255)
	s.sees("error:")
	s.sees("was killed")
}

func TestTerminalRefusal(t *testing.T) {
	n := newShellNode(t)
	s := onScreen(t, n.command("-c", "x'"))
	s.ends(255)
	s.sees("a quote is not closed")
	if strings.Contains(s.written(), "\x1b[?") {
		t.Errorf("a terminal that was never used is reset: %q", s.written())
	}
}

func TestTerminalSuspend(t *testing.T) {
	n := newShellNode(t)
	cmd := exec.Command("env", "--default-signal", "bash", "--norc", "--noprofile", "-i") // SIGTSTP may be ignored where tests run
	cmd.Dir, cmd.Env = n.home, append(n.command().Env, "PS1=local: ")
	s := onScreen(t, cmd)
	s.sees("local: ")
	line := "etcha '" + strings.Join(n.shellArgs(), "' '") + "'\r"
	s.types(strings.ReplaceAll(line, "prompt", "pro''mpt")) // the echo of it is no prompt
	s.sees("prompt: ")
	s.types("\r~\x1a")
	s.sees("Stopped")
	s.types("stty -a | grep -ow -- -*icanon; echo $((7*11))\r")
	s.seesLine("77")
	s.seesLine("icanon")
	if err := pty.Setsize(s.master, &pty.Winsize{Cols: 90, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	s.types("fg\r")
	s.types("until stty size | grep -x '30 90'; do sleep 0.02; done\r") // size and typing do not wait for each other
	s.seesLine("30 90")
	s.types("exit 3\r")
	s.seesLine("exit")
	s.atPrompt("local:")
	s.types("echo status $?\r")
	s.sees("status 3")
	s.types("exit\r")
	s.ends(0)
}

func TestTerminalPanic(t *testing.T) {
	s := onScreen(t, exec.Command("etcha-panic"))
	s.sees("raw now")
	s.isRaw()
	s.types("x")
	s.ends(2)
	s.sees("as the test wants it")
}

func TestColours(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want bool
	}{
		{[]string{"TERM=xterm"}, true},
		{[]string{"TERM=xterm", "NO_COLOR=1"}, false},
		{[]string{"TERM=dumb"}, false},
	} {
		cmd := exec.Command("etcha", "no-such-command")
		cmd.Env = append(c.env, "PATH="+os.Getenv("PATH"))
		s := onScreen(t, cmd)
		s.ends(2)
		s.sees("unknown command")
		if got := strings.Contains(s.written(), "\x1b["); got != c.want {
			t.Errorf("%v: colours %v, want %v: %q", c.env, got, c.want, s.written())
		}
	}
}

func TestPassphraseOnTheTerminal(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	s := onScreen(t, exec.Command("etcha", "generate-keys", "--passphrase", "--out", key))
	s.sees("New passphrase: ")
	s.types("sesame\r")
	s.sees("The same again: ")
	s.types("sesam\r")
	s.sees("they differ")
	s.until("the second question", func(written, _ string) bool { return strings.Count(written, "New passphrase: ") == 2 })
	s.types("sesame\r")
	s.until("the second again", func(written, _ string) bool { return strings.Count(written, "The same again: ") == 2 })
	s.types("sesame\r")
	s.ends(0)
	if strings.Contains(s.written(), "sesame") {
		t.Error("the passphrase is on the screen")
	}

	shell := exec.Command("etcha", "shell", "-i", key, "debug", "127.0.0.1:1")
	shell.Env = append(os.Environ(), "HOME="+dir)
	s = onScreen(t, shell)
	s.sees("Passphrase of ")
	s.types("\x03")
	s.restoredAfterSignal(syscall.SIGINT)

	again := exec.Command("etcha", "shell", "-i", key, "debug", "127.0.0.1:1")
	again.Env = shell.Env
	s = onScreen(t, again)
	for i := range 3 {
		s.until("the question", func(written, _ string) bool { return strings.Count(written, "Passphrase of ") == i+1 })
		s.types("sesam\r")
	}
	s.ends(1)
	if n := strings.Count(s.written(), "once more"); n != 2 || !strings.Contains(s.written(), "wrong passphrase") {
		t.Errorf("asked again %d times: %s", n, s.written())
	}
}

// restoredAfterSignal waits for the end by a signal.
func (s *screen) restoredAfterSignal(sig syscall.Signal) {
	s.t.Helper()
	<-s.exited
	ws, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !ws.Signaled() || ws.Signal() != sig {
		s.t.Errorf("ended with %v, want signal %v", s.cmd.ProcessState, sig)
	}
	s.restored()
}
