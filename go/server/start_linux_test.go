package server

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"etcha/go/config"
	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/token"
)

// setSource changes a source of a configuration.
func setSource(c *config.Config, name string, change func(*config.Source)) {
	s := c.Sources[name]
	if s.Shell != nil {
		sh := *s.Shell
		s.Shell = &sh
	}
	change(&s)
	c.Sources[name] = s
}

// TestStartFailures: one clear error each, and nothing is left: no keeper, no
// lock, no socket, no listener.
func TestStartFailures(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, c := range []struct {
		name   string
		change func(*config.Config)
		want   string
	}{
		{"busy port", func(c *config.Config) { c.HTTPServer.ListenAddress = busy.Addr().String() }, "address " + busy.Addr().String() + " is in use by another program"},
		{"foreign address", func(c *config.Config) { c.HTTPServer.ListenAddress = "192.0.2.1:4000" }, "httpServer.listenAddress 192.0.2.1:4000 cannot be used"},
		{"no address", func(c *config.Config) { c.HTTPServer.ListenAddress = "localhost" }, "httpServer.listenAddress localhost cannot be used"},
		{"state folder is a file", func(c *config.Config) {
			c.Run.StateDir = writeFile(t, filepath.Join(t.TempDir(), "file"), "")
		}, "is not a folder"},
		{"state folder cannot be made", func(c *config.Config) { c.Run.StateDir = "/proc/etcha/state" }, "cannot be written"},
		{"unreadable TLS key", func(c *config.Config) {
			cert, _ := pemPair(t, names{dns: []string{"x"}})
			c.HTTPServer.TLSCertificate, c.HTTPServer.TLSKey = cert, "/nonexistent/key.pem"
		}, "httpServer.tlsKey: open /nonexistent/key.pem: no such file or directory"},
		{"missing authority", func(c *config.Config) { c.HTTPServer.ClientCAFile = "/nonexistent" }, "httpServer.clientCAFile: open /nonexistent"},
		{"malformed verify key", func(c *config.Config) { c.Run.VerifyKeys = append(c.Run.VerifyKeys, "ed25519public:junk") }, "run.verifyKeys, entry 2"},
		{"private verify key", func(c *config.Config) {
			k := newPrivate(t, "ed25519", "x")
			setSource(c, "other", func(s *config.Source) { s.VerifyKeys = []string{k.Secret()} })
		}, "sources.other.verifyKeys, entry 1"},
		{"unknown user", func(c *config.Config) {
			setSource(c, "debug", func(s *config.Source) { s.Shell.User = "no-such-user" })
		}, `source "debug"`},
		{"unknown group", func(c *config.Config) {
			setSource(c, "debug", func(s *config.Source) { s.Shell.Group = "no-such-group" })
		}, `source "debug"`},
		{"unknown user of a process", func(c *config.Config) {
			setSource(c, "debug", func(s *config.Source) {
				s.Processes = map[string]config.Exec{"worker": {Command: "/bin/sh", User: "no-such-user"}}
			})
		}, `source "debug": process "worker"`},
		{"bad proxy", func(c *config.Config) { c.HTTPServer.TrustedProxies = []string{"proxy"} }, "httpServer.trustedProxies"},
		{"bad rate", func(c *config.Config) { c.HTTPServer.RateLimit = "often" }, `httpServer.rateLimit "often"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := failing(t, c.change)
			err := Run(t.Context(), n.options(func(NodeInfo) { t.Error("ready") }))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && errs.ExitOf(err) != errs.ExitOther {
				t.Errorf("exit status %d", errs.ExitOf(err))
			}
			n.nothingLeft()
		})
	}
}

// failing is a node that is not started.
func failing(t *testing.T, change func(*config.Config)) *testNode {
	t.Helper()
	n := &testNode{keeper: "/proc/self/exe", t: t, log: &logBuffer{}, alice: newPrivate(t, "ed25519", "alice"), bob: newPrivate(t, "ecp256", "bob")}
	n.config = newConfig(t, t.TempDir(), n.alice, n.bob)
	if change != nil {
		change(n.config)
	}
	return n
}

func (n *testNode) nothingLeft() {
	n.t.Helper()
	dir := n.config.Run.StateDir
	if k, err := keeper.Connect(n.t.Context(), keeper.ConnectOptions{StateDir: dir}); err == nil {
		n.t.Error("a keeper was started")
		k.Close()
	}
	if held, err := locked(dir, lockName); held || err != nil && !errors.Is(err, syscall.ENOTDIR) {
		n.t.Errorf("the folder is locked: %v, %v", held, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, controlName)); err == nil {
		n.t.Error("a control socket is left")
	}
}

func TestUnreadableIdentity(t *testing.T) {
	n := failing(t, nil)
	s, err := openState(n.config.Run.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token.LoadIdentity(s.path); err != nil {
		t.Fatal(err)
	}
	s.close()
	keys, err := filepath.Glob(filepath.Join(s.path, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var identity string
	for _, k := range keys {
		if filepath.Base(k) != lockName {
			identity = k
		}
	}
	good, err := os.ReadFile(identity)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"readable by others": func() error { return os.Chmod(identity, 0o644) },
		"broken":             func() error { return os.WriteFile(identity, []byte("junk"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			n.t = t
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			if err := Run(t.Context(), n.options(nil)); err == nil || !strings.Contains(err.Error(), identity) {
				t.Errorf("got %v", err)
			}
			n.nothingLeft()
			if err := errors.Join(os.WriteFile(identity, good, 0o600), os.Chmod(identity, 0o600)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestNoKeeper(t *testing.T) {
	n := failing(t, nil)
	o := n.options(nil)
	o.KeeperArgv = []string{"/nonexistent/etcha"}
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "/nonexistent/etcha") {
		t.Errorf("got %v", err)
	}
	n.nothingLeft()
}

func TestSecondDaemon(t *testing.T) {
	n := newNode(t)
	err := Run(t.Context(), n.options(nil))
	if err == nil || !strings.Contains(err.Error(), "is in use by the daemon with process ID") {
		t.Errorf("got %v", err)
	}
	if _, err := NodeStatus(t.Context(), n.config.Run.StateDir); err != nil {
		t.Errorf("the first daemon is harmed: %v", err)
	}
}

// What only root can do is refused at the start of a node that is not root's.
func TestRootOnlySettings(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, user, group, address, stateDir, want string }{
		{"user", "root", "", "", "", `user "root" needs a node that runs as root, this one runs as nobody`},
		{"group", "", "daemon", "", "", `group "daemon" needs a node that runs as root`},
		{"own user", "nobody", "", "", "", ""},
		{"unwritable state folder", "", "", "", "/var/lib/etcha-test", "state folder /var/lib/etcha-test cannot be written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := c.stateDir
			if state == "" {
				state = filepath.Join(dir, c.name)
			}
			cmd := exec.Command("/proc/self/exe", asNode, state, c.user, c.group)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			out, err := cmd.CombinedOutput()
			if c.want == "" {
				if err != nil {
					t.Errorf("does not start: %v\n%s", err, out)
				}
				return
			}
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("got %v, %s; want %q", err, out, c.want)
			}
		})
	}
}

// briefly runs a node until it is ready, and ends it.
func briefly(stateDir, user, group string) error {
	c := &config.Config{
		HTTPServer: config.HTTPServer{ListenAddress: "127.0.0.1:0"}, Run: config.Run{StateDir: stateDir},
		Sources: map[string]config.Source{"debug": {Shell: &config.Shell{Exec: config.Exec{Command: "/bin/sh", User: user, Group: group}}}},
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stopped := make(chan error, 1)
	err := Run(ctx, Options{
		Config: c, Log: quiet(), Version: "test", KeeperArgv: []string{"/proc/self/exe", asKeeper, stateDir},
		Ready: func(NodeInfo) { go func() { stopped <- StopNode(ctx, stateDir) }() },
	})
	if err == nil {
		err = <-stopped
	}
	return err
}

func TestMissingShellIsAWarning(t *testing.T) {
	n := newNode(t, func(c *config.Config) {
		setSource(c, "debug", func(s *config.Source) { s.Shell.Command = "/nonexistent/shell" })
	})
	if log := n.log.String(); !strings.Contains(log, "/nonexistent/shell") || !strings.Contains(log, "level=WARN") {
		t.Errorf("nothing was said:\n%s", log)
	}
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		"[::]:4000": "127.0.0.1:4000", "0.0.0.0:4000": "127.0.0.1:4000", "127.0.0.2:4000": "127.0.0.2:4000", "[::1]:4000": "[::1]:4000",
	} {
		if got := reachable(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	n := newNode(t)
	expect := func(want string) {
		t.Helper()
		b := make([]byte, 4096)
		if err := socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		k, err := socket.Read(b)
		if err != nil || !strings.Contains(string(b[:k]), want) {
			t.Fatalf("got %q, %v; want %q", b[:k], err, want)
		}
	}
	expect("READY=1")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	expect("RELOADING=1\nMONOTONIC_USEC=")
	expect("READY=1")
	n.leave()
	expect("STOPPING=1")
	if err := n.wait(); err != nil {
		t.Error(err)
	}
}

func TestWatchdog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	newNode(t)
	b := make([]byte, 4096)
	for seen := 0; seen < 2; {
		k, err := socket.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b[:k]), "WATCHDOG=1") {
			seen++
		}
	}
}

// A socket that systemd holds open is used instead of the configured address.
func TestSocketActivation(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tl, ok := ln.(*net.TCPListener)
	if !ok {
		t.Fatal("not TCP")
	}
	f, err := tl.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("/proc/self/exe", asActivated)
	cmd.ExtraFiles = []*os.File{f} // descriptor 3, as sd_listen_fds(3) says
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != ln.Addr().String() {
		t.Errorf("listens on %s, want %s: %v", out, ln.Addr(), err)
	}
}
