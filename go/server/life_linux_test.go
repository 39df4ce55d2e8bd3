package server

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"etcha/go/config"
	"etcha/go/token"
	"etcha/go/wire"
)

// copyConfig is a configuration of its own with the same content.
func copyConfig(c *config.Config) *config.Config {
	out := *c
	out.Sources = map[string]config.Source{}
	for name, s := range c.Sources {
		if s.Shell != nil {
			sh := *s.Shell
			s.Shell = &sh
		}
		out.Sources[name] = s
	}
	return &out
}

// hangup makes the node read c, nil for a broken file, and waits until it has.
func (n *testNode) hangup(c *config.Config, says string) {
	n.t.Helper()
	before := strings.Count(n.log.String(), says)
	n.file.Store(c)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		n.t.Fatal(err)
	}
	eventually(n.t, "the log says "+says, func() bool { return strings.Count(n.log.String(), says) > before })
}

func TestReload(t *testing.T) {
	n := newNode(t)
	carol := newPrivate(t, "ed25519", "carol")
	allowed := func(key token.PrivateKey) bool {
		t.Helper()
		r := n.post(wire.PathShell("fixed"), n.sign(key, n.claims("fixed", "", wire.Shell{Op: wire.OpOpen, Command: "x"})))
		if r.status != http.StatusForbidden && r.status != http.StatusNotFound {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return r.status == http.StatusForbidden
	}
	if !allowed(n.alice) || allowed(carol) {
		t.Fatal("the wrong key is accepted at start")
	}
	n.hangup(nil, "the running one stays")
	if !allowed(n.alice) || allowed(carol) {
		t.Error("a broken file changed something")
	}
	bad := copyConfig(n.config)
	setSource(bad, "debug", func(s *config.Source) { s.Shell.User = "no-such-user" })
	bad.Run.VerifyKeys = []string{carol.Public().String()}
	n.hangup(bad, "the running one stays")
	if !allowed(n.alice) || allowed(carol) {
		t.Error("half of an unusable configuration is in force")
	}
	next := copyConfig(n.config)
	next.Run.VerifyKeys = []string{carol.Public().String()}
	next.Run.SystemMetricsKey = "now there is one"
	next.HTTPServer.ListenAddress = "127.0.0.1:1"
	n.hangup(next, "configuration reloaded")
	if allowed(n.alice) || !allowed(carol) {
		t.Error("the new keys are not in force")
	}
	if r := n.send(n.h2, http.MethodGet, wire.PathMetrics+"?key=now+there+is+one", "", ""); r.status != http.StatusOK || !strings.Contains(r.body, `etcha_sessions_started_total{break_glass="false",source="debug"} 0`) {
		t.Errorf("metrics: %d", r.status)
	}
	if !strings.Contains(n.log.String(), "httpServer.listenAddress has changed, which needs a restart") {
		t.Error("nothing was said about a setting that needs a restart")
	}
}

// A certificate that another program renews is taken up; a broken one is not.
func TestReloadCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	install := func() {
		c, k := pemPair(t, names{dns: []string{"node.example.com"}})
		writeFile(t, cert, c)
		writeFile(t, key, k)
	}
	install()
	n := newNode(t, func(c *config.Config) { c.HTTPServer.TLSCertificate, c.HTTPServer.TLSKey = cert, config.Secret(key) })
	serial := func() string {
		t.Helper()
		n.h1.CloseIdleConnections()
		resp, err := n.h1.Get(n.info.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	install()
	n.hangup(n.config, "configuration reloaded")
	second := serial()
	if first == second {
		t.Error("the new certificate is not served")
	}
	writeFile(t, key, "junk")
	n.hangup(n.config, "the running one stays")
	if serial() != second {
		t.Error("a broken key changed the certificate")
	}
}

// cli.configReload needs no signal, and says a thing once.
func TestReloadByItself(t *testing.T) {
	n := newNode(t, func(c *config.Config) { c.CLI.ConfigReload = time.Millisecond })
	next := copyConfig(n.config)
	next.Sources = map[string]config.Source{}
	n.file.Store(next)
	eventually(t, "the change is taken up", func() bool { return strings.Contains(n.log.String(), "configuration reloaded") })
	n.post(wire.PathShell("debug"), "junk")
	if !strings.Contains(n.log.String(), "reason=unknown_source") {
		t.Error("the source is still there")
	}
	n.file.Store(nil)
	for from := n.reads.Load(); n.reads.Load() < from+5; {
		n.post(wire.PathShell("debug"), "junk")
	}
	for what, want := range map[string]int{"the file is broken": 1, "configuration reloaded": 1} {
		if k := strings.Count(n.log.String(), what); k != want {
			t.Errorf("%q is said %d times", what, k)
		}
	}
}

// A reload switches reloading by itself on and off, and sets the log level.
func TestReloadOfReloading(t *testing.T) {
	n := newNode(t)
	next := copyConfig(n.config)
	next.CLI.ConfigReload = time.Millisecond
	next.CLI.LogLevel = "debug"
	n.hangup(next, "configuration reloaded")
	if got := n.level.Load(); got == nil || *got != "debug" {
		t.Errorf("log level %v", got)
	}
	from := n.reads.Load()
	eventually(t, "it is read again and again", func() bool { return n.reads.Load() > from+2 })
	n.file.Store(n.config)
	eventually(t, "the second configuration is taken up", func() bool { return strings.Count(n.log.String(), "configuration reloaded") == 2 })
	// The reload that took it up is the last.
	from = n.reads.Load()
	n.hangup(n.config, "configuration reloaded")
	if more := n.reads.Load() - from; more != 1 {
		t.Errorf("read %d times by one signal", more)
	}
}

// The certificate is renewed in time, without a restart.
func TestRenew(t *testing.T) {
	n := failing(t, nil)
	n.clock.set(time.Now())
	o := n.options(nil)
	node, err := start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	first := node.tls.current.Load().leaf
	node.renew(t.Context())
	if again := node.tls.current.Load().leaf; !again.Equal(first) {
		t.Error("renewed although it is good")
	}
	n.clock.set(first.NotAfter.Add(-certRenew))
	node.renew(t.Context())
	if again := node.tls.current.Load().leaf; again.Equal(first) || !again.NotAfter.After(first.NotAfter) {
		t.Error("not renewed in time")
	}
	if err := node.end(); err != nil {
		t.Fatal(err)
	}
}

// Who asks for the end of everything while the daemon leaves is not told that
// the sessions have ended.
func TestStopWhileLeaving(t *testing.T) {
	n := failing(t, nil)
	node, err := start(t.Context(), n.options(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := node.leave(); err != nil {
		t.Fatal(err)
	}
	if err := node.stop.ask(t.Context()); !errors.Is(err, errLeaving) {
		t.Errorf("got %v", err)
	}
	if err := StopNode(t.Context(), n.config.Run.StateDir); err != nil && !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
}

func TestLeaveAndComeBack(t *testing.T) {
	n := newNode(t)
	id := n.info.ID
	n.leave()
	if err := n.wait(); err != nil {
		t.Fatal(err)
	}
	if held, err := locked(n.config.Run.StateDir, lockName); err != nil || held {
		t.Errorf("the folder is still locked: %v, %v", held, err)
	}
	if _, err := os.Lstat(filepath.Join(n.config.Run.StateDir, controlName)); err == nil {
		t.Error("the control socket is left")
	}
	n.start()
	if n.info.ID != id {
		t.Errorf("the node's ID changed from %s to %s", id, n.info.ID)
	}
}

func TestStop(t *testing.T) {
	n := newNode(t)
	s, err := NodeStatus(t.Context(), n.config.Run.StateDir)
	if err != nil || s.ID != n.info.ID || s.Addr != n.info.Addr || s.URL != n.info.URL || s.PID != os.Getpid() || s.Version != "test" || s.Started.IsZero() {
		t.Errorf("status %+v, %v", s, err)
	}
	if err := StopNode(t.Context(), n.config.Run.StateDir); err != nil {
		t.Fatal(err)
	}
	if err := n.wait(); err != nil {
		t.Fatal(err)
	}
	n.nothingLeft()
}

// Plain HTTP, for a proxy on the same machine: HTTP/1.1, and HTTP/2 with prior knowledge.
func TestWithoutTLS(t *testing.T) {
	n := newNode(t, func(c *config.Config) { c.HTTPServer.DisableTLS = true })
	if !strings.HasPrefix(n.info.URL, "http://") {
		t.Fatalf("URL %s", n.info.URL)
	}
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	for want, c := range map[int]*http.Client{1: n.h1, 2: {Transport: tr}} {
		resp, err := c.Get(n.info.URL + wire.PathNode + "?nonce=abc")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor != want {
			t.Errorf("%s %d, want HTTP/%d", resp.Proto, resp.StatusCode, want)
		}
	}
}
