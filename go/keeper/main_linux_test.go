package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"etcha/go/pty"
	"etcha/go/wire"
)

// roleKeeper as the first argument makes the test binary a keeper, of the state
// folder that follows, with the linger that follows.
const roleKeeper = "keeper-under-test"

func TestMain(m *testing.M) {
	switch {
	case os.Args[0] == pty.HelperName:
		os.Exit(pty.HelperMain())
	case len(os.Args) == 5 && os.Args[1] == roleKeeper && os.Args[4] == ProbeArgument:
		os.Exit(probeMain(os.Args[2], os.Args[3]))
	case len(os.Args) == 4 && os.Args[1] == roleKeeper:
		os.Exit(keeperMain(os.Args[2], os.Args[3]))
	case len(os.Args) == 3 && os.Args[1] == roleNode:
		os.Exit(nodeMain(os.Args[2]))
	case len(os.Args) >= 2 && os.Args[1] == roleDaemon:
		os.Exit(daemonMain(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// keeperMain is a keeper. Its version is what follows a slash in linger.
func keeperMain(dir, linger string) int {
	linger, version, _ := strings.Cut(linger, "/")
	d, err := time.ParseDuration(linger)
	if err != nil {
		return 2
	}
	log := slog.New(slog.NewTextHandler(LogWriter(os.Stderr), &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := Main(context.Background(), Options{StateDir: dir, Log: log, Linger: d, Version: version}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// keeperArgv starts the test binary as a keeper.
func keeperArgv(dir string) []string {
	return []string{"/proc/self/exe", roleKeeper, dir, "1h/first"}
}

// testTime bounds what must happen; it is never waited for when all is well.
const testTime = 120 * time.Second

func testContext(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTime)
	tb.Cleanup(cancel)
	return ctx
}

// newKeeper starts a keeper process, which is shut down with the test.
func newKeeper(tb testing.TB) (*Keeper, string) {
	tb.Helper()
	dir := tb.TempDir()
	k := connectTo(tb, dir)
	tb.Cleanup(func() { shutDown(tb, dir) })
	return k, dir
}

// connectTo connects to the keeper of a folder, which is started if need be.
func connectTo(tb testing.TB, dir string) *Keeper {
	tb.Helper()
	k, err := Connect(testContext(tb), ConnectOptions{StateDir: dir, Argv: keeperArgv(dir)})
	if err != nil {
		tb.Fatalf("connect: %v\n%s", err, keeperLog(dir))
	}
	tb.Cleanup(func() { k.Close() })
	return k
}

// shutDown ends a folder's keeper and waits until it is gone.
func shutDown(tb testing.TB, dir string) {
	tb.Helper()
	k, err := Connect(testContext(tb), ConnectOptions{StateDir: dir})
	if errors.Is(err, ErrNone) && !errors.Is(err, ErrLost) {
		return // the test ended it
	}
	if err != nil {
		tb.Errorf("shutdown: %v\n%s", err, keeperLog(dir))
		return
	}
	defer k.Close()
	if err := k.Shutdown(testContext(tb)); err != nil {
		tb.Errorf("shutdown: %v\n%s", err, keeperLog(dir))
	}
	k.Close()
	awaitUnlocked(tb, dir)
	for ctx := testContext(tb); alive(k.c.peer.PID); { // the race detector delays its end
		pause(ctx, tb, "keeper to end")
	}
}

// awaitUnlocked waits until no keeper holds the folder.
func awaitUnlocked(tb testing.TB, dir string) {
	tb.Helper()
	ctx := testContext(tb)
	for {
		f, err := lockFolder(dir)
		if err == nil {
			f.Close()
			return
		}
		pause(ctx, tb, "keeper to leave")
	}
}

// pause lets others run between two looks at something outside.
func pause(ctx context.Context, tb testing.TB, what string) {
	tb.Helper()
	select {
	case <-ctx.Done():
		tb.Fatalf("waited in vain for %s", what)
	case <-time.After(2 * time.Millisecond):
	}
}

func keeperLog(dir string) string {
	b, _ := os.ReadFile(filepath.Join(dir, logName))
	return string(b)
}

// inProcess serves a keeper in this process.
func inProcess(tb testing.TB, change func(*Options)) (*Keeper, *server) {
	tb.Helper()
	o := Options{StateDir: tb.TempDir(), Linger: time.Hour, Cgroup: "off"}
	if change != nil {
		change(&o)
	}
	return serveOwn(tb, o, make(chan struct{}))
}

// serveOwn serves a keeper in this process, and closes served when that is over.
func serveOwn(tb testing.TB, o Options, served chan struct{}) (*Keeper, *server) {
	tb.Helper()
	s, err := newServer(o, pty.NewParent())
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(served)
		s.serve(ctx)
	}()
	tb.Cleanup(func() {
		cancel()
		<-served
	})
	k, err := Connect(testContext(tb), ConnectOptions{StateDir: o.StateDir})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { k.Close() })
	return k, s
}

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// account is the user that the tests run as.
func account(tb testing.TB) pty.Account {
	tb.Helper()
	a, err := pty.LookupAccount("", "")
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// shell is a request for /bin/sh -c script on a terminal.
func shell(tb testing.TB, id, script string) StartRequest {
	tb.Helper()
	return StartRequest{
		ID: id, Resume: time.Hour,
		Spec: pty.Spec{
			Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH"), "TERM=dumb"},
			Dir: "/", Account: account(tb), Terminal: true, Cols: 80, Rows: 24, Umask: 0o022,
		},
	}
}

// piped is the same on pipes.
func piped(tb testing.TB, id, script string) StartRequest {
	tb.Helper()
	r := shell(tb, id, script)
	r.Spec.Terminal = false
	return r
}

// start starts a session that is released with the test.
func start(tb testing.TB, k *Keeper, r StartRequest) *Session {
	tb.Helper()
	s, err := k.Start(testContext(tb), r)
	if err != nil {
		tb.Fatalf("start: %v", err)
	}
	tb.Cleanup(s.Release)
	return s
}

// send gives all of data as input, as room permits.
func send(tb testing.TB, s *Session, data []byte) {
	tb.Helper()
	ctx := testContext(tb)
	at := s.State().Accepted
	for len(data) > 0 {
		st := s.State()
		piece := data[:min(uint64(len(data)), st.Room, wire.MaxInput)]
		if len(piece) == 0 {
			select {
			case <-s.Changed():
			case <-ctx.Done():
				tb.Fatal("waited in vain for room")
			}
			continue
		}
		if _, err := s.Input(ctx, at, piece, false); err != nil {
			tb.Fatalf("input at %d: %v", at, err)
		}
		at += uint64(len(piece))
		data = data[len(piece):]
	}
}

func awaitEnded(tb testing.TB, s *Session) {
	tb.Helper()
	select {
	case <-s.Ended():
	case <-testContext(tb).Done():
		tb.Fatalf("session %s did not end: %+v", s.ID(), s.State())
	}
}
