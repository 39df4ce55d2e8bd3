package command

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestShellIsLikeAProcess(t *testing.T) {
	needBash(t)
	for _, c := range sameScripts {
		t.Run(c.name, func(t *testing.T) {
			r := NewShells(Process{})
			defer r.Close()
			s := checkScript(c.text)
			want := brief(runScript(t, Process{}, s))
			for range 2 {
				if got := brief(runScript(t, r, s)); got != want {
					t.Errorf("%q: the long shell gives %s, a process %s", c.text, short(got), short(want))
				}
			}
			if used := plainScript(s); c.long != used && !strings.HasPrefix(c.name, "syntax") && !strings.HasPrefix(c.name, "closing") {
				t.Errorf("%q: run by the long shell: %v, want %v", c.text, used, c.long)
			}
			// Whatever it did, the next check runs.
			if got := brief(runScript(t, r, checkScript("echo next"))); got != `0 "next"` {
				t.Errorf("after %q: %s", c.text, got)
			}
		})
	}
}

func short(s string) string {
	if len(s) > 400 {
		return s[:200] + " … " + s[len(s)-200:]
	}
	return s
}

func TestShellStaysOne(t *testing.T) {
	needBash(t)
	r := paths["shells"](t).(*Shells)
	first := runScript(t, r, checkScript("echo $PPID; read -r _ < /etc/hostname || true"))
	for i := range 20 {
		s := checkScript(`x=1; export A` + strconv.Itoa(i) + `=1; env | grep -c ^A`)
		s.Vars = []string{"P=" + strconv.Itoa(i), "Q=a b\n'\"$x"}
		if i > 10 {
			s.Vars = append(s.Vars, "R=new")
		}
		if got := runScript(t, r, s); got.Text != "1" {
			t.Fatalf("variables leak: %s", brief(got))
		}
		s.Text = `printf '%s|' "$P" "$Q" "${R-}"`
		if got, want := runScript(t, r, s), runScript(t, Process{}, s); brief(got) != brief(want) {
			t.Errorf("%s, want %s", brief(got), brief(want))
		}
	}
	if shellCount(r) != 1 || first.Exit != 0 {
		t.Errorf("%d shells, %s", shellCount(r), brief(first))
	}
	for _, place := range r.byKey {
		if place.broken {
			t.Error("the shell does not work here")
		}
	}
}

// What cannot be in a subshell as it is in a process goes to a process.
func TestShellFallsBack(t *testing.T) {
	needBash(t)
	yes := true
	for name, change := range map[string]func(*Script){
		"a change":             func(s *Script) { s.Kind = KindChange },
		"a remove":             func(s *Script) { s.Kind = KindRemove },
		"standard input":       func(s *Script) { s.Stdin = "x" },
		"another shell":        func(s *Script) { s.Argv = []string{"/bin/sh", "-c"} },
		"a login shell":        func(s *Script) { s.Argv = []string{"/usr/bin/bash", "-l", "-c"} },
		"traces":               func(s *Script) { s.Argv = []string{"/usr/bin/bash", "-x", "-c"} },
		"an option's value":    func(s *Script) { s.Argv = []string{"/usr/bin/bash", "-o", "posix", "-c"} },
		"BASH_ENV":             func(s *Script) { s.Env = append(s.Env, "BASH_ENV=/dev/null") },
		"a function":           func(s *Script) { s.Env = append(s.Env, "BASH_FUNC_read%%=() { echo mine; }") },
		"a time limit":         func(s *Script) { s.Env = append(s.Env, "TMOUT=1") },
		"an odd locale":        func(s *Script) { s.Env = append(s.Env, "LC_ALL=ja_JP.SJIS") },
		"a special variable":   func(s *Script) { s.Vars = []string{"PATH=/usr/bin", "PATH_CHECK=1"} },
		"many variables":       func(s *Script) { s.Vars = many() },
		"a long script":        func(s *Script) { s.Text += "#" + strings.Repeat("x", maxShellText) },
		"sudo, where not root": func(s *Script) { s.Exec.Sudo = &yes },
	} {
		t.Run(name, func(t *testing.T) {
			r := paths["shells"](t).(*Shells)
			s := checkScript("echo a")
			change(&s)
			if name == "sudo, where not root" {
				if isRoot() != plainScript(s) {
					t.Error("sudo must run as a process unless root")
				}
				return
			}
			got, want := brief(runScript(t, r, s)), brief(runScript(t, Process{}, s))
			if got != want || !strings.Contains(got, "a") {
				t.Errorf("%s, want %s", short(got), short(want))
			}
			if n := shellCount(r); n != 0 {
				t.Errorf("%d shells", n)
			}
		})
	}
}

func many() []string {
	var vars []string
	for i := range 300 {
		vars = append(vars, "V"+strconv.Itoa(i)+"="+strings.Repeat("x", 2000))
	}
	return vars
}

// A large change of the environment starts the shell anew.
func TestShellGrows(t *testing.T) {
	needBash(t)
	r := paths["shells"](t).(*Shells)
	s := checkScript(`echo ${#P}`)
	for _, n := range []int{0, 10, 60000, 59999, 3, 50000} {
		s.Vars = []string{"P=" + strings.Repeat("x", n)}
		if got := runScript(t, r, s).Text; got != strconv.Itoa(n) {
			t.Errorf("%s, want %d", got, n)
		}
	}
	s.Vars = nil
	if got := runScript(t, r, s).Text; got != "0" {
		t.Errorf("a variable that is gone: %s", got)
	}
	if shellCount(r) != 1 {
		t.Error("no shell is left")
	}
}

// Output of what stays behind does not show in the next check, and what stays is
// not killed.
func TestOutputOfWhatStays(t *testing.T) {
	needBash(t)
	for name, runner := range paths {
		t.Run(name, func(t *testing.T) {
			r := runner(t)
			fifo := filepath.Join(t.TempDir(), "fifo")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			stays := `python3 -c 'import os,sys
if os.fork()==0:
  f=open("` + fifo + `"); f.read(); print("late",flush=True)' 2>&1 || true; echo first`
			if got := runScript(t, r, checkScript(stays)); got.Text != "first" {
				t.Skipf("NOT TESTED: no python3: %s", brief(got))
			}
			w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits for the one that stays
			if err != nil {
				t.Fatal(err)
			}
			if got := brief(runScript(t, r, checkScript("echo second"))); got != `0 "second"` {
				t.Error(got)
			}
			w.Close()
			if got := brief(runScript(t, r, checkScript("echo third"))); got != `0 "third"` {
				t.Error(got)
			}
		})
	}
}

func TestShellFollowsItsDirectory(t *testing.T) {
	needBash(t)
	dir := filepath.Join(t.TempDir(), "d")
	r := paths["shells"](t).(*Shells)
	s := checkScript("pwd; ls")
	s.Exec.WorkDir = dir
	for i := range 3 {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		file := "f" + strconv.Itoa(i)
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := runScript(t, r, s).Text; got != dir+"\n"+file {
			t.Errorf("%q", got)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Run(context.Background(), s); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("in a directory that is gone: %v", err)
		}
	}
}

func TestShellAsAnotherUser(t *testing.T) {
	needBash(t)
	needRoot(t)
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("NOT TESTED: no user nobody")
	}
	r := paths["shells"](t).(*Shells)
	s := checkScript("id -u; id -g; echo $USER $LOGNAME $HOME $SHELL; echo err >&2; cat /etc/shadow || echo refused")
	s.Exec.User, s.Exec.WorkDir = "nobody", "/"
	got, want := runScript(t, r, s), runScript(t, Process{}, s)
	if brief(got) != brief(want) || !strings.HasPrefix(got.Text, u.Uid+"\n"+u.Gid+"\nnobody nobody "+u.HomeDir) ||
		!strings.Contains(got.Text, "refused") {
		t.Errorf("%s, a process %s", brief(got), brief(want))
	}
	if shellCount(r) != 1 {
		t.Error("not run by a long shell")
	}
	s.Exec.Env = map[string]string{"HOME": "/mine"}
	s.Env = []string{"HOME=/mine", "PATH=/usr/bin:/bin"}
	s.Text = "echo $HOME $USER"
	if got := runScript(t, r, s).Text; got != "/mine nobody" {
		t.Errorf("the exec's own HOME: %q", got)
	}
}

func TestTwoChecksAtOnce(t *testing.T) {
	needBash(t)
	r := paths["shells"](t).(*Shells)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan Output)
	go func() {
		out, _ := r.Run(context.Background(), checkScript("cat "+fifo))
		done <- out
	}()
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // the first check runs
	if err != nil {
		t.Fatal(err)
	}
	if got := brief(runScript(t, r, checkScript("echo other"))); got != `0 "other"` {
		t.Error(got)
	}
	if _, err := w.WriteString("mine"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if got := brief(<-done); got != `0 "mine"` {
		t.Error(got)
	}
}

// Cancelled scripts end with all that they started.
func TestCancelLeavesNothing(t *testing.T) {
	needBash(t)
	for name, runner := range paths {
		t.Run(name, func(t *testing.T) {
			r := runner(t)
			runScript(t, r, checkScript("true"))
			dir := t.TempDir()
			fifo := filepath.Join(dir, "fifo")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			seconds := "7" + strconv.Itoa(os.Getpid()) + name[:1]
			seconds = strings.NewReplacer("p", "1", "s", "2").Replace(seconds)
			s := checkScript("trap '' TERM HUP; (setsid sleep " + seconds + " | sleep " + seconds + ") | (echo x > " + fifo + "; sleep " + seconds + ")")
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				_, _ = os.ReadFile(fifo) // it runs
				cancel()
			}()
			_, err := r.Run(ctx, s)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			if n := alive(t, "sleep "+seconds); n != 0 {
				t.Errorf("%d processes are left", n)
			}
			if got := brief(runScript(t, r, checkScript("echo next"))); got != `0 "next"` {
				t.Error(got)
			}
		})
	}
}

func TestClosedShellsRunProcesses(t *testing.T) {
	needBash(t)
	r := NewShells(Process{})
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if got := brief(runScript(t, r, checkScript("echo a"))); got != `0 "a"` || shellCount(r) != 0 {
		t.Error(got)
	}
}

func TestTimeLimit(t *testing.T) {
	needBash(t)
	for name, runner := range paths {
		ctx, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
		if _, err := runner(t).Run(ctx, checkScript("echo a")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}
