package pty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// escape is a way in which programs get away from a terminal that hangs up. The
// script prints the pid of what got away.
type escape struct {
	name, script string
	marked       bool // by more than the number for audit and the parent
}

// escapee ignores all it can, and prints its pid when it does.
const escapee = `sh -c "trap \"\" HUP TERM; echo \$\$; exec </dev/null >/dev/null 2>&1; while :; do sleep 1000; done"`

func escapes() []escape {
	return []escape{
		{"child", escapee + ` &`, true},
		{"nohup", `nohup ` + escapee + ` 2>/dev/null | cat &`, true}, // not to a terminal: that would make a file
		{"setsid", `setsid ` + escapee + ` &`, true},
		{"double fork", `(setsid sh -c '` + strings.ReplaceAll(escapee, `'`, `'\''`) + ` & exit' &)`, true},
		{"group of a job", `set -m; ` + escapee + ` &`, true},
		{"cleared", `env -i PATH="$PATH" setsid ` + escapee + ` &`, false},
		{"cleared, double fork", `(env -i PATH="$PATH" setsid sh -c '` + escapee + ` & exit' &)`, false},
	}
}

// ways are how a session's processes are found.
type way struct {
	name   string
	parent func(t *testing.T) *Parent
	cgroup func(t *testing.T) string
	finds  func(e escape) bool
}

func all(escape) bool { return true }

func none(*testing.T) string { return "" }

func ways() []way {
	return []way{
		{"cgroup", func(t *testing.T) *Parent { return reaper(t) }, func(t *testing.T) string { return needCgroup(t) }, all},
		{"audit", func(t *testing.T) *Parent { return NewParent() }, func(t *testing.T) string {
			needRoot(t)
			return ""
		}, all},
		{"subreaper", func(t *testing.T) *Parent { return unaudited(reaper(t)) }, none, all},
		{"marks", func(*testing.T) *Parent { return unaudited(NewParent()) }, none, func(e escape) bool { return e.marked }},
	}
}

func unaudited(p *Parent) *Parent {
	p.audit = false
	return p
}

// Nothing survives, whether the shell is closed or ended by itself before.
func TestNothingSurvives(t *testing.T) {
	for _, w := range ways() {
		for _, e := range escapes() {
			if !w.finds(e) {
				continue
			}
			for _, terminal := range []bool{false, true} {
				for _, exits := range []bool{false, true} {
					name := fmt.Sprintf("%s/%s/terminal=%v/exits=%v", w.name, e.name, terminal, exits)
					t.Run(name, func(t *testing.T) { survivor(t, w, e, terminal, exits) })
				}
			}
		}
	}
}

func survivor(t *testing.T, w way, e escape, terminal, exits bool) {
	parent := w.parent(t)
	s := shell(e.script + "\nread x")
	s.Terminal, s.Cgroup = terminal, w.cgroup(t)
	p := startBy(t, parent, s)
	if w.name == "cgroup" != p.Contained() {
		t.Fatalf("contained: %v", p.Contained())
	}
	dead := watch(t, linesOf(t, p.Output()).pid())
	if exits {
		input(t, p, "\n")
		if exit := await(t, p); exit.Signal != "" {
			t.Fatalf("%+v", exit)
		}
		if dead() {
			t.Fatal("it does not survive by itself: the test shows nothing")
		}
	}
	survivors, err := p.End(context.Background(), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if !dead() {
		t.Error("it is alive")
	}
	// A leader that lives may go as late as they. The sleep that it runs is
	// another, unless HUP ended that already; and so is what nohup writes to.
	if exits && survivors < 1 || survivors > 3 {
		t.Errorf("%d survivors counted", survivors)
	}
	if parent.reaping.Load() > 0 {
		noChildren(t, parent)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	noGroups(t, s.Cgroup)
}

// noChildren waits until all children of this process have been reaped.
func noChildren(t *testing.T, parent *Parent) {
	t.Helper()
	eventually(t, "orphans are reaped", func() bool {
		_, _, err := peek(unix.P_ALL, 0, unix.WNOHANG)
		return errors.Is(err, unix.ECHILD)
	})
}

// What ends by itself, or on the first signal, is not kept waiting.
func TestEndReturnsEarly(t *testing.T) {
	for _, c := range []struct {
		script    string
		want      Exit
		survivors int
	}{
		{"exit 4", Exit{Code: 4}, 0},
		{"echo; exec sleep 1000", Exit{129, "HUP"}, 0},
		{"trap '' HUP; echo; exec sleep 1000", Exit{143, "TERM"}, 0},
		{"trap '' HUP TERM; echo; while :; do sleep 1000; done", Exit{137, "KILL"}, 0},
		{"kill -STOP $$", Exit{129, "HUP"}, 0},
		{"sleep 1000 >/dev/null 2>&1 & exit 5", Exit{Code: 5}, 1},
	} {
		p := start(t, shell(c.script))
		switch {
		case c.want.Signal == "":
			await(t, p)
		case strings.Contains(c.script, "STOP"):
			eventually(t, "stopped", func() bool {
				now, err := readProc(p.Pid())
				return err == nil && now.state == 'T'
			})
		default:
			linesOf(t, p.Output()).next()
		}
		grace := ample // the test would not end in time if it were waited out
		if c.want.Signal == "TERM" || c.want.Signal == "KILL" {
			grace = 10 * time.Millisecond
		}
		survivors, err := p.End(context.Background(), grace)
		if err != nil || survivors != c.survivors || p.Exit() != c.want {
			t.Errorf("%s: %+v, %d survivors, %v", c.script, p.Exit(), survivors, err)
		}
	}
}

func TestEndIsHurried(t *testing.T) {
	p := start(t, shell("trap '' HUP TERM; echo; while :; do sleep 1000; done"))
	linesOf(t, p.Output()).next()
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error)
	go func() {
		_, err := p.End(context.Background(), time.Hour)
		first <- err
	}()
	cancel()
	if _, err := p.End(ctx, time.Hour); err != nil { // whichever comes first
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if p.Exit().Signal != "KILL" {
		t.Errorf("%+v", p.Exit())
	}
	if n, err := p.End(context.Background(), 0); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}

func TestCloseEndsAll(t *testing.T) {
	p := start(t, onTerminal(shell(escapee+" & read x")))
	dead := watch(t, linesOf(t, p.Output()).pid())
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !dead() || !p.ended() {
		t.Error("something is alive")
	}
	if err := p.Signal("HUP"); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal after Close: %v", err)
	}
	if err := p.signalLeader(p.Pid(), unix.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a number that is not ours any more was signalled: %v", err)
	}
}

// One session's end leaves another of the same user alone, however alike.
func TestSessionsAreToldApart(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			parent := w.parent(t)
			script := escapee + " &\nread x"
			if w.finds(escape{}) {
				script = escapes()[6].script + "\nread x"
			}
			s1, s2 := shell(script), shell(script)
			s1.Cgroup = w.cgroup(t)
			s2.Cgroup = s1.Cgroup
			one, two := startBy(t, parent, s1), startBy(t, parent, s2)
			dead1, dead2 := watch(t, linesOf(t, one.Output()).pid()), watch(t, linesOf(t, two.Output()).pid())
			if _, err := one.End(context.Background(), time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if dead2() || two.ended() {
				t.Fatal("the other session was hit")
			}
			// Without any mark an orphan may be either's: it ends with the last.
			if w.name != "subreaper" && !dead1() {
				t.Error("the session's own is alive")
			}
			if _, err := two.End(context.Background(), time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if !dead1() || !dead2() {
				t.Error("something is alive after both sessions")
			}
		})
	}
}

// A child of this process that is no session's stays, whatever it looks like.
func TestOthersAreLeftAlone(t *testing.T) {
	parent := unaudited(reaper(t))
	other, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	p := startBy(t, parent, newSpec("/bin/cat"))
	if _, err := p.End(context.Background(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := other.Kill(); err != nil {
		t.Errorf("it was ended: %v", err)
	}
	if st, err := other.Wait(); err != nil || st.String() != "signal: killed" {
		t.Errorf("its status was taken: %v, %v", st, err)
	}
}

// What a source lets stay is not ended by its release, nor with a session that
// ends later.
func TestRelease(t *testing.T) {
	for _, contained := range []bool{false, true} {
		parent := unaudited(reaper(t))
		s := shell(escapes()[6].script + "\nread x")
		kept := &group{}
		if contained {
			cgroup := needCgroup(t)
			s.Cgroup, kept.dir = cgroup, filepath.Join(cgroup, "etcha-kept-"+s.Session)
			if err := os.Mkdir(kept.dir, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = kept.clear() })
		}
		p := startBy(t, parent, s)
		pid := linesOf(t, p.Output()).pid()
		dead := watch(t, pid)
		if err := p.Release(); !errors.Is(err, ErrRunning) {
			t.Errorf("while it runs: %v", err)
		}
		input(t, p, "\n")
		await(t, p)
		if contained {
			eventually(t, "all are moved", func() bool { // what is forked meanwhile, too
				live, err := p.group.live()
				for _, c := range live {
					_ = kept.add(c.pid)
				}
				return err == nil && len(live) == 0
			})
		}
		released(t, parent, p)
		later := startBy(t, parent, newSpec("/bin/cat"))
		if _, err := later.End(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		if dead() {
			t.Fatal("it was ended")
		}
		if contained {
			if _, err := kept.clear(); err != nil {
				t.Error(err)
			}
		} else if group, err := unix.Getpgid(pid); err != nil || unix.Kill(-group, unix.SIGKILL) != nil {
			t.Errorf("kill group %d: %v", group, err)
		}
		noChildren(t, parent)
	}
}

func released(t *testing.T, parent *Parent, p *Process) {
	t.Helper()
	for range 2 {
		if err := p.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := p.End(context.Background(), 0); n != 0 || err != nil {
		t.Errorf("end: %d, %v", n, err)
	}
	<-p.reaped
	if len(parent.others(nil)) != 0 {
		t.Error("the leader is still known")
	}
	if _, err := p.Output().Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read: %v", err)
	}
}

// Exit statuses are never mixed up with those of orphans, at any speed.
func TestStatusesAreNotStolen(t *testing.T) {
	parent := reaper(t)
	failed := make(chan error)
	const rows, each = 4, 25
	for range rows {
		go func() {
			var err error
			for i := range each {
				err = errors.Join(err, statusAmongOrphans(parent, i))
			}
			failed <- err
		}()
	}
	for range rows {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	noChildren(t, parent)
}

func statusAmongOrphans(parent *Parent, code int) error {
	// Orphans end before, with and after the leader.
	p, err := parent.Start(shell(fmt.Sprintf("(:&) ; (true & true &); (sleep 0.01 &) ; exit %d", code)))
	if err != nil {
		return err
	}
	<-p.Done()
	got := p.Exit()
	if err := p.Close(); err != nil {
		return err
	}
	if got != (Exit{Code: code}) {
		return fmt.Errorf("%+v, want %d", got, code)
	}
	return nil
}

// While a leader that ended waits for its end, orphans behind it are reaped.
func TestOrphansAreReapedBehindALeader(t *testing.T) {
	parent := reaper(t)
	p := startBy(t, parent, shell("exec 3<&0; (sh -c 'echo $$; read x <&3' &) ; exit 6"))
	pid := linesOf(t, p.Output()).pid()
	await(t, p)
	input(t, p, "\n")
	eventually(t, "the orphan is reaped", func() bool {
		_, err := readProc(pid)
		return errors.Is(err, os.ErrNotExist)
	})
	if now, err := readProc(p.Pid()); err != nil || now.alive() {
		t.Errorf("the leader's number is free too early: %+v, %v", now, err)
	}
	if p.Exit().Code != 6 {
		t.Errorf("%+v", p.Exit())
	}
}

func TestNothingLeaks(t *testing.T) {
	parent := reaper(t)
	cgroup := FindCgroup()
	before := 0
	for i := range 55 {
		if i == 5 {
			before = descriptors(t)
		}
		s := shell("setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo x; read y")
		s.Terminal, s.Cgroup = i%2 == 0, cgroup
		if i%3 == 0 {
			s.Cgroup = ""
		}
		p, err := parent.Start(s)
		if err != nil {
			t.Fatal(err)
		}
		linesOf(t, p.Output()).next()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	noDescriptors(t, before)
	noChildren(t, parent)
	noGroups(t, cgroup)
}

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

// Orphans without a mark do not slip through when their sessions end together.
func TestSessionsThatEndTogether(t *testing.T) {
	parent := unaudited(reaper(t))
	for range 10 {
		var sessions []*Process
		var dead []func() bool
		for range 3 {
			p := startBy(t, parent, shell(escapes()[6].script+"\nread x"))
			sessions = append(sessions, p)
			dead = append(dead, watch(t, linesOf(t, p.Output()).pid()))
		}
		ended := make(chan error)
		for _, p := range sessions {
			go func() {
				_, err := p.End(context.Background(), 0)
				ended <- err
			}()
		}
		for range sessions {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		for _, d := range dead {
			if !d() {
				t.Fatal("one is alive")
			}
		}
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

func comm(pid int) string {
	b, _ := os.ReadFile(procFile(pid, "comm"))
	return string(b)
}

// Output that was read once must not be held by what nobody waits for.
func TestBackgroundHoldsTheOutput(t *testing.T) {
	p := start(t, onTerminal(shell("stty -echo; echo begun; (trap '' HUP; echo done; exec sleep 1000) & read x")))
	l := make([]byte, len("begun"))
	setDeadline(t, p.Output())
	if _, err := io.ReadFull(p.Output(), l); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the background process is there", func() bool {
		live, err := newClosure(p).live()
		return err == nil && slices.ContainsFunc(live, func(c proc) bool { return c.ppid == p.Pid() && strings.Contains(comm(c.pid), "sleep") })
	})
	input(t, p, "\n")
	await(t, p)
	if err := p.Output().SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	out, err := readToEnd(p.Output())
	if !errors.Is(err, os.ErrDeadlineExceeded) || !bytes.Contains(out, []byte("done")) {
		t.Errorf("%q, %v", out, err)
	}
	if n, err := p.End(context.Background(), 10*time.Millisecond); n != 1 || err != nil {
		t.Errorf("%d survivors, %v", n, err)
	}
	if rest := output(t, p.Output()); rest != "" {
		t.Errorf("%q", rest)
	}
}
