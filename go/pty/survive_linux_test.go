package pty

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
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
