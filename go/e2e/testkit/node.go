//go:build linux

package testkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of a test: far beyond what a loaded machine needs.
const patience = 60 * time.Second

// Node is a daemon of the program under test with a state folder of its own.
type Node struct {
	Dir    string // its folder: etcha.json and state/
	Config string // path of the configuration file
	ID     string // node ID
	Addr   string // host:port that it listens on
	Log    *Buffer

	t    testing.TB
	bin  string
	env  []string
	cmd  *exec.Cmd
	done chan struct{}

	settings Settings
	cgroup   *os.File // in which the daemon is started; nil: this process' own
	groups   []string // that were made
}

// Settings is a configuration tree, as JSON.
type Settings = map[string]any

// NewNode writes the configuration, to which a state folder, a listening
// address on a free port of host and the JSON log are added where it has none,
// and starts the daemon. The test's cleanup stops it with its sessions and
// fails the test when a process of it is left.
func NewNode(t testing.TB, bin, host string, settings Settings) *Node {
	t.Helper()
	dir := t.TempDir()
	n := &Node{Dir: dir, Config: filepath.Join(dir, "etcha.json"), Log: &Buffer{}, t: t, bin: bin}
	n.env = append(os.Environ(), "HOME="+dir)
	n.Write(settings, host)
	t.Cleanup(func() { n.cleanup() })
	n.Start()
	return n
}

// Write replaces the configuration file; the daemon reads it on Reload or Start.
func (n *Node) Write(settings Settings, host string) {
	n.t.Helper()
	n.settings = settings
	fill(settings, "run", "stateDir", filepath.Join(n.Dir, "state"))
	if n.Addr != "" {
		fill(settings, "httpServer", "listenAddress", n.Addr)
	}
	fill(settings, "httpServer", "listenAddress", host+":0")
	fill(settings, "cli", "logFormat", "json")
	fill(settings, "cli", "logLevel", "debug")
	b, err := json.MarshalIndent(settings, "", "  ")
	if err == nil {
		err = os.WriteFile(n.Config, b, 0o600)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

func fill(s Settings, section, key string, value any) {
	sub, ok := s[section].(Settings)
	if !ok {
		sub = Settings{}
		s[section] = sub
	}
	if _, ok := sub[key]; !ok {
		sub[key] = value
	}
}

// Start starts the daemon and waits until it says that it is ready, as systemd would.
func (n *Node) Start() {
	n.t.Helper()
	socket := filepath.Join(n.Dir, "notify")
	_ = os.Remove(socket)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		n.t.Fatal(err)
	}
	defer notify.Close()
	n.cmd = exec.Command(n.bin, "-c", n.Config, "run")
	n.cmd.Env = append(n.env, "NOTIFY_SOCKET="+socket)
	n.cmd.Stdout, n.cmd.Stderr = n.Log, n.Log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if n.cgroup != nil {
		n.cmd.SysProcAttr.UseCgroupFD, n.cmd.SysProcAttr.CgroupFD = true, int(n.cgroup.Fd())
	}
	n.cmd.WaitDelay = time.Second // the keeper may hold the log open
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.done = make(chan struct{})
	go func() { defer close(n.done); _ = n.cmd.Wait() }()
	n.awaitReady(notify)
	n.learn()
}

func (n *Node) awaitReady(notify *net.UnixConn) {
	n.t.Helper()
	ready := make(chan error, 1)
	go func() {
		buf := make([]byte, 4096)
		for {
			_ = notify.SetReadDeadline(time.Now().Add(patience))
			k, err := notify.Read(buf)
			if err != nil || bytes.Contains(buf[:k], []byte("READY=1")) {
				ready <- err
				return
			}
		}
	}()
	select {
	case err := <-ready:
		if err != nil {
			n.t.Fatalf("the node did not become ready: %v\n%s", err, n.Log)
		}
	case <-n.done:
		n.t.Fatalf("the node ended at start: %v\n%s", n.cmd.ProcessState, n.Log)
	}
}

// learn asks the daemon through its control socket where it listens and who it is.
func (n *Node) learn() {
	n.t.Helper()
	out, err := n.Etcha("node", "show", "--json").Output()
	if err != nil {
		n.t.Fatalf("node show: %v\n%s\n%s", err, stderrOf(err), n.Log)
	}
	var status struct {
		ID   string `json:"id"`
		Addr string `json:"addr"`
	}
	if err := json.Unmarshal(out, &status); err != nil || status.Addr == "" || status.ID == "" {
		n.t.Fatalf("node show: %v in %s", err, out)
	}
	n.ID, n.Addr = status.ID, status.Addr
}

func stderrOf(err error) string {
	if e := (&exec.ExitError{}); errors.As(err, &e) {
		return string(e.Stderr)
	}
	return ""
}

// Settings is the configuration as it was written last.
func (n *Node) Settings() Settings { return n.settings }

// Restart starts the daemon again, at the address that it had.
func (n *Node) Restart() {
	n.t.Helper()
	server, _ := n.settings["httpServer"].(Settings)
	server["listenAddress"] = n.Addr
	n.Write(n.settings, "")
	n.Start()
}

// Upgrade has the next start take another program.
func (n *Node) Upgrade(bin string) { n.bin = bin }

// Cgroup has the next start put the daemon into a control group of its own, as
// systemd does, and gives its folder. Without cgroup v2 the test is skipped.
func (n *Node) Cgroup() string {
	n.t.Helper()
	root := unifiedCgroup(n.t)
	dir, err := os.MkdirTemp(root, "etcha-e2e-")
	if err != nil {
		n.t.Skipf("no control group can be made: %v", err)
	}
	if n.cgroup != nil {
		_ = n.cgroup.Close()
	}
	n.groups = append(n.groups, dir)
	if n.cgroup, err = os.Open(dir); err != nil {
		n.t.Fatal(err)
	}
	return dir
}

// unifiedCgroup is where cgroup v2 is mounted.
func unifiedCgroup(t testing.TB) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.Contains(line, " - cgroup2 ") {
			return fields[4]
		}
	}
	t.Skip("cgroup v2 is not mounted")
	return ""
}

// Etcha is a command of the program with this node's configuration.
func (n *Node) Etcha(args ...string) *exec.Cmd {
	cmd := exec.Command(n.bin, append([]string{"-c", n.Config, "-x", "cli_logLevel=warn"}, args...)...)
	cmd.Env = n.env
	cmd.Dir = n.Dir
	return cmd
}

// Pid is the daemon's process ID.
func (n *Node) Pid() int { return n.cmd.Process.Pid }

// Signal sends a signal to the daemon.
func (n *Node) Signal(sig syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(sig); err != nil {
		n.t.Fatal(err)
	}
}

// Wait waits for the daemon's end and gives its exit status.
func (n *Node) Wait() int {
	n.t.Helper()
	select {
	case <-n.done:
		return n.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		n.t.Fatalf("the daemon does not end\n%s", n.Log)
		return -1
	}
}

// Terminate ends the daemon as systemd does on a restart; its sessions stay.
func (n *Node) Terminate() int {
	n.t.Helper()
	n.Signal(syscall.SIGTERM)
	return n.Wait()
}

// Keeper is the process ID of the node's keeper, 0 when there is none.
func (n *Node) Keeper() int {
	for _, p := range Processes(n.t) {
		if strings.Contains(p.Cmdline, "keeper") && strings.Contains(p.Cmdline, filepath.Join(n.Dir, "state")) {
			return p.Pid
		}
	}
	return 0
}

// cleanup stops what runs and looks for what was left behind.
func (n *Node) cleanup() {
	if n.t.Failed() {
		n.t.Logf("log of %s:\n%s", n.Addr, n.Log)
	}
	select {
	case <-n.done:
		if n.Keeper() != 0 {
			_ = syscall.Kill(n.Keeper(), syscall.SIGTERM)
		}
	default:
		if out, err := n.Etcha("node", "stop").CombinedOutput(); err != nil {
			n.t.Errorf("node stop: %v\n%s", err, out)
			_ = n.cmd.Process.Kill()
		}
		n.Wait()
	}
	Eventually(n.t, "the keeper is gone", func() bool { return n.Keeper() == 0 })
	for _, dir := range n.groups {
		Eventually(n.t, "the control group to be empty", func() bool { err := os.Remove(dir); return err == nil || errors.Is(err, os.ErrNotExist) })
	}
	for _, bad := range []string{"panic:", "WARNING: DATA RACE", "fatal error:"} {
		if strings.Contains(n.Log.String(), bad) {
			n.t.Errorf("the node's log has %q:\n%s", bad, n.Log)
		}
	}
}

// Eventually waits until ok, and fails the test when it does not come to be.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := 2 * time.Millisecond; !ok(); pause = min(2*pause, 100*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after %s: %s", patience, what)
		}
		time.Sleep(pause)
	}
}

// Buffer is a bytes.Buffer for several goroutines.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Keys makes a key pair by the program and returns the private and the public half.
func Keys(t testing.TB, bin string) (private, public string) {
	t.Helper()
	out, err := exec.Command(bin, "generate-keys", "--json").Output()
	if err != nil {
		t.Fatalf("generate-keys: %v\n%s", err, stderrOf(err))
	}
	var pair struct{ PrivateKey, PublicKey string }
	if err := json.Unmarshal(out, &pair); err != nil || pair.PrivateKey == "" || pair.PublicKey == "" {
		t.Fatal(fmt.Errorf("generate-keys: %w in %s", err, out))
	}
	return pair.PrivateKey, pair.PublicKey
}
