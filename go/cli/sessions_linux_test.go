package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"etcha/go/e2e/testkit"
)

// through is a client of the node behind a proxy.
func (n *shellNode) through(t *testing.T, args ...string) (*testkit.Proxy, *screen) {
	t.Helper()
	p := testkit.NewProxy(t, n.ready.Addr)
	cmd := n.command(args...)
	for i, a := range cmd.Args {
		if a == "127.0.0.1:"+n.port() {
			cmd.Args[i] = p.Addr
		}
	}
	s := onScreen(t, cmd)
	return p, s
}

// do is another subcommand as the client of the node.
func (n *shellNode) do(args ...string) *exec.Cmd {
	cmd := n.command()
	cmd.Args = append([]string{
		cmd.Args[0], "-c", filepath.Join(n.home, "etcha.jsonnet"),
		"-x", "build_signingKeyPath=" + filepath.Join(n.home, "key"),
		"-x", `targets={"myhost":{"hostname":"127.0.0.1","port":` + n.port() + `,"nodeID":"` + n.ready.ID + `"}}`,
	}, args...)
	return cmd
}

// lines are those of the screen, without what is empty at its end.
func lines(shown string) []string {
	all := strings.Split(strings.TrimRight(shown, " \n"), "\n")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// below waits until the last line of the screen is there with text in it, and
// the one before it is line.
func (s *screen) below(line, text string) {
	s.t.Helper()
	s.until("a line about "+text, func(_, shown string) bool {
		all := lines(shown)
		return len(all) > 1 && all[len(all)-2] == line && strings.Contains(all[len(all)-1], text)
	})
}

// TestStatusLineAtThePrompt: the daemon is killed and another takes over, with
// the prompt in the middle and at the bottom of the screen.
func TestStatusLineAtThePrompt(t *testing.T) {
	n := newShellNode(t)
	p, s := n.through(t)
	s.atPrompt("prompt:")
	s.types("where=here\rfor i in $(seq 3); do echo line $i; done\r")
	s.seesLine("line 3")
	s.atPrompt("prompt:")
	s.types("echo half")
	s.seesLine("prompt: echo half")

	if err := n.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = n.cmd.Wait()
	s.below("prompt: echo half", "etcha: lost (")
	s.below("prompt: echo half", "~. gives up")
	s.below("prompt: echo half", "kept for 4m")
	s.types(" typed meanwhile $where\r")
	again, err := runNode(n.home, nil)
	if err != nil {
		t.Fatal(err)
	}
	*n.testNode = *again // which is stopped in its place
	p.Backend(again.ready.Addr)
	s.seesLine("half typed meanwhile here")
	s.atPrompt("prompt:")
	if shown := s.shown(); strings.Contains(shown, "lost") || strings.Count(shown, "line 3") != 1 {
		t.Errorf("something is left of the status line:\n%s", shown)
	}

	s.types("seq 100; echo end\r")
	s.seesLine("end")
	s.atPrompt("prompt:")
	p.Refuse(true)
	p.Cut()
	s.below("prompt:", "lost (")
	p.Refuse(false)
	s.atPrompt("prompt:")
	s.types("exit 4\r")
	s.ends(4)
}

// TestStatusLineOverAFullScreen: it is the last row, and the program draws anew.
func TestStatusLineOverAFullScreen(t *testing.T) {
	n := newShellNode(t)
	const program = `draw() { clear; for i in $(seq $(stty size | cut -d' ' -f1)); do [ $i = 1 ] || echo; printf "row $i"; done; printf '\033[1;1H'; }
printf '\033[?1049h'; trap draw WINCH; trap 'exit 3' INT; draw; while :; do sleep 0.02; done`
	p, s := n.through(t, "--", "bash", "-c", program)
	s.seesLine("row 24")
	p.Refuse(true)
	p.Cut()
	s.below("row 23", "lost (")
	p.Refuse(false)
	s.until("the picture", func(_, shown string) bool {
		all := lines(shown)
		return len(all) == 24 && all[0] == "row 1" && all[23] == "row 24"
	})
	s.types("\x03")
	s.ends(3)
}

// TestGivingUp: nobody waits for a network that is gone, and who gave up is told
// how to come back.
func TestGivingUp(t *testing.T) {
	n := newShellNode(t)
	for _, c := range []struct {
		name   string
		end    func(*screen)
		status int
	}{
		{"escape", func(s *screen) { s.types("\r~.") }, 255},
		{"TERM", func(s *screen) { s.signal(syscall.SIGTERM) }, 143},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, s := n.through(t)
			s.atPrompt("prompt:")
			p.Refuse(true)
			p.Cut()
			s.below("prompt:", "lost (")
			c.end(s)
			s.ends(c.status)
			s.sees("the session lives on")
			s.sees("etcha attach ")
			if shown := s.shown(); strings.Contains(shown, "next try") {
				t.Errorf("the status line is left:\n%s", shown)
			}
		})
	}
	t.Run("another client", func(t *testing.T) {
		out, err := n.do("sessions", "--json").CombinedOutput()
		if err != nil || strings.Count(string(out), `"session":`) != 2 {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func TestDetachAndAttach(t *testing.T) {
	n := newShellNode(t)
	s := n.open(t)
	s.types("where=here; echo written $((6*7))\r")
	s.seesLine("written 42")
	s.types("~?")
	s.sees("~d   detach: leave the session running")
	s.types("\rwhere=there\r~d") // what was typed just before arrives
	s.ends(0)
	s.sees("left the session on 127.0.0.1")
	s.sees("goes on with it")
	n.hasSessions(t, 1)

	s = onScreen(t, n.do("attach"))
	s.seesLine("written 42") // scrollback
	s.types("echo still $where\r")
	s.seesLine("still there")

	// Another one takes it over; who had it is told, and how to take it back.
	other := onScreen(t, n.do("attach", n.session(t)[:6], "myhost"))
	other.seesLine("still there")
	s.ends(255)
	s.sees("taken over by another client")
	s.sees("takes it back")
	other.types("exit 9\r")
	other.ends(9)
}

// session is the only one of the node that has not ended.
func (n *shellNode) session(t *testing.T) string {
	t.Helper()
	out, err := n.do("sessions").Output()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "SESSION") && !strings.Contains(line, " ended ") {
			ids = append(ids, strings.Fields(line)[0])
		}
	}
	if len(ids) != 1 {
		t.Fatalf("sessions:\n%s", out)
	}
	return ids[0]
}

// TestAttachAnswersNothing: a question to a terminal that is remembered output
// is not answered by another one, as if it had been typed.
func TestAttachAnswersNothing(t *testing.T) {
	n := newShellNode(t)
	s := n.open(t, "--", "bash", "-c", `printf 'asked\033[6n\033[c\033[?1h\n'; read -s -d R x; while read line; do echo "<$line>"; done`)
	s.seesLine("asked")
	s.types("\x1b[1;1R") // as the terminal answers
	s.types("first\r")
	s.seesLine("<first>")
	s.types("~d")
	s.ends(0)
	s = onScreen(t, n.do("attach"))
	s.seesLine("<first>")
	if w := s.written(); strings.Contains(w, "\x1b[6n") || strings.Contains(w, "\x1b[c") {
		t.Errorf("the terminal is asked: %q", w)
	}
	s.sees("\x1b[?1h") // but what keys send is as the program wants it
	s.types("second\r")
	s.seesLine("<second>")
	s.types("~.")
	s.ends(255)
	if w := s.written(); !strings.Contains(w, "\x1b[?1l") {
		t.Errorf("the terminal is not put right: %q", w)
	}
}

func TestRecordingIsTold(t *testing.T) {
	s := onScreen(t, newShellNode(t).do("shell", "recorded", "myhost"))
	s.seesLine("etcha: this session is recorded: what it shows")
	s.types("exit\r")
	s.ends(0)
}

func TestWatchJoinKill(t *testing.T) {
	n := newShellNode(t)
	owner := n.open(t)
	owner.types("echo before\r")
	owner.seesLine("before")
	id := n.session(t)

	viewer := onScreen(t, n.do("sessions", "watch", id, "myhost"))
	viewer.sees("q leaves")
	viewer.seesLine("before")
	owner.sees("watches")
	owner.types("echo seen\r")
	viewer.seesLine("seen")
	viewer.types("x")
	viewer.types("q")
	viewer.ends(0)
	viewer.sees("left the session on myhost; it goes on")
	owner.sees("has left")

	guest := onScreen(t, n.do("sessions", "join", id))
	guest.seesLine("seen")
	owner.sees("has joined")
	guest.types("echo by $((40+2))\r")
	owner.seesLine("by 42")
	guest.seesLine("by 42")
	if err := resize(guest, 40, 10); err != nil {
		t.Fatal(err)
	}
	guest.types("stty size\r")
	owner.seesLine("24 80") // the owner's counts
	guest.types("~.")
	guest.ends(0)

	last := onScreen(t, n.do("sessions", "watch", id))
	last.seesLine("by 42")
	if out, err := n.do("sessions", "kill", id).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	owner.ends(255)
	owner.sees("was ended by an operator")
	last.ends(0)
	last.sees("was ended by an operator")
}

func TestSessionsOnTheTerminal(t *testing.T) {
	n := newShellNode(t)
	s := onScreen(t, n.do("sessions", "--follow"))
	s.sees("0 sessions")
	var ids []string
	for range 2 {
		out, err := n.do("shell", "--detach", "debug", "myhost", "--", "sleep", "1000").Output()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, strings.TrimSpace(string(out)))
	}
	s.until("the sessions", func(_, shown string) bool {
		return strings.Contains(shown, "2 sessions") && strings.Contains(shown, ids[1][:shortID])
	})
	s.types("q")
	s.ends(0)

	s = onScreen(t, n.do("attach"))
	s.sees("Which one? 1 to 2: ")
	s.types("7\r")
	s.until("the second question", func(written, _ string) bool { return strings.Count(written, "Which one?") == 2 })
	s.types("2\r")
	s.until("the terminal", func(string, string) bool { return s.cmd.Process != nil })
	n.attached(t, ids[0]) // the older one stands below
	s.signal(syscall.SIGTERM)
	s.ends(143)
}

// attached waits until somebody is attached to a session.
func (n *shellNode) attached(t *testing.T, id string) {
	t.Helper()
	cmd := n.do("sessions", "-f", "--json")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	untilLine(t, out, func(line string) bool {
		i := strings.Index(line, id)
		return i >= 0 && strings.HasPrefix(stateOf(line[i:]), `"attached"`)
	})
}
