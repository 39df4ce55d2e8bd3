package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"etcha/go/wire"
)

// TestKeeperKilled tells the daemon, and leaves what it has to be read.
func TestKeeperKilled(t *testing.T) {
	dir := t.TempDir()
	k := connectTo(t, dir)
	s := start(t, k, shell(t, "orphan", escape+"exec cat"))
	rd := follow(t, s)
	all := rd.pids(5)
	n := rd.at
	if err := syscall.Kill(k.c.peer.PID, syscall.SIGKILL); err != nil {
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
		if err := syscall.Kill(k.c.peer.PID, sig); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.List(testContext(t)); err != nil {
		t.Fatalf("after signals that it outlives: %v", err)
	}
	if err := syscall.Kill(k.c.peer.PID, syscall.SIGTERM); err != nil {
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

// TestAdoptedInTime stops the time that a session has without a daemon, also
// when it runs out at that moment.
func TestAdoptedInTime(t *testing.T) {
	k, srv := inProcess(t, nil)
	s := start(t, k, shell(t, "in-time", "exec cat"))
	h, err := srv.find("in-time")
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	release := func() (count uint64) {
		s.Release()
		for {
			h.mu.Lock()
			running, count := h.resume != nil, h.resumes
			h.mu.Unlock()
			if running {
				return count
			}
			pause(ctx, t, "the time to run")
		}
	}
	adopt := func() {
		if s, err = k.Adopt(ctx, "in-time"); err != nil {
			t.Fatal(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.resume != nil {
			t.Error("the time still runs")
		}
	}
	first := release()
	adopt()
	h.expire(first) // had fired before it was stopped
	release()
	h.expire(first) // had fired even longer before
	adopt()
	if _, err := s.Input(ctx, 0, []byte("here\n"), false); err != nil {
		t.Fatal(err)
	}
	follow(t, s).until("here")
	select {
	case <-h.ending:
		t.Error("the session is being ended")
	default:
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
