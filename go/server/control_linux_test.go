package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"etcha/go/errs"
)

func newControl(t *testing.T, state *stateDir, stop func(context.Context) error) *control {
	t.Helper()
	c, err := listenControl(state, quiet(), func() Status { return Status{ID: "SHA256:abc", PID: 7, Sessions: 3} }, stop)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestControlStatus(t *testing.T) {
	s := newState(t)
	c := newControl(t, s, nil)
	c.serve()
	info, err := os.Stat(c.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info.Mode(), err)
	}
	got, err := NodeStatus(t.Context(), s.path)
	if err != nil || got.ID != "SHA256:abc" || got.PID != 7 || got.Sessions != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	c.close(t.Context())
	if _, err := os.Stat(c.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	_, err = NodeStatus(t.Context(), s.path)
	if !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), s.path) || errs.HintOf(err) == "" {
		t.Errorf("without a daemon: %v", err)
	}
}

func TestControlTakesOverADeadSocket(t *testing.T) {
	s := newState(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.file(controlName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := NodeStatus(t.Context(), s.path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a dead socket: %v", err)
	}
	c := newControl(t, s, nil)
	defer c.close(t.Context())
	c.serve()
	if _, err := NodeStatus(t.Context(), s.path); err != nil {
		t.Error(err)
	}
}

func TestControlInADeepFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100))
	s, err := openState(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	c := newControl(t, s, nil)
	defer c.close(t.Context())
	c.serve()
	if _, err := NodeStatus(t.Context(), path); err != nil {
		t.Error(err)
	}
}

// StopNode returns when the daemon has let go of its folder, not before.
func TestStopNodeWaitsForTheFolder(t *testing.T) {
	s, err := openState(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	stop := newStopRequest()
	c := newControl(t, s, stop.ask)
	c.serve()
	go func() {
		<-stop.want
		stop.answer(errors.New("one process would not die"))
		c.close(context.Background())
		s.close()
	}()
	err = StopNode(t.Context(), s.path)
	if err == nil || !strings.Contains(err.Error(), "one process would not die") {
		t.Errorf("got %v", err)
	}
	if held, err := locked(s.path, lockName); err != nil || held {
		t.Errorf("still locked: %v, %v", held, err)
	}
	if err := StopNode(t.Context(), s.path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a second time: %v", err)
	}
}

func TestStopNodeGivesUp(t *testing.T) {
	s := newState(t)
	c := newControl(t, s, newStopRequest().ask)
	defer c.close(t.Context())
	c.serve()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := StopNode(ctx, s.path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestControlRoutes(t *testing.T) {
	s := newState(t)
	stopped := false
	c := newControl(t, s, func(context.Context) error { stopped = true; return nil })
	defer c.close(t.Context())
	c.serve()
	var a any
	for _, r := range []struct{ method, path string }{{http.MethodGet, pathStop}, {http.MethodPost, "/"}, {http.MethodPost, pathStatus}} {
		if err := callControl(t.Context(), s.path, r.method, r.path, &a); err == nil || stopped {
			t.Errorf("%s %s: %v, stopped %v", r.method, r.path, err, stopped)
		}
	}
}

// The socket's mode keeps others out; should it be changed, the check remains.
func TestControlRefusesOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := openState(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	c := newControl(t, s, nil)
	defer c.close(t.Context())
	c.serve()
	for _, path := range []string{s.path, c.path} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe", asOther, s.path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	cut := func(how string) bool { return strings.Contains(string(out), how) }
	if err == nil || !slices.ContainsFunc([]string{"EOF", "reset", "closed", "broken pipe"}, cut) {
		t.Errorf("another user's connection is not cut: %v, %s", err, out)
	}
}
