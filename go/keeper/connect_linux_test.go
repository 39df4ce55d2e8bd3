package keeper

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestRace lets many daemons start a keeper at once: they share one.
func TestRace(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { shutDown(t, dir) })
	const n = 8
	var wg sync.WaitGroup
	pids := make([]int, n)
	for i := range n {
		wg.Go(func() {
			k, err := Connect(testContext(t), ConnectOptions{StateDir: dir, Argv: keeperArgv(dir)})
			if err != nil {
				t.Error(err)
				return
			}
			defer k.Close()
			pids[i] = k.c.peer.PID
		})
	}
	wg.Wait()
	for _, pid := range pids {
		if pid == 0 || pid != pids[0] {
			t.Fatalf("keepers %v\n%s", pids, keeperLog(dir))
		}
	}
}

// TestLeavingKeeper connects again and again around the moment when a keeper
// leaves.
func TestLeavingKeeper(t *testing.T) {
	dir := t.TempDir()
	keepers := map[int]bool{}
	for i := range 40 {
		k, err := Connect(testContext(t), ConnectOptions{StateDir: dir, Argv: []string{"/proc/self/exe", roleKeeper, dir, "4ms"}})
		if err != nil {
			t.Fatalf("%d: %v\n%s", i, err, keeperLog(dir))
		}
		keepers[k.c.peer.PID] = true
		k.Close()
		<-time.After(time.Duration(i%20) * 400 * time.Microsecond)
	}
	if len(keepers) < 2 {
		t.Error("no keeper left")
	}
	awaitUnlocked(t, dir)
}

// TestLinger stays while there is a session or a daemon, and no longer.
func TestLinger(t *testing.T) {
	dir := t.TempDir()
	o := Options{StateDir: dir, Linger: time.Millisecond, Cgroup: "off"}
	served := make(chan struct{})
	k, srv := serveOwn(t, o, served)
	s := start(t, k, shell(t, "linger", "read go"))
	if _, err := s.Input(testContext(t), 0, []byte("\n"), false); err != nil {
		t.Fatal(err)
	}
	awaitEnded(t, s)
	k.Close() // the session is remembered: that is a reason to stay
	srv.mu.Lock()
	idle, leaving := srv.idle, srv.leaving
	srv.mu.Unlock()
	if idle != nil || leaving {
		t.Errorf("leaves with a session: %v %v", idle, leaving)
	}
	k, err := Connect(testContext(t), ConnectOptions{StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if s, err = k.Adopt(testContext(t), "linger"); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(testContext(t)); err != nil {
		t.Fatal(err)
	}
	k.Close()
	select {
	case <-served:
	case <-testContext(t).Done():
		t.Error("stays without a reason")
	}
}

// TestStaleSocket puts a socket aside that a dead keeper left.
func TestStaleSocket(t *testing.T) {
	dir := t.TempDir()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, socketName)})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	if _, err := Connect(testContext(t), ConnectOptions{StateDir: dir}); !errors.Is(err, ErrNone) {
		t.Errorf("only find: %v", err)
	}
	connectTo(t, dir)
	st, err := os.Stat(filepath.Join(dir, socketName))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", st, err)
	}
	shutDown(t, dir)
}

// TestLongPath goes beyond what fits a socket's address.
func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 100), strings.Repeat("y", 100))
	k := connectTo(t, dir)
	if exit := follow(t, start(t, k, shell(t, "long", "exit 3"))).toExit(); exit.Code != 3 {
		t.Errorf("exit %+v", exit)
	}
	shutDown(t, dir)
}

// TestStartErrors say what is wrong with a keeper that does not come up.
func TestStartErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cases := map[string]struct {
		o    ConnectOptions
		want error
	}{
		"no keeper, none wanted": {ConnectOptions{StateDir: dir}, ErrNone},
		"no folder":              {ConnectOptions{StateDir: filepath.Join(dir, "none")}, ErrNone},
		"not a folder":           {ConnectOptions{StateDir: file, Argv: keeperArgv(file), Stderr: os.Stderr}, syscall.ENOTDIR},
		"no program":             {ConnectOptions{StateDir: dir, Argv: []string{"/does/not/exist"}}, os.ErrNotExist},
		"relative":               {ConnectOptions{StateDir: "state", Argv: keeperArgv("state")}, ErrInvalid},
		"another program":        {ConnectOptions{StateDir: dir, Argv: []string{"/bin/false"}}, errSilent},
	}
	for name, c := range cases {
		if _, err := Connect(testContext(t), c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	s, err := newServer(Options{StateDir: dir, Cgroup: "off"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := newServer(Options{StateDir: dir}, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("two keepers: %v", err)
	}
	if _, err := newServer(Options{StateDir: t.TempDir(), Cgroup: "maybe"}, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("an unknown choice: %v", err)
	}
}

// TestConnectGivesUp ends with the context when the keeper holds the folder but
// does not answer.
func TestConnectGivesUp(t *testing.T) {
	dir := t.TempDir()
	s, err := newServer(Options{StateDir: dir, Cgroup: "off"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := Connect(ctx, ConnectOptions{StateDir: dir, Argv: keeperArgv(dir)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// TestVersions refuses sides that do not understand each other.
func TestVersions(t *testing.T) {
	k, _ := inProcess(t, nil)
	conn, err := dial(testContext(t), k.dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLink(conn, &k.pool)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if _, err := newCaller(l).ask(opHello, hello{Newest: 99, Oldest: 98}); !errors.Is(err, ErrVersion) {
		t.Errorf("from the future: %v", err)
	}
	for h, want := range map[hello]error{
		{Newest: 9, Oldest: 1}: nil, {Newest: 1, Oldest: 1}: nil, {Newest: 0}: ErrVersion, {Newest: 3, Oldest: 2}: ErrVersion,
	} {
		if err := h.check(); !errors.Is(err, want) {
			t.Errorf("%+v: %v", h, err)
		}
	}
}
