//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"etcha/go/e2e/testkit"
	"etcha/go/record"
)

// stillThere is how long a session outlives its client here: longer than any
// of these tests takes on a slow machine.
const stillThere = "30m"

// survivor is a node with a client that counts on it through a proxy.
type survivor struct {
	t     *testing.T
	node  *testkit.Node
	key   string
	proxy *testkit.Proxy
}

func newSurvivor(t *testing.T) *survivor {
	t.Helper()
	key, public := testkit.Keys(t, bin)
	n := testkit.NewNode(t, bin, "127.0.0.1", testkit.Settings{
		"run": testkit.Settings{"verifyKeys": []string{public}},
		"sources": testkit.Settings{"debug": testkit.Settings{
			"shell": testkit.Settings{"command": "/bin/bash --norc", "resumeFor": stillThere, "record": "output"},
		}},
	})
	return &survivor{t: t, node: n, key: key, proxy: testkit.NewProxy(t, n.Addr)}
}

// etcha is the program as somebody uses it who has the key.
func (s *survivor) etcha(args ...string) *exec.Cmd {
	return s.node.Etcha(append([]string{"-x", "build_signingKey=" + s.key}, args...)...)
}

// command runs a program on the node, reached through the proxy.
func (s *survivor) command(words ...string) *exec.Cmd {
	return s.etcha(append([]string{"shell", "--node-id", s.node.ID, "debug", s.proxy.Addr, "--"}, words...)...)
}

// counting is a program that prints its process ID and then about 100 lines a
// second, numbered, until it is stopped.
type counting struct {
	s    *survivor
	stop string // the file that stops it
	out  bytes.Buffer
	errs testkit.Buffer
	cmd  *exec.Cmd
}

const counter = `echo pid $$; i=0; while [ ! -e "$1" ]; do echo "line $i"; i=$((i+1)); sleep 0.01; done; echo pid $$; echo "last $i"; exit 7`

func (s *survivor) count() *counting {
	s.t.Helper()
	c := &counting{s: s, stop: filepath.Join(s.t.TempDir(), "stop")}
	c.cmd = s.command("/bin/bash", "--norc", "-c", counter, "counter", c.stop)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.errs
	must(s.t, c.cmd.Start())
	s.t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

// check stops the program and wants every line once, in order, from one shell.
func (c *counting) check() {
	t := c.s.t
	t.Helper()
	must(t, os.WriteFile(c.stop, nil, 0o600))
	if err := c.cmd.Wait(); c.cmd.ProcessState.ExitCode() != 7 {
		t.Fatalf("exit status %d, want 7: %v\n%s", c.cmd.ProcessState.ExitCode(), err, &c.errs)
	}
	c.s.recorded(c.out.String())
	lines := bufio.NewScanner(&c.out)
	next := func() string { lines.Scan(); return lines.Text() }
	first, n := next(), 0
	for lines.Scan() && lines.Text() != first {
		if want := fmt.Sprintf("line %d", n); lines.Text() != want {
			t.Fatalf("line %q where %q was due", lines.Text(), want)
		}
		n++
	}
	if last := next(); !strings.HasPrefix(first, "pid ") || last != fmt.Sprintf("last %d", n) || lines.Scan() {
		t.Fatalf("began with %q, ended with %q after %d lines", first, last, n)
	}
	t.Logf("%d lines, each once; the client said:\n%s", n, tail(c.errs.String(), 2000))
	if n < 100 {
		t.Errorf("only %d lines", n)
	}
}

// recorded wants a recording of exactly this output: also what passed while the
// daemon was away is in it, once.
func (s *survivor) recorded(text string) {
	s.t.Helper()
	dir := filepath.Join(s.node.Dir, "state", "recordings")
	testkit.Eventually(s.t, "a recording of what the client got", func() bool {
		for _, file := range recordings(s.t, dir) {
			if _, err := os.Stat(file + ".state"); err != nil && played(s.t, file) == text {
				return true
			}
		}
		return false
	})
}

// played is a recording's output.
func played(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	r, err := record.NewReader(f)
	must(t, err)
	var out strings.Builder
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		must(t, err)
		if e.Code == record.Output {
			out.WriteString(e.Data)
		}
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// pasting feeds 1 MB to sha256sum, at a pace that spreads it over what happens.
type pasting struct {
	s    *survivor
	want string
	cmd  *exec.Cmd
	out  bytes.Buffer
	errs testkit.Buffer
	fed  chan struct{}
}

const pasted = 1 << 20

func (s *survivor) paste(pause time.Duration) *pasting {
	s.t.Helper()
	data := make([]byte, pasted)
	_, _ = rand.Read(data)
	sum := sha256.Sum256(data)
	p := &pasting{s: s, want: hex.EncodeToString(sum[:]), cmd: s.command("sha256sum"), fed: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	in, err := p.cmd.StdinPipe()
	must(s.t, err)
	must(s.t, p.cmd.Start())
	s.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	go func() {
		defer close(p.fed)
		defer in.Close()
		for len(data) > 0 {
			n := min(len(data), 1+mrand.IntN(16<<10))
			if _, err := in.Write(data[:n]); err != nil {
				return
			}
			data = data[n:]
			time.Sleep(mrand.N(2*pause + 1))
		}
	}()
	return p
}

func (p *pasting) check() {
	p.s.t.Helper()
	<-p.fed
	if err := p.cmd.Wait(); err != nil {
		p.s.t.Fatalf("sha256sum: %v\n%s", err, &p.errs)
	}
	if got, _, _ := strings.Cut(p.out.String(), " "); got != p.want {
		p.s.t.Errorf("the program read other bytes than were pasted: %s, want %s", got, p.want)
	}
}

// A session goes on through whatever a network does, and nothing is lost or doubled.
func TestSessionsSurviveTheNetwork(t *testing.T) {
	t.Parallel() // it mostly waits
	cuts, dark := 100, 60*time.Second
	if testing.Short() {
		cuts, dark = 20, 5*time.Second
	}
	s := newSurvivor(t)
	counting, pasting := s.count(), s.paste(400*time.Millisecond)
	testkit.Eventually(t, "both sessions to be open", func() bool { return sessionsOf(t, s.node) == 2 })
	for range cuts {
		time.Sleep(mrand.N(600 * time.Millisecond))
		s.proxy.Cut()
	}
	for _, d := range []time.Duration{3 * time.Second, dark} {
		s.proxy.Blackhole(true)
		time.Sleep(d)
		s.proxy.Blackhole(false)
		time.Sleep(2 * time.Second)
	}
	// The path changes: another proxy behind the first, from another address.
	other := testkit.NewProxy(t, s.node.Addr)
	s.proxy.Backend(other.Addr)
	s.proxy.Cut()
	time.Sleep(time.Second)
	pasting.check()
	counting.check()
}

func sessionsOf(t *testing.T, n *testkit.Node) int {
	t.Helper()
	out, err := n.Etcha("node", "show", "--json").Output()
	must(t, err)
	var status struct{ Sessions int }
	must(t, json.Unmarshal(out, &status))
	return status.Sessions
}

// Sessions go on while their daemon is restarted, killed, killed with everything
// in its control group, or replaced by another version with its keeper.
func TestSessionsSurviveTheDaemon(t *testing.T) {
	t.Parallel() // it mostly waits
	times := 20
	if testing.Short() {
		times = 3
	}
	for _, c := range []struct {
		name  string
		times int
		end   func(t *testing.T, s *survivor, group string)
		group bool
	}{
		{"restart", times, func(_ *testing.T, s *survivor, _ string) { s.node.Terminate() }, false},
		{"kill", times, func(_ *testing.T, s *survivor, _ string) { s.node.Signal(syscall.SIGKILL); s.node.Wait() }, false},
		{"kill the control group", times, func(t *testing.T, s *survivor, group string) {
			must(t, os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0))
			s.node.Wait()
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSurvivor(t)
			group := ""
			if c.group {
				s.node.Terminate()
				group = s.node.Cgroup()
				s.node.Restart()
			}
			counting, pasting := s.count(), s.paste(200*time.Millisecond)
			testkit.Eventually(t, "both sessions to be open", func() bool { return sessionsOf(t, s.node) == 2 })
			keeper := s.node.Keeper()
			for range c.times {
				time.Sleep(mrand.N(700 * time.Millisecond))
				c.end(t, s, group)
				if c.group {
					group = s.node.Cgroup()
				}
				time.Sleep(mrand.N(300 * time.Millisecond))
				s.node.Restart()
			}
			if s.node.Keeper() != keeper {
				t.Error("another keeper holds the sessions")
			}
			pasting.check()
			counting.check()
		})
	}
}

func TestSessionsSurviveAnUpgrade(t *testing.T) {
	t.Parallel() // it mostly waits
	s := newSurvivor(t)
	counting, pasting := s.count(), s.paste(50*time.Millisecond)
	testkit.Eventually(t, "both sessions to be open", func() bool { return sessionsOf(t, s.node) == 2 })
	keeper := s.node.Keeper()
	for _, next := range []string{testkit.Newer(t), bin} {
		time.Sleep(time.Second)
		s.node.Terminate()
		s.node.Upgrade(next)
		s.node.Restart()
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", keeper))
		must(t, err)
		if s.node.Keeper() != keeper || exe != next {
			t.Errorf("the keeper is process %d with %s, was %d; want %s", s.node.Keeper(), exe, keeper, next)
		}
	}
	time.Sleep(time.Second)
	pasting.check()
	counting.check()
}

// What a client has typed, and the exit of a program that ended meanwhile, are
// not lost with the daemon.
func TestExitStatusWhileTheDaemonIsAway(t *testing.T) {
	s := newSurvivor(t)
	go_, gone := filepath.Join(t.TempDir(), "go"), filepath.Join(t.TempDir(), "gone")
	cmd := s.command("/bin/bash", "--norc", "-c", `echo up; while [ ! -e "$1" ]; do sleep 0.05; done; echo bye; touch "$2"; exit 42`, "x", go_, gone)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); line != "up\n" {
		t.Fatalf("%q, %v", line, err)
	}
	s.node.Signal(syscall.SIGKILL)
	s.node.Wait()
	must(t, os.WriteFile(go_, nil, 0o600))
	testkit.Eventually(t, "the program to end", func() bool { _, err := os.Stat(gone); return err == nil })
	s.node.Restart()
	rest, err := io.ReadAll(r)
	must(t, err)
	_ = cmd.Wait()
	if string(rest) != "bye\n" || cmd.ProcessState.ExitCode() != 42 {
		t.Errorf("%q and exit status %d, want bye and 42", rest, cmd.ProcessState.ExitCode())
	}
}
