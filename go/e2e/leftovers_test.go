//go:build linux

package e2e

import (
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"etcha/go/e2e/testkit"
)

// leave starts what tries to outlive a session, marked so that it can be found.
const leave = `
sleep %[1]s.1 & nohup sleep %[1]s.2 >/dev/null 2>&1 &
setsid sleep %[1]s.3 & setsid sh -c 'trap "" HUP TERM; sleep %[1]s.4; sleep %[1]s.5' &
(setsid sh -c 'setsid sleep %[1]s.6 & exit' &) ; env -i setsid sh -c '(sleep %[1]s.7 &)' &
(trap '' HUP TERM; exec sleep %[1]s.8) &
`

// sessions is a number of sessions that end in one way.
type ending struct {
	name   string
	script string
	end    func(c *running)
}

type running struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	proxy *testkit.Proxy
}

func endings() []ending {
	return []ending{
		{"the program exits", "exit 3", func(c *running) {}},
		{"the program is killed", "kill -9 $$", func(c *running) {}},
		{"stdin ends", "", func(c *running) { _ = c.stdin.Close() }},
		{"the client is asked to end", "sleep 1000", func(c *running) { _ = c.cmd.Process.Signal(syscall.SIGTERM) }},
		{"the client is killed", "sleep 1000", func(c *running) { _ = c.cmd.Process.Kill() }},
		{"the network is cut", "sleep 1000", func(c *running) { c.proxy.Refuse(true); c.proxy.Cut() }},
	}
}

// Whatever way sessions end, nothing of them is left: no process, no terminal,
// no goroutine, no descriptor, no control group.
func TestNothingIsLeftBehind(t *testing.T) {
	total := 200
	if testing.Short() {
		total = 30
	}
	key, public := testkit.Keys(t, bin)
	far := testkit.NewNode(t, bin, "127.0.0.1", testkit.Settings{
		"run": testkit.Settings{"verifyKeys": []string{public}, "systemMetricsKey": metricsKey},
		"sources": testkit.Settings{"debug": testkit.Settings{
			"shell": testkit.Settings{"command": "/bin/bash --norc", "resumeFor": "1s"},
		}},
	})
	// What the first session starts for good, such as the keeper, is there before it is counted.
	oneSession(t, far, key, endings()[0], "97531", false)
	atRest(t, far, "97531")
	goroutines, descriptors := goroutinesOf(t, far), testkit.Descriptors(t, far.Pid())
	keeperDescriptors, terminals := testkit.Descriptors(t, far.Keeper()), testkit.Terminals(t)

	var wg sync.WaitGroup
	slots := make(chan struct{}, 6)
	for i := range total {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wg.Done() }()
			oneSession(t, far, key, endings()[i%len(endings())], fmt.Sprintf("97532%03d", i), i%2 == 0)
		}()
	}
	wg.Wait()
	atRest(t, far, "97532")
	testkit.Eventually(t, "goroutines, descriptors and terminals are as before", func() bool {
		return goroutinesOf(t, far) <= goroutines+2 && testkit.Descriptors(t, far.Pid()) <= descriptors+2 &&
			testkit.Descriptors(t, far.Keeper()) <= keeperDescriptors && testkit.Terminals(t) <= terminals
	})
	keeper := far.Keeper()
	if far.Terminate() != 0 {
		t.Error("the daemon's exit status is not 0")
	}
	testkit.Eventually(t, "the keeper leaves when it has no session and no daemon", func() bool { return far.Keeper() != keeper })
}

// A daemon that stops leaves its sessions to the keeper, for as long as they may
// be resumed; then they end whole.
func TestSessionsOfAStoppedDaemon(t *testing.T) {
	key, public := testkit.Keys(t, bin)
	far := testkit.NewNode(t, bin, "127.0.0.1", testkit.Settings{
		"run": testkit.Settings{"verifyKeys": []string{public}},
		"sources": testkit.Settings{"debug": testkit.Settings{
			"shell": testkit.Settings{"command": "/bin/bash --norc", "resumeFor": "3s"},
		}},
	})
	etcha := client(t, key, target(t, far.Addr))
	var clients []*exec.Cmd
	for i := range 5 {
		cmd := etcha("shell", "-T", "debug", "myhost")
		stdin, err := cmd.StdinPipe()
		must(t, err)
		must(t, cmd.Start())
		_, err = io.WriteString(stdin, fmt.Sprintf(leave, "86420"+strconv.Itoa(i)))
		must(t, err)
		clients = append(clients, cmd)
		testkit.Eventually(t, "the session runs", func() bool { return testkit.Running(t, "sleep 86420"+strconv.Itoa(i)+".8") })
	}
	if status := far.Terminate(); status != 0 {
		t.Errorf("the daemon's exit status is %d", status)
	}
	if !testkit.Running(t, "sleep 86420") {
		t.Error("the sessions ended with the daemon")
	}
	for _, cmd := range clients {
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 255 {
			t.Errorf("a client that lost its node exits with %d, want 255", code)
		}
	}
	testkit.Eventually(t, "the sessions end after resumeFor", func() bool { return !testkit.Running(t, "sleep 86420") })
	testkit.Eventually(t, "the keeper leaves", func() bool { return far.Keeper() == 0 })
}

func oneSession(t *testing.T, far *testkit.Node, key string, e ending, mark string, terminal bool) {
	t.Helper()
	proxy := testkit.NewProxy(t, far.Addr)
	mode := "-T"
	if terminal {
		mode = "-t"
	}
	cmd := client(t, key, target(t, proxy.Addr))("shell", mode, "debug", "myhost")
	out := &testkit.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	stdin, err := cmd.StdinPipe()
	must2(t, err)
	must2(t, cmd.Start())
	_, err = io.WriteString(stdin, fmt.Sprintf(leave, mark)+"echo rea''dy\n")
	must2(t, err)
	testkit.Eventually(t, "the session runs: "+out.String(), func() bool { return strings.Contains(out.String(), "ready") })
	if e.script != "" {
		_, err = io.WriteString(stdin, e.script+"\n")
		must2(t, err)
	}
	e.end(&running{cmd: cmd, stdin: stdin, proxy: proxy})
	_ = cmd.Wait()
}

// must2 fails the test from any goroutine.
func must2(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// atRest waits until no session is open and nothing marked runs.
func atRest(t *testing.T, node *testkit.Node, mark string) {
	t.Helper()
	testkit.Eventually(t, "no process of a session is left", func() bool { return !testkit.Running(t, "sleep "+mark) })
	testkit.Eventually(t, "no session is open", func() bool {
		_, text := scrape(t, node, metricsKey)
		return !regexp.MustCompile(`(?m)^etcha_sources_shells\{.*\} [1-9]`).MatchString(text)
	})
}

func goroutinesOf(t *testing.T, node *testkit.Node) int {
	t.Helper()
	_, text := scrape(t, node, metricsKey)
	m := regexp.MustCompile(`(?m)^go_goroutines (\d+)`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("no go_goroutines in the metrics")
	}
	return atoi(t, m[1])
}
