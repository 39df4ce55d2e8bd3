package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts drive the real program against a real node on a free port.
//
//	node [args]        start a node with ./etcha.jsonnet; sets NODE_ID, NODE_URL, NODE_PORT
//	keys NAME [flags]  make the keys NAME and NAME.pub; sets NAME_pub
//	keep NAME          sets NAME to the last output, without its line's end
//	status N command   run a command that must exit with N
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "xdg"))
			e.Setenv("TERM", "xterm")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node": scriptNode, "keys": scriptKeys, "status": scriptStatus, "keep": scriptKeep,
		},
	})
}

func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func scriptKeep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keep NAME")
	}
	ts.Setenv(args[0], strings.TrimSuffix(ts.ReadFile("stdout"), "\n"))
}

func scriptKeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: keys NAME [flags]")
	}
	ts.Check(ts.Exec("etcha", append([]string{"generate-keys", "--id", args[0], "--out", args[0]}, args[1:]...)...))
	pub := ts.ReadFile(args[0] + ".pub")
	ts.Setenv(args[0]+"_pub", pub[:len(pub)-1])
}

func scriptNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("node does not fail")
	}
	n, err := runNode(ts.MkAbs("."), append([]string{"-x", "run_stateDir=" + ts.MkAbs("state")}, args...))
	ts.Check(err)
	ts.Defer(func() { ts.Check(n.stop()) })
	ts.Setenv("NODE_ID", n.ready.ID)
	ts.Setenv("NODE_URL", n.ready.URL)
	ts.Setenv("NODE_PORT", n.port())
	ts.Setenv("NODE_PID", fmt.Sprint(n.cmd.Process.Pid))
}

// testNode is a node that a test has started.
type testNode struct {
	cmd   *exec.Cmd
	args  []string // before the subcommand
	dir   string
	ready readyJSON
	log   string
}

// runNode starts etcha run in dir, on a free port, and waits until it listens.
func runNode(dir string, args []string) (*testNode, error) {
	n := &testNode{dir: dir, log: filepath.Join(dir, "node.log")}
	n.args = append([]string{"-c", "etcha.jsonnet", "-x", "httpServer_listenAddress=127.0.0.1:0"}, args...)
	n.cmd = exec.Command("etcha", append(n.args, "run", "--json")...)
	n.cmd.Dir = dir
	log, err := os.Create(n.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	n.cmd.Stderr = log
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &n.ready)
	}
	if err != nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
		said, _ := os.ReadFile(n.log)
		return nil, fmt.Errorf("the node did not start: %w\n%s", err, said)
	}
	return n, nil
}

func (n *testNode) port() string {
	_, port, err := net.SplitHostPort(n.ready.Addr)
	if err != nil {
		panic(err)
	}
	return port
}

// control runs a subcommand of etcha node for this node.
func (n *testNode) control(args ...string) ([]byte, error) {
	cmd := exec.Command("etcha", append(append(append([]string{}, n.args...), "node"), args...)...)
	cmd.Dir = n.dir
	return cmd.CombinedOutput()
}

// stop stops the node with all of its sessions. A node that was stopped before
// is fine.
func (n *testNode) stop() error {
	out, err := n.control("stop")
	waited := n.cmd.Wait()
	if err != nil && waited != nil {
		return fmt.Errorf("stop the node: %w: %s; the node: %w", err, out, waited)
	}
	return nil
}
