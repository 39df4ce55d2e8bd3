package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/server"
	"etcha/go/token"
)

const (
	// demoStart is how long the node of a demo may take to be ready.
	demoStart = 30 * time.Second
	// demoStop is how long each step of the end of a demo may take before the
	// next, harder one.
	demoStop = 10 * time.Second
	// demoResume is how long a session of a demo outlives its client, should
	// the demo itself be killed.
	demoResume = "5s"
	// maxDemoTemp is the longest path of a folder for temporary files in which
	// the node's Unix sockets can be made (108 bytes, unix(7)).
	maxDemoTemp = 60
)

// demo is a node for as long as one shell on it is open.
type demo struct {
	app    *app
	source string
	args   []string

	exe   string
	dir   string // everything of the demo is in it
	shell string // replaces that of the configuration; empty: not
	node  *child
	ready readyJSON
}

func (a *app) demoCommand() *cobra.Command {
	d := &demo{app: a}
	c := &cobra.Command{
		Use:   "demo [--source SOURCE] [-- COMMAND…]",
		Short: "Open a shell on a throw-away node, to see it work",
		Long: `Start a node on a free port of this machine, with its own keys in a temporary
folder, and open a shell on it as from another machine. The exit status is the
shell's, and 0 after the escape sequence ~. . At the end the node is stopped and the folder removed.`,
		Example: `etcha demo                a shell
etcha demo -- id -un      one program
echo date | etcha demo    commands from a pipe`,
		GroupID: groupUse,
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if c.ArgsLenAtDash() != 0 && len(args) > 0 {
				return errs.Usage("unexpected argument %q", args[0]).
					WithHint("a program to run stands after --: etcha demo -- %s", strings.Join(args, " "))
			}
			d.args = args
			return d.run(c.Context())
		},
	}
	c.Flags().StringVar(&d.source, "source", "debug", "open this `SOURCE` of the built-in configuration")
	return c
}

func (d *demo) run(ctx context.Context) (err error) {
	// The children ask the kernel to be ended with their parent, and for the
	// kernel that is the thread that started them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// What the node leaves behind, its keeper, becomes a child too, and can be
	// waited for.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of what a node leaves behind: %w", err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)

	defer func() { err = errors.Join(err, d.clean()) }()
	if err := d.prepare(); err != nil {
		return fmt.Errorf("prepare the demo: %w", err)
	}
	if err := d.startNode(ctx, signals); err != nil {
		return err
	}
	d.welcome()
	return d.runShell(ctx, signals)
}

// prepare makes the folder with the key and the configuration.
func (d *demo) prepare() (err error) {
	if d.exe, err = os.Executable(); err != nil {
		return err
	}
	temp := os.TempDir()
	if len(temp) > maxDemoTemp {
		temp = "/tmp"
	}
	if d.dir, err = os.MkdirTemp(temp, "etcha-demo-"); err != nil {
		return err
	}
	key, err := token.Generate("ed25519", "demo")
	if err != nil {
		return err
	}
	if err := token.WritePrivate(d.path("key"), key.Secret(), false); err != nil {
		return err
	}
	if err := os.WriteFile(d.path("key.pub"), []byte(key.Public().String()), 0o600); err != nil {
		return err
	}
	if _, err := os.Stat("/bin/bash"); err != nil {
		d.shell = "/bin/sh"
	}
	return os.WriteFile(d.path("etcha.jsonnet"), []byte(sampleConfig), 0o600)
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

// startNode starts the node and waits until it listens.
func (d *demo) startNode(ctx context.Context, signals <-chan os.Signal) error {
	pub, err := os.ReadFile(d.path("key.pub"))
	if err != nil {
		return err
	}
	keys, err := json.Marshal([]string{string(pub)})
	if err != nil {
		return err
	}
	args := []string{
		"-c", d.path("etcha.jsonnet"),
		"-x", "httpServer_listenAddress=127.0.0.1:0",
		"-x", "run_stateDir=" + d.path("state"),
		"-x", "run_verifyKeys=" + string(keys),
		"-x", "sources_" + override(d.source) + "_shell_resumeFor=" + demoResume,
	}
	if d.shell != "" {
		args = append(args, "-x", "sources_"+override(d.source)+"_shell_command="+d.shell)
	}
	d.node, err = startNode(d.exe, append(args, "run", "--json"), d.environ(), d.path("node.log"))
	if err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	line := d.node.firstLine()
	select {
	case text, ok := <-line:
		if !ok {
			<-d.node.done
			return d.nodeFailed("the node did not start")
		}
		if err := json.Unmarshal([]byte(text), &d.ready); err != nil {
			return d.nodeFailed("the node said something unexpected")
		}
		return nil
	case sig := <-signals:
		return exit(128 + signalNumber(sig))
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(demoStart):
		return d.nodeFailed("the node did not get ready in time")
	}
}

// nodeFailed is the error for a node that failed, with what it said.
func (d *demo) nodeFailed(what string) error {
	said, err := os.ReadFile(d.path("node.log"))
	if err != nil {
		return errors.Join(errors.New(what), err)
	}
	return fmt.Errorf("%s\n%s", what, strings.TrimSpace(string(said)))
}

// environ is ours without what would configure the children.
func (d *demo) environ() []string {
	var env []string
	for _, kv := range d.app.env.Environ {
		if strings.HasPrefix(kv, "etcha_") || strings.HasPrefix(kv, "NOTIFY_SOCKET=") || strings.HasPrefix(kv, "LISTEN_") {
			continue
		}
		env = append(env, kv)
	}
	return env
}

// welcome greets a person; a pipe gets nothing.
func (d *demo) welcome() {
	env := d.app.env
	if !isTerminal(env.Stdin) || !isTerminal(env.Stdout) || len(d.args) > 0 {
		return
	}
	a := d.app
	fmt.Fprintf(a.stderr, "%s on a node of its own, %s, as from another machine.\n", a.paint(bold, "A shell"), d.ready.URL)
	fmt.Fprintf(a.stderr, "%s with exit, or with ~. at the start of a line; then the node is stopped and removed.\n", a.paint(bold, "Leave"))
	fmt.Fprintf(a.stderr, "%s id, tty, vim, resize the window, and ~? for what else etcha can do.\n\n", a.paint(bold, "Try"))
}

// runShell opens the shell in a process of its own and returns its status.
func (d *demo) runShell(ctx context.Context, signals <-chan os.Signal) error {
	_, port, ok := cutLast(d.ready.Addr, ":")
	if !ok {
		return fmt.Errorf("the node listens on %q", d.ready.Addr)
	}
	args := []string{
		"-c", d.path("etcha.jsonnet"), "-x", "targets_localhost_port=" + port,
		"shell", "-i", d.path("key"), "--known-nodes", d.path("known-nodes"), "--node-id", d.ready.ID,
		"--end-status", "0", // a demo that somebody has seen enough of is no failure
		"--no-detach",
		d.source, "localhost",
	}
	if len(d.args) > 0 {
		args = append(append(args, "--"), d.args...)
	}
	shell, err := startShell(d.exe, args, d.environ(), d.app.env)
	if err != nil {
		return fmt.Errorf("start the shell: %w", err)
	}
	var killed <-chan time.Time
	for {
		select {
		case <-shell.done:
			return exit(shell.status())
		case sig := <-signals:
			shell.signal(sig)
			if sig != os.Interrupt {
				killed = time.After(demoStop)
			}
		case <-ctx.Done():
			shell.signal(syscall.SIGTERM)
			ctx = context.WithoutCancel(ctx)
			killed = time.After(demoStop)
		case <-killed:
			shell.signal(syscall.SIGKILL)
		}
	}
}

// clean leaves nothing running and nothing on disk.
func (d *demo) clean() error {
	if d.dir == "" {
		return nil
	}
	err := d.stopNode()
	return errors.Join(err, os.RemoveAll(d.dir))
}

func (d *demo) stopNode() error {
	if d.node == nil {
		return nil
	}
	state := d.path("state")
	ctx, cancel := context.WithTimeout(context.Background(), demoStop)
	defer cancel()
	if err := server.StopNode(ctx, state); err != nil {
		d.node.signalGroup(syscall.SIGTERM) // it is on its way up or down
	}
	select {
	case <-d.node.done:
	case <-ctx.Done():
		d.node.signalGroup(syscall.SIGKILL)
		<-d.node.done
	}
	if err := stopKeeper(state); err != nil {
		return err
	}
	return awaitChildren(demoStop)
}

// stopKeeper ends a keeper that its daemon left behind, with its sessions.
func stopKeeper(state string) error {
	ctx, cancel := context.WithTimeout(context.Background(), demoStop)
	defer cancel()
	k, err := keeper.Connect(ctx, keeper.ConnectOptions{StateDir: state, Log: slog.New(slog.DiscardHandler)})
	if errors.Is(err, keeper.ErrNone) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the demo's keeper: %w", err)
	}
	defer k.Close()
	if err := k.Shutdown(ctx); err != nil {
		return fmt.Errorf("stop the demo's keeper: %w", err)
	}
	return nil
}

// cutLast cuts s around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// override writes a name as a part of the path of an override, where an
// underscore separates.
func override(name string) string { return strings.ReplaceAll(name, "_", "__") }
