package cli

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// piped is etcha shell between pipes.
type piped struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
}

func (n *shellNode) pipe(t *testing.T, args ...string) *piped {
	t.Helper()
	p := &piped{t: t, cmd: n.command(args...)}
	p.cmd.Stderr = &p.stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// line reads the next line of stdout.
func (p *piped) line(want string) {
	p.t.Helper()
	got, err := p.stdout.ReadString('\n')
	if err != nil || got != want+"\n" {
		p.t.Fatalf("read %q, %v; want %q; stderr: %s", got, err, want, p.stderr.String())
	}
}

func (p *piped) ends(status int) {
	p.t.Helper()
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Errorf("exit status %d, want %d; stderr: %s", got, status, p.stderr.String())
	}
}

func (p *piped) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

func TestPipe(t *testing.T) {
	n := newShellNode(t)
	t.Run("stdin that stays open does not hold the end up", func(t *testing.T) {
		p := n.pipe(t, "--", "sh", "-c", "exit 4")
		p.ends(4)
	})
	t.Run("the end of stdin", func(t *testing.T) {
		p := n.pipe(t, "--", "cat")
		if _, err := io.WriteString(p.stdin, "through\n"); err != nil {
			t.Fatal(err)
		}
		p.line("through")
		if err := p.stdin.Close(); err != nil {
			t.Fatal(err)
		}
		p.ends(0)
	})
	t.Run("Ctrl-C reaches the program", func(t *testing.T) {
		p := n.pipe(t, "--", "bash", "-c", `trap 'echo got; exit 9' INT; echo ready; while :; do sleep 0.02; done`)
		p.line("ready")
		p.signal(syscall.SIGINT)
		p.line("got")
		p.ends(9)
	})
	t.Run("the second Ctrl-C ends the session", func(t *testing.T) {
		p := n.pipe(t, "--", "bash", "-c", `trap 'echo got' INT; echo ready; while :; do sleep 0.02; done`)
		p.line("ready")
		p.signal(syscall.SIGINT)
		p.line("got")
		p.signal(syscall.SIGINT)
		p.ends(130)
	})
	t.Run("TERM", func(t *testing.T) {
		p := n.pipe(t, "--", "sh", "-c", "echo ready; exec sleep 1000")
		p.line("ready")
		p.signal(syscall.SIGTERM)
		p.ends(143)
		if !strings.Contains(p.stderr.String(), "SIGTERM") {
			t.Errorf("stderr: %q", p.stderr.String())
		}
	})
	t.Run("nobody reads stdout any more", func(t *testing.T) {
		cmd := n.command("--", "yes")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		out.Close()
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 141 {
			t.Errorf("exit status %d, want 141", got)
		}
	})
	t.Run("a disk that is full", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		var stderr bytes.Buffer
		cmd := n.command("--", "echo", "x")
		cmd.Stdout, cmd.Stderr = full, &stderr
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != 1 || !strings.Contains(stderr.String(), "error: write to stdout: ") {
			t.Errorf("exit status %d, want 1; stderr: %s", got, stderr.String())
		}
	})
	n.hasSessions(t, 0)
}

// What leaves a shell with its client's signals ignored, such as nohup, is not
// undone.
func TestPipeKeepsIgnoredSignals(t *testing.T) {
	n := newShellNode(t)
	etcha, err := exec.LookPath("etcha")
	if err != nil {
		t.Fatal(err)
	}
	p := &piped{t: t, cmd: n.command()}
	p.cmd.Path, p.cmd.Args = "/bin/sh", []string{"sh", "-c", `trap '' HUP; exec "$0" "$@"`, etcha}
	p.cmd.Args = append(p.cmd.Args, n.shellArgs("--", "cat")...)
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"before", "after"} {
		if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
			t.Fatal(err)
		}
		p.line(line)
		p.signal(syscall.SIGHUP)
	}
	p.stdin.Close()
	p.ends(0)
}

func TestReload(t *testing.T) {
	n := newShellNode(t)
	path := filepath.Join(n.home, "etcha.jsonnet")
	conf, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func() int {
		cmd := n.command()
		cmd.Args = append(cmd.Args[:len(cmd.Args)-2], "late", "127.0.0.1:"+n.port(), "--", "true")
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode()
	}
	if got := try(); got != 255 {
		t.Fatalf("exit status %d before the source exists, want 255", got)
	}
	more := strings.Replace(string(conf), "sources: {", "sources: { late: { shell: '/bin/sh' },", 1)
	if err := os.WriteFile(path, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); try() != 0; {
		if time.Now().After(deadline) {
			t.Fatal("the node does not read its configuration again")
		}
	}
}

// A demo leaves nothing behind, however it ends.
func TestDemoOnATerminal(t *testing.T) {
	for _, c := range []struct {
		name   string
		end    func(*screen)
		status int
	}{
		{"exit", func(s *screen) { s.types("exit 6\r") }, 6},
		{"escape", func(s *screen) { s.types("\r~.") }, 0},
		{"TERM", func(s *screen) { s.signal(syscall.SIGTERM) }, 143},
		{"HUP", func(s *screen) { s.signal(syscall.SIGHUP) }, 129},
	} {
		t.Run(c.name, func(t *testing.T) {
			temp, err := os.MkdirTemp("", "etcha-cli-")
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("etcha", "demo")
			cmd.Env = append(os.Environ(), "TMPDIR="+temp, "TERM=xterm", "NO_COLOR=1", "etcha_run_stateDir=/nowhere")
			s := onScreen(t, cmd)
			s.sees("Leave with exit")
			s.sees("\x1b[?2004h") // bash waits for a line
			s.isRaw()
			c.end(s)
			s.ends(c.status)
			if err := os.Remove(temp); err != nil {
				t.Errorf("something is left on disk: %v", err)
			}
			if left := processesWith(t, temp); len(left) > 0 {
				t.Errorf("still running: %q", left)
			}
		})
	}
}

// processesWith lists the processes whose command line contains text.
func processesWith(t *testing.T, text string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(text)) {
			found = append(found, string(bytes.ReplaceAll(b, []byte{0}, []byte(" "))))
		}
	}
	return found
}
