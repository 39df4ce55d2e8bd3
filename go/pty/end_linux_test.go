package pty

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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

func comm(pid int) string {
	b, _ := os.ReadFile(procFile(pid, "comm"))
	return string(b)
}

// Output that was read once must not be held by what nobody waits for.
func TestBackgroundHoldsTheOutput(t *testing.T) {
	p := start(t, onTerminal(shell("stty -echo; (trap '' HUP; echo done; exec sleep 1000) & read x")))
	if got := linesOf(t, p.Output()).next(); got != "done" {
		t.Fatalf("%q", got)
	}
	eventually(t, "the background process is there", func() bool {
		live, err := newClosure(p).live()
		return err == nil && slices.ContainsFunc(live, func(c proc) bool { return c.ppid == p.Pid() && strings.Contains(comm(c.pid), "sleep") })
	})
	input(t, p, "\n")
	await(t, p)
	if err := p.Output().SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if out, err := readToEnd(p.Output()); !errors.Is(err, os.ErrDeadlineExceeded) { // the end is told at once
		t.Errorf("%q, %v", out, err)
	}
	if n, err := p.End(context.Background(), 10*time.Millisecond); n != 1 || err != nil {
		t.Errorf("%d survivors, %v", n, err)
	}
	if rest := output(t, p.Output()); rest != "" {
		t.Errorf("%q", rest)
	}
}
