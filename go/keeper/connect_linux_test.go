package keeper

import (
	"bufio"
	"bytes"
	"context"
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

	"etcha/go/wire"
)

// role runs the test binary as something else.
func role(tb testing.TB, uid uint32, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(testContext(tb), "/proc/self/exe", append([]string{roleDaemon}, args...)...)
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	return cmd
}

// TestDaemonKilled kills daemons in the middle of a stream. The next goes on
// where the keeper says, and not a byte is missing or there twice, either way.
func TestDaemonKilled(t *testing.T) {
	dir := t.TempDir()
	k := connectTo(t, dir)
	t.Cleanup(func() { shutDown(t, dir) })
	s := start(t, k, piped(t, "flow", "exec cat"))
	s.Release()
	for i := range 8 {
		cmd := role(t, 0, "flow", dir, "flow", fmt.Sprint(100_000*(i+1)))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Errorf("daemon %d: %q, %v", i, line, err)
		}
		cmd.Process.Kill()
		_ = cmd.Wait()
		s, err := k.Adopt(testContext(t), "flow")
		if err != nil {
			t.Fatalf("adopt: %v\n%s", err, keeperLog(dir))
		}
		continueFlow(t, s)
		s.Release()
	}
}

// continueFlow sends more, and checks all output from the last acknowledged on.
func continueFlow(t *testing.T, s *Session) {
	t.Helper()
	st := s.State()
	ctx := testContext(t)
	rd := follow(t, s)
	rd.at = st.Acked
	rd.take = func(b []byte, _ Kind) {
		if !bytes.Equal(b, patternAt(rd.at, len(b))) {
			t.Fatalf("output differs within %d bytes of %d", len(b), rd.at)
		}
	}
	want := st.Accepted + 50_000
	for at := st.Accepted; rd.at < want; {
		if at < want {
			got, err := s.Input(ctx, at, patternAt(at, int(want-at)), false)
			if err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			at = got.Accepted
		}
		if n, done := rd.step(); done {
			t.Fatal("ended")
		} else if n == 0 {
			rd.wait("the rest of the stream")
		}
	}
	if got := s.State(); got.Head != want || got.Accepted != want {
		t.Fatalf("state %+v, want %d everywhere", got, want)
	}
}

// TestAdoptReplaces sends the earlier daemon away; what it had sent counts.
func TestAdoptReplaces(t *testing.T) {
	k, _ := inProcess(t, nil)
	first := start(t, k, piped(t, "replace", "exec cat"))
	if _, err := first.Input(testContext(t), 0, patternAt(0, 300_000), false); err != nil {
		t.Fatal(err)
	}
	second, err := k.Adopt(testContext(t), "replace")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	<-first.Lost()
	if err := first.Err(); !errors.Is(err, ErrReplaced) {
		t.Errorf("first: %v", err)
	}
	if _, err := first.Input(testContext(t), 300_000, []byte("x"), false); !errors.Is(err, ErrReplaced) {
		t.Errorf("input of the first: %v", err)
	}
	if st := second.State(); st.Accepted != 300_000 {
		t.Errorf("second: %+v", st)
	}
	continueFlow(t, second)
}

// TestKeeperKilled tells the daemon, and leaves what it has to be read.
func TestKeeperKilled(t *testing.T) {
	dir := t.TempDir()
	k := connectTo(t, dir)
	s := start(t, k, shell(t, "orphan", escape+"exec cat"))
	rd := follow(t, s)
	all := rd.pids(5)
	n := rd.at
	if err := syscall.Kill(k.c.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-k.Done()
	<-s.Lost()
	rd.ctx = testContext(t)
	if err := s.Err(); !errors.Is(err, ErrLost) {
		t.Errorf("error %v", err)
	}
	select {
	case <-s.Changed():
	case <-rd.ctx.Done():
		t.Error("nothing changed")
	}
	if st := s.State(); st.Exit != nil || st.Ended || st.Head < n {
		t.Errorf("state %+v", st)
	}
	if got, _, err := s.Read(rd.buf, 0); err != nil || got == 0 {
		t.Errorf("read: %d, %v", got, err)
	}
	if _, err := s.Input(rd.ctx, 0, []byte("x"), false); !errors.Is(err, ErrLost) {
		t.Errorf("input: %v", err)
	}
	if _, err := k.Start(rd.ctx, shell(t, "late", "exec cat")); !errors.Is(err, ErrNone) {
		t.Errorf("start: %v", err)
	}
	if _, err := k.List(rd.ctx); !errors.Is(err, ErrLost) {
		t.Errorf("list: %v", err)
	}
	// The next keeper finds nothing but the dead one's processes, and ends them
	// where there are cgroups; the others had lost their terminal.
	next := connectTo(t, dir)
	if list, err := next.List(rd.ctx); err != nil || len(list) != 0 {
		t.Errorf("sessions of the next: %v, %v", list, err)
	}
	shutDown(t, dir)
	for _, pid := range all {
		if hasCgroups() {
			for alive(pid) {
				pause(rd.ctx, t, "the processes of a dead keeper to end")
			}
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func hasCgroups() bool { return newGroups(discardLog()) != "" }

// TestShutdown ends every session whole, tells each, and leaves.
func TestShutdown(t *testing.T) {
	dir := t.TempDir()
	k := connectTo(t, dir)
	var all []int
	var sessions []*Session
	for i := range 6 {
		s := start(t, k, shell(t, fmt.Sprintf("down%d", i), escape+"trap '' HUP; while :; do read x; done"))
		all = append(all, follow(t, s).pids(5)...)
		sessions = append(sessions, s)
	}
	sessions[0].Release()
	if err := k.Shutdown(testContext(t)); err != nil {
		t.Fatalf("%v\n%s", err, keeperLog(dir))
	}
	for _, pid := range all {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
	for _, s := range sessions[1:] {
		awaitEnded(t, s)
		if exit := s.State().Exit; exit == nil || exit.Reason != wire.ReasonStopped {
			t.Errorf("exit %+v", exit)
		}
	}
	if _, err := k.Start(testContext(t), shell(t, "late", "exec cat")); !errors.Is(err, ErrStopping) && !errors.Is(err, ErrNone) && !errors.Is(err, ErrLost) {
		t.Errorf("start in a keeper that stops: %v", err)
	}
	k.Close()
	awaitUnlocked(t, dir)
	if _, err := os.Lstat(filepath.Join(dir, socketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestTerminated ends sessions as a shutdown does.
func TestTerminated(t *testing.T) {
	dir := t.TempDir()
	k := connectTo(t, dir)
	s := start(t, k, shell(t, "term", escape+"exec cat"))
	all := follow(t, s).pids(5)
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE} {
		if err := syscall.Kill(k.c.pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.List(testContext(t)); err != nil {
		t.Fatalf("after signals that it outlives: %v", err)
	}
	if err := syscall.Kill(k.c.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-k.Done()
	awaitEnded(t, s)
	for _, pid := range all {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
	awaitUnlocked(t, dir)
}

// TestSignalsAreNotInherited starts shells that hear what the keeper does not.
func TestSignalsAreNotInherited(t *testing.T) {
	k, _ := newKeeper(t)
	rd := follow(t, start(t, k, piped(t, "mask", "grep -E 'Sig(Ign|Blk)' /proc/self/status")))
	rd.toExit()
	for _, line := range strings.Split(strings.TrimSpace(string(rd.out[Output])), "\n") {
		if f := strings.Fields(line); len(f) != 2 || strings.Trim(f[1], "0") != "" {
			t.Errorf("%s", line)
		}
	}
}

// TestResume ends a session that nobody comes back for, and forgets it later.
func TestResume(t *testing.T) {
	k, srv := inProcess(t, nil)
	r := shell(t, "lost", escape+"exec cat")
	r.Resume = time.Millisecond
	s := start(t, k, r)
	all := follow(t, s).pids(5)
	h, err := srv.find("lost")
	if err != nil {
		t.Fatal(err)
	}
	s.Release()
	ctx := testContext(t)
	select {
	case <-h.gone:
	case <-ctx.Done():
		t.Fatal("the session goes on")
	}
	for _, pid := range all {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
	if h.reason != wire.ReasonLost {
		t.Errorf("reason %q", h.reason)
	}
	for {
		if list, err := k.List(ctx); err != nil {
			t.Fatal(err)
		} else if len(list) == 0 {
			break
		}
		pause(ctx, t, "the session to be forgotten")
	}
}

// TestExitIsRemembered keeps an end and the output for the next daemon, until it
// forgets them.
func TestExitIsRemembered(t *testing.T) {
	k, _ := inProcess(t, nil)
	s := start(t, k, shell(t, "remember", "read go; echo done; exit 6"))
	send(t, s, []byte("\n"))
	s.Release()
	if n, _, err := s.Read(make([]byte, 1), 0); n != 0 || !errors.Is(err, ErrReleased) {
		t.Errorf("read after release: %d, %v", n, err)
	}
	ctx := testContext(t)
	for {
		list, err := k.List(ctx)
		if err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		if st := list[0].State; st.Ended {
			if st.Exit.Code != 6 || st.Exit.Reason != wire.ReasonExited || st.Accepted != 1 || st.Head == 0 {
				t.Errorf("state %+v, exit %+v", st, st.Exit)
			}
			break
		}
		pause(ctx, t, "the end")
	}
	s, err := k.Adopt(ctx, "remember")
	if err != nil {
		t.Fatal(err)
	}
	rd := follow(t, s)
	if exit := rd.toExit(); exit.Code != 6 || !bytes.Contains(rd.out[Output], []byte("done\r\n")) {
		t.Errorf("exit %+v, output %q", exit, rd.out[Output])
	}
	if err := s.Forget(ctx); err != nil {
		t.Fatal(err)
	}
	if list, err := k.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("list %v, %v", list, err)
	}
	s = start(t, k, shell(t, "remember-not", "exec cat"))
	if err := s.Forget(ctx); !errors.Is(err, ErrRunning) {
		t.Errorf("forget what runs: %v", err)
	}
}

// TestStartNobodyTakes ends a session whose daemon left before it had it.
func TestStartNobodyTakes(t *testing.T) {
	k, srv := inProcess(t, nil)
	c, err := k.dial(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	r := shell(t, "nobody", "exec cat")
	if err := c.sendJSON(opStart, 9, r.body()); err != nil {
		t.Fatal(err)
	}
	if err := c.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	// The keeper closes its side when it has seen that nobody is there.
	c.takeFDs = true
	for {
		if _, err := c.in.next(); err != nil {
			break
		}
	}
	c.closeFDs()
	c.close()
	ctx := testContext(t)
	for {
		if _, err := srv.find("nobody"); errors.Is(err, ErrNotFound) {
			return
		}
		pause(ctx, t, "the session to end")
	}
}

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
			pids[i] = k.c.pid
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
		keepers[k.c.pid] = true
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

// TestForeignUsers lets nobody in but the own user and root, either way.
func TestForeignUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	const nobody = 65534
	k, dir := newKeeper(t)
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := role(t, 0, "peek", dir).CombinedOutput(); err != nil {
		t.Errorf("the own user: %s, %v", out, err)
	}
	if err := os.Chmod(filepath.Join(dir, socketName), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := role(t, nobody, "peek", dir)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), ErrNone.Error()) {
		t.Errorf("another user: %s, %v", out, err)
	}
	if log := keeperLog(dir); !strings.Contains(log, fmt.Sprintf("user ID %d", nobody)) {
		t.Errorf("log %q", log)
	}
	if _, err := k.List(testContext(t)); err != nil {
		t.Error(err)
	}
	fakeKeeper(t, nobody)
}

// fakeKeeper connects to a keeper of another user.
func fakeKeeper(t *testing.T, uid uint32) {
	t.Helper()
	dir := t.TempDir()
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd := role(t, uid, "fake", dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(testContext(t), ConnectOptions{StateDir: dir, Argv: keeperArgv(dir)}); !errors.Is(err, ErrForeign) {
		t.Errorf("a keeper of another user: %v", err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestNothingLeaks opens and ends sessions in every way and counts descriptors.
func TestNothingLeaks(t *testing.T) {
	k, srv := inProcess(t, nil)
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	ctx := testContext(t)
	one := func(i int) {
		r := shell(t, fmt.Sprintf("leak%d", i), "exec cat")
		if i%2 == 0 {
			r = piped(t, fmt.Sprintf("leak%d", i), "exec cat")
		}
		r.Resume = time.Millisecond
		s := start(t, k, r)
		switch i % 4 {
		case 0: // ends by itself
			if _, err := s.Input(ctx, 0, []byte("x"), true); err != nil {
				t.Fatal(err)
			}
			follow(t, s).toExit()
		case 1: // is ended
			if err := s.End(ctx, wire.ReasonClosed); err != nil {
				t.Fatal(err)
			}
		default: // is lost
			s.Release()
			return
		}
		if err := s.Forget(ctx); err != nil {
			t.Fatal(err)
		}
	}
	settled := func() int {
		for {
			srv.mu.Lock()
			held, links := len(srv.held), len(srv.links)
			srv.mu.Unlock()
			if held == 0 && links == 1 {
				return count()
			}
			pause(ctx, t, "sessions to be forgotten")
		}
	}
	one(0)
	one(1)
	before := settled()
	for i := range 100 {
		one(i + 2)
	}
	if after := settled(); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
