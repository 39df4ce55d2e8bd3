//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"etcha/go/e2e/testkit"
)

// operator makes the unprivileged user "operator" in Debian's group of that
// name, with a supplementary group, and removes it afterwards.
func operator(t *testing.T) *user.User {
	t.Helper()
	testkit.NeedRoot(t)
	if _, err := user.Lookup("operator"); err != nil {
		home := filepath.Join(t.TempDir(), "home")
		must(t, os.Chmod(filepath.Dir(home), 0o755))
		must(t, os.Chmod(filepath.Dir(filepath.Dir(home)), 0o755))
		sh(t, "useradd", "-m", "-d", home, "-g", "operator", "-G", "adm,users", "-s", "/bin/bash", "operator")
		t.Cleanup(func() {
			// userdel would take the group of the same name along, which is the system's.
			sh(t, "usermod", "-g", "nogroup", "operator")
			sh(t, "userdel", "operator")
		})
		must(t, os.WriteFile(filepath.Join(home, ".bashrc"), []byte("PS1='op$ '\n"), 0o644))
		must(t, os.RemoveAll(filepath.Join(home, ".profile")))
	}
	u, err := user.Lookup("operator")
	must(t, err)
	return u
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sh(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// twoNodes starts two nodes with identities of their own that accept different
// keys. The second one is the first one's target "myhost".
func twoNodes(t *testing.T, shell testkit.Settings) (near, far *testkit.Node) {
	t.Helper()
	nearKey, nearPublic := testkit.Keys(t, bin)
	_, otherPublic := testkit.Keys(t, bin)
	far = testkit.NewNode(t, bin, "127.0.0.3", testkit.Settings{
		"run":     testkit.Settings{"verifyKeys": []string{nearPublic}},
		"sources": testkit.Settings{"debug": testkit.Settings{"shell": shell}},
	})
	host, port, _ := strings.Cut(far.Addr, ":")
	near = testkit.NewNode(t, bin, "127.0.0.2", testkit.Settings{
		"build":   testkit.Settings{"signingKey": nearKey},
		"run":     testkit.Settings{"verifyKeys": []string{otherPublic}},
		"targets": testkit.Settings{"myhost": testkit.Settings{"hostname": host, "port": atoi(t, port)}},
	})
	return near, far
}

func TestShellByTargetName(t *testing.T) {
	u := operator(t)
	near, far := twoNodes(t, testkit.Settings{
		"command": "/bin/bash", "user": "operator", "group": "operator", "workDir": "/srv", "umask": "027",
		"env": testkit.Settings{"GREETING": "hello"},
	})
	if near.ID == far.ID {
		t.Fatal("both nodes have the same identity")
	}
	cmd := near.Etcha("shell", "debug", "myhost")
	cmd.Env = append(cmd.Env, "LANG=C.UTF-8", "LD_PRELOAD=/nope.so", "SECRET_OF_CLIENT=1")
	x := testkit.NewTerminal(t, cmd, 100, 30)
	before := x.Modes()
	x.Expect("op$")
	ask := func(command, want string) {
		t.Helper()
		x.Type("clear; " + command + "\r")
		x.Expect(want)
	}
	groups := strings.TrimSpace(sh(t, "id", "-G", "operator"))
	ask("echo [$(id -un):$(id -gn)]", "[operator:operator]")
	ask("echo [$(id -G)]", "["+groups+"]")
	ask("test -w $(tty) && stat -c '[%U %a]' $(tty)", "[operator 620]")
	ask("echo [$(umask)]", "[0027]")
	ask("echo [$PWD:$HOME:$USER:$LOGNAME:$SHELL]", "[/srv:"+u.HomeDir+":operator:operator:/bin/bash]")
	ask("echo [$GREETING:$LANG:$LD_PRELOAD:$SECRET_OF_CLIENT]", "[hello:C.UTF-8::]")
	ask("echo [$(ls /proc/self/fd | tr '\\n' ' ')]", "[0 1 2 3 ]") // 3 is ls's own
	ask("ps -o tty= -p $$ | sed 's/^/[/;s/$/]/'", "[pts/")
	ask("echo [$(stty size)]", "[30 100]")
	x.Resize(90, 25)
	ask("echo [$(stty size)]", "[25 90]")
	x.Type("exit 7\r")
	if status := x.Wait(); status != 7 {
		t.Errorf("exit status %d, want 7", status)
	}
	if x.Modes() != before {
		t.Error("the terminal's modes are not as before")
	}
}

func TestWindowFollowsWithoutAKeystroke(t *testing.T) {
	near, _ := twoNodes(t, testkit.Settings{"command": "/bin/bash --norc"})
	x := testkit.NewTerminal(t, near.Etcha("shell", "debug", "myhost"), 80, 24)
	x.Expect("#")
	x.Type("trap 'stty size' WINCH; while :; do read -t 1 -n 1; done\r")
	x.Expect("done")
	for _, size := range []struct {
		cols, rows int
		want       string
	}{{100, 30, "30 100"}, {60, 20, "20 60"}, {132, 43, "43 132"}} {
		x.Resize(size.cols, size.rows)
		x.Expect(size.want)
	}
	x.Type("\x03exit\r")
}

// The full-screen programs that operators live in.
func TestFullScreenPrograms(t *testing.T) {
	for _, name := range []string{"vim", "less", "top", "tmux"} {
		testkit.Need(t, name)
	}
	near, far := twoNodes(t, testkit.Settings{"command": "/bin/bash --norc"})
	text := filepath.Join(far.Dir, "text")
	var lines strings.Builder
	for i := range 300 {
		lines.WriteString("line " + itoa(i+1) + "\n")
	}
	must(t, os.WriteFile(text, []byte(lines.String()), 0o644))
	x := testkit.NewTerminal(t, near.Etcha("shell", "debug", "myhost"), 80, 24)
	x.Expect("#")

	prompt := func(after string) {
		t.Helper()
		x.ExpectScreen("the prompt after "+after, func(s string) bool { return strings.HasSuffix(s, "#") })
	}
	x.Type("vim -u NONE -N " + text + "\r")
	x.Expect("line 23")
	x.Type("G")
	x.Expect("line 300")
	x.Type("ochanged by vim\x1b:wq\r")
	prompt("vim")
	if b, err := os.ReadFile(text); err != nil || !strings.HasSuffix(string(b), "line 300\nchanged by vim\n") {
		t.Errorf("vim did not write the file: %v", err)
	}

	x.Type("clear; less " + text + "\r")
	x.Expect("line 23")
	x.Resize(80, 40)
	x.Expect("line 39")
	x.Type("/line 250\r")
	x.Expect("line 260")
	x.Type("q")
	prompt("less")

	x.Type("clear; top -d 1\r")
	x.Expect("load average")
	x.Expect("PID")
	x.Type("q")
	prompt("top")

	x.Type("clear; env -u TMUX tmux -f /dev/null -L etcha-e2e new -s e2e 'echo inside; exec bash --norc'\r")
	x.Expect("inside")
	x.Expect("[e2e]")
	x.Type("\x02%") // split
	x.ExpectScreen("two panes", func(s string) bool { return strings.Contains(s, "│") })
	x.Type("tmux -L etcha-e2e kill-server\r")
	x.Expect("[server exited]")
	x.Type("exit 3\r")
	if status := x.Wait(); status != 3 {
		t.Errorf("exit status %d, want 3", status)
	}
}
