package pty

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The groups of a process that was killed are cleared by the next; those of one
// that lives are not.
func TestSweep(t *testing.T) {
	cgroup := needCgroup(t)
	mine := startBy(t, reaper(t), withCgroup(newSpec("/bin/cat"), cgroup))
	dir := filepath.Join(cgroup, "etcha-1-99999999999-test-sweep")
	if err := os.MkdirAll(filepath.Join(dir, "inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	left, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	inner := &group{dir: filepath.Join(dir, "inner")}
	if err := inner.add(left.Pid); err != nil {
		t.Fatal(err)
	}
	if n, err := SweepCgroup(cgroup); n != 1 || err != nil {
		t.Errorf("%d killed, %v", n, err)
	}
	if st, err := left.Wait(); err != nil || st.String() != "signal: killed" {
		t.Errorf("%v, %v", st, err)
	}
	if exists(dir) || mine.ended() || !exists(mine.group.dir) {
		t.Errorf("left behind: %v; mine ended: %v", exists(dir), mine.ended())
	}
}

func withCgroup(s Spec, dir string) Spec {
	s.Cgroup = dir
	return s
}

// A helper that was started outside is moved before it runs anything.
func TestMovedIntoItsGroup(t *testing.T) {
	g, err := newGroup(needCgroup(t), "test-moved")
	if err != nil {
		t.Fatal(err)
	}
	proc, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.add(proc.Pid); err != nil || !g.has(proc.Pid) {
		t.Errorf("not in the group: %v", err)
	}
	// Linux before 5.14 has no cgroup.kill: signals alone do.
	live, err := g.live()
	if err != nil || len(live) != 1 || g.signal(live[0], unix.SIGKILL) != nil {
		t.Errorf("%v, %v", live, err)
	}
	if _, err := proc.Wait(); err != nil {
		t.Error(err)
	}
	if err := g.remove(); err != nil {
		t.Error(err)
	}
}

// A login inside the session (su, sudo) is part of it, though systemd-logind
// moves it to a group of its own; what was handed to another manager is not.
func TestLoginInsideTheSession(t *testing.T) {
	cgroup := needCgroup(t)
	needRoot(t)
	for _, c := range []struct {
		group string
		ends  bool
	}{{"session-c4711.scope", true}, {"run-4711.scope", false}} {
		g := &group{dir: filepath.Join(cgroup, c.group)}
		if err := os.Mkdir(g.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		s := withCgroup(shell(fmt.Sprintf(`(echo 0 >%s/cgroup.procs; setsid %s &); read x`, g.dir, escapee)), cgroup)
		p := startBy(t, reaper(t), s)
		pid := linesOf(t, p.Output()).pid()
		dead := watch(t, pid)
		if p.group.has(pid) {
			t.Fatal("it was not moved")
		}
		if _, err := p.End(context.Background(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if dead() != c.ends {
			t.Errorf("%s: ended %v, want %v", c.group, dead(), c.ends)
		}
		if _, err := g.clear(); err != nil {
			t.Error(err)
		}
	}
}

// cgroup.kill leaves no time to fork away, and reaches groups within.
func TestKillsAtOnce(t *testing.T) {
	g, err := newGroup(needCgroup(t), "test-kill")
	if err != nil {
		t.Fatal(err)
	}
	inner := &group{dir: filepath.Join(g.dir, "inner")}
	if err := os.Mkdir(inner.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if !exists(filepath.Join(g.dir, "cgroup.kill")) {
		t.Skip("NOT TESTED: Linux before 5.14")
	}
	var procs []*os.Process
	for _, in := range []*group{g, inner} {
		proc, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
		if err != nil {
			t.Fatal(err)
		}
		if err := in.add(proc.Pid); err != nil {
			t.Error(err)
		}
		procs = append(procs, proc)
	}
	if live, err := g.live(); err != nil || len(live) != 2 {
		t.Errorf("alive: %v, %v", live, err)
	}
	if err := g.kill(); err != nil {
		t.Error(err)
	}
	for _, proc := range procs {
		if st, err := proc.Wait(); err != nil || st.String() != "signal: killed" {
			t.Errorf("%v, %v", st, err)
		}
	}
	if err := g.remove(); err != nil {
		t.Error(err)
	}
}

// A group that takes no processes, here because of threads, is given up.
func TestUnusableCgroup(t *testing.T) {
	dir := filepath.Join(needCgroup(t), fmt.Sprintf("etcha-threaded-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	}()
	if err := os.WriteFile(filepath.Join(dir, "cgroup.type"), []byte("threaded"), 0); err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	if usableCgroup(dir) {
		t.Error("it passes as usable")
	}
	p := start(t, withCgroup(shell("exit 5"), dir))
	if exit := await(t, p); exit.Code != 5 || p.Contained() {
		t.Errorf("%+v, contained %v", exit, p.Contained())
	}
	noGroups(t, dir)
}

// A cgroup that is no more costs containment, not the shell.
func TestVanishedCgroup(t *testing.T) {
	s := withCgroup(shell("exit 5"), filepath.Join(t.TempDir(), "gone"))
	p := start(t, s)
	if exit := await(t, p); exit.Code != 5 || p.Contained() {
		t.Errorf("%+v, contained %v", exit, p.Contained())
	}
}
