//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hinshun/vt10x"

	"etcha/go/e2e/testkit"
	"etcha/go/record"
)

// answering is a node whose source "debug" has these settings of its shell, and
// accepts these keys besides the client's.
func answering(t *testing.T, run, shell testkit.Settings, others ...string) *survivor {
	t.Helper()
	key, public := testkit.Keys(t, bin)
	if run == nil {
		run = testkit.Settings{}
	}
	run["verifyKeys"] = append(others, public)
	if _, ok := shell["command"]; !ok {
		shell["command"] = "/bin/bash --norc"
	}
	n := testkit.NewNode(t, bin, "127.0.0.1", testkit.Settings{
		"run": run, "sources": testkit.Settings{"debug": testkit.Settings{"shell": shell}},
	})
	return &survivor{t: t, node: n, key: key, proxy: testkit.NewProxy(t, n.Addr)}
}

// terminal is a client with a terminal.
func (s *survivor) terminal(args ...string) *testkit.Terminal {
	s.t.Helper()
	args = append([]string{"shell", "--node-id", s.node.ID, "debug", s.proxy.Addr}, args...)
	return testkit.NewTerminal(s.t, s.etcha(args...), 80, 24)
}

// only is the ID of the node's only session.
func (s *survivor) only() string {
	s.t.Helper()
	id := ""
	testkit.Eventually(s.t, "one session to be there", func() bool {
		out, err := s.etcha("sessions", "--json", s.node.Addr).Output()
		ids := sessionIDs(out)
		if err != nil || len(ids) != 1 {
			return false
		}
		id = ids[0]
		return true
	})
	return id
}

// sessionIDs are those in a list as JSON.
func sessionIDs(list []byte) (ids []string) {
	for _, m := range regexp.MustCompile(`"session": *"([^"]+)"`).FindAllSubmatch(list, -1) {
		ids = append(ids, string(m[1]))
	}
	return ids
}

func recordings(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.cast"))
	must(t, err)
	return all
}

// What vim had on its screen is what its recording has.
func TestRecordingOfVim(t *testing.T) {
	testkit.Need(t, "vim")
	s := answering(t, nil, testkit.Settings{"record": "output"})
	text := filepath.Join(s.node.Dir, "text")
	must(t, os.WriteFile(text, []byte(strings.Repeat("a line of text\n", 100)), 0o600))
	x := s.terminal("--", "vim", "-u", "NONE", "-n", "-i", "NONE", text)
	x.Expect("a line of text")
	x.Type("5Gohello there\x1b12Gyyp:set number\r")
	x.ExpectScreen("what was typed", func(screen string) bool {
		return strings.Contains(screen, "hello there") && strings.Contains(screen, " 13 ")
	})
	want := x.Screen()
	x.Type(":q!\r")
	x.Wait()
	var files []string
	testkit.Eventually(t, "the recording to be complete", func() bool {
		files = recordings(t, filepath.Join(s.node.Dir, "state", "recordings"))
		left, _ := filepath.Glob(filepath.Join(s.node.Dir, "state", "recordings", "*.state"))
		return len(files) == 1 && len(left) == 0
	})
	if !passes(t, files[0], want) {
		t.Errorf("the recording never shows what was on the screen:\n%s", want)
	}
	out, err := s.etcha("audit", "verify").CombinedOutput()
	if err != nil {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
}

// passes reports whether a recording's screen is as it should be at some time.
func passes(t *testing.T, file, want string) bool {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	r, err := record.NewReader(f)
	must(t, err)
	m := r.Meta()
	screen := vt10x.New(vt10x.WithSize(int(m.Cols), int(m.Rows)))
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return false
		}
		must(t, err)
		if e.Code != record.Output {
			continue
		}
		_, _ = screen.Write([]byte(e.Data))
		if trimmed(screen.String()) == trimmed(want) {
			return true
		}
	}
}

// trimmed is a screen without blanks at the ends of lines and lines at its end.
func trimmed(screen string) string {
	lines := strings.Split(screen, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \x00")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// A password that is typed at a hidden prompt is in no file and no log.
func TestHiddenInputIsNowhere(t *testing.T) {
	const secret, shown = "canary-Xy7Q-hidden", "canary-Xy7Q-shown"
	s := answering(t, nil, testkit.Settings{"record": "full"})
	x := s.terminal("--", "/bin/bash", "--norc", "-c", `read -p "name? " n; read -s -p "password? " p; echo; echo "got ${#n} and ${#p}"`)
	x.Expect("name?")
	x.Type(shown + "\r")
	x.Expect("password?")
	x.Type(secret + "\r")
	x.Expect("got ")
	x.Wait()
	testkit.Eventually(t, "the recording to be complete", func() bool {
		left, _ := filepath.Glob(filepath.Join(s.node.Dir, "state", "recordings", "*.state"))
		return len(left) == 0 && len(recordings(t, filepath.Join(s.node.Dir, "state", "recordings"))) == 1
	})
	found := map[string]int{}
	must(t, filepath.WalkDir(s.node.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, text := range []string{secret, shown} {
			found[text] += bytes.Count(b, []byte(text))
		}
		return err
	}))
	if found[secret] != 0 || strings.Contains(s.node.Log.String(), secret) {
		t.Errorf("the hidden input is in %d places of the node's files, or in its log", found[secret])
	}
	if found[shown] < 2 { // as output and as input
		t.Errorf("the input that was shown is recorded %d times, want input and output", found[shown])
	}
}

// What was tampered with is found.
func TestAuditVerifyFinds(t *testing.T) {
	s := answering(t, nil, testkit.Settings{"record": "output"})
	for range 3 {
		if out, err := s.command("true").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	s.node.Terminate()
	verify := func() (string, error) {
		out, err := s.etcha("audit", "verify").CombinedOutput()
		return string(out), err
	}
	if out, err := verify(); err != nil {
		t.Fatalf("before anything was touched: %v\n%s", err, out)
	}
	dir := filepath.Join(s.node.Dir, "state", "audit")
	segments, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	must(t, err)
	log, cast := segments[0], recordings(t, filepath.Join(s.node.Dir, "state", "recordings"))[0]
	for _, c := range []struct {
		what, file string
		tamper     func(lines []string) []string
	}{
		{"a byte changed", log, func(l []string) []string { l[2] = strings.Replace(l[2], "debug", "debuh", 1); return l }},
		{"an entry removed from the middle", log, func(l []string) []string { return append(l[:3:3], l[4:]...) }},
		{"the tail cut", log, func(l []string) []string { return l[:len(l)-2] }},
		{"a recording altered", cast, func(l []string) []string { l[0] = strings.Replace(l[0], "debug", "debuh", 1); return l }},
		{"a recording's tail cut", cast, func(l []string) []string { return l[:len(l)-1] }},
		{"a recording removed", cast, nil},
	} {
		before, err := os.ReadFile(c.file)
		must(t, err)
		if c.tamper == nil {
			must(t, os.Remove(c.file))
		} else {
			lines := strings.SplitAfter(string(before), "\n")
			after := strings.Join(c.tamper(lines[:len(lines)-1]), "")
			if after == string(before) {
				t.Fatalf("%s: nothing was changed", c.what)
			}
			must(t, os.WriteFile(c.file, []byte(after), 0o600))
		}
		if out, err := verify(); err == nil {
			t.Errorf("%s: not found\n%s", c.what, out)
		} else {
			t.Logf("%s:\n%s", c.what, out)
		}
		must(t, os.WriteFile(c.file, before, 0o600))
	}
	if out, err := verify(); err != nil {
		t.Errorf("after everything was put back: %v\n%s", err, out)
	}
}

// With a full disk a session that must be recorded ends, another goes on without
// its recording, and the node stays up.
func TestDiskFullWhileRecording(t *testing.T) {
	testkit.NeedRoot(t)
	for _, required := range []bool{true, false} {
		disk := t.TempDir()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
			t.Skipf("SKIPPED: a small disk cannot be mounted: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
		s := answering(t, testkit.Settings{"recordings": testkit.Settings{"dir": disk}}, testkit.Settings{"record": "output", "recordRequired": required})
		cmd := s.command("/bin/bash", "--norc", "-c", "for i in $(seq 20000); do echo line $i of what fills the disk; done; echo done; exit 5")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run()
		status := cmd.ProcessState.ExitCode()
		switch {
		case required && (status != 255 || !strings.Contains(errs.String(), "record")):
			t.Errorf("required: exit status %d\n%s", status, &errs)
		case !required && (status != 5 || !strings.Contains(out.String(), "\ndone\n") || !strings.Contains(errs.String(), "record")):
			t.Errorf("not required: exit status %d, %d bytes\n%s", status, out.Len(), &errs)
		}
		shown, err := s.etcha("audit", "show").CombinedOutput()
		if err != nil || !strings.Contains(string(shown), "unrecorded") {
			t.Errorf("audit show: %v\n%s", err, shown)
		}
		_ = os.WriteFile(filepath.Join(disk, "junk"), make([]byte, 512<<10), 0o600) // as much as fits
		again := s.command("echo", "up")
		text, err := again.CombinedOutput()
		if !required && (err != nil || !strings.Contains(string(text), "up\n")) || required && (err == nil || !strings.Contains(string(text), "record")) {
			t.Errorf("a session afterwards (required: %v): %v\n%s", required, err, text)
		}
		s.node.Terminate()
	}
}

// The client dies with its machine; another one attaches, sees what was there,
// and goes on.
func TestAttachFromAnotherMachine(t *testing.T) {
	s := answering(t, nil, testkit.Settings{})
	x := s.terminal()
	x.Expect("#")
	x.Type("PS1='here> '; echo it was $((40+2))\r")
	x.Expect("it was 42")
	must(t, x.Cmd.Process.Kill())
	x.Wait()
	cmd := s.etcha("attach", s.only()[:8], s.node.Addr)
	cmd.Env = append(cmd.Env, "HOME="+t.TempDir())
	y := testkit.NewTerminal(t, cmd, 100, 30)
	y.Expect("it was 42")
	y.Type("echo $((6*7)) again in $(stty size)\r")
	y.Expect("42 again in 30 100")
	y.Type("exit 9\r")
	if status := y.Wait(); status != 9 {
		t.Errorf("exit status %d, want 9", status)
	}
}

// The lifetimes, for real and short.
func TestLifetimes(t *testing.T) {
	for _, c := range []struct {
		name       string
		run, shell testkit.Settings
		says       string
	}{
		{"idle", nil, testkit.Settings{"idleTimeout": "3s"}, "nothing happened"},
		{"longest life", testkit.Settings{"timeoutShell": "3s"}, testkit.Settings{}, "longest life"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := answering(t, c.run, c.shell)
			began := time.Now()
			cmd := s.command("sleep", "1000")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.says) || !strings.Contains(string(out), "in 1s") {
				t.Errorf("%v:\n%s", err, out)
			}
			if lived := time.Since(began); lived < 3*time.Second {
				t.Errorf("it lived for %s only", lived)
			}
			t.Logf("%s", out)
		})
	}
	t.Run("resume window", func(t *testing.T) {
		s := answering(t, nil, testkit.Settings{"resumeFor": "2s"})
		cmd := s.command("sleep", "1000")
		must(t, cmd.Start())
		testkit.Eventually(t, "the session to be open", func() bool { return sessionsOf(t, s.node) == 1 })
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		testkit.Eventually(t, "the session to end", func() bool { return sessionsOf(t, s.node) == 0 })
	})
}

// Two people: one asks, the other agrees, and only then is there a shell.
func TestApproval(t *testing.T) {
	second, public := testkit.Keys(t, bin)
	s := answering(t, nil, testkit.Settings{"require": 1}, public)
	x := s.terminal()
	request := ""
	x.ExpectScreen("the request", func(string) bool {
		for word := range strings.FieldsSeq(x.Raw()) {
			if strings.HasPrefix(word, "etcha-request:") {
				request = word
			}
		}
		return request != "" && strings.Contains(x.Screen(), "digest SHA256:")
	})
	approve := s.node.Etcha("-x", "build_signingKey="+second, "approve", "--yes", request)
	approve.Stderr = os.Stderr
	approval, err := approve.Output()
	must(t, err)
	x.Type("nonsense\r")
	x.Type(strings.TrimSpace(string(approval)) + "\r")
	x.Expect("#")
	x.Type("echo $((6*7))\r")
	x.Expect("42")
	x.Type("exit\r")
	x.Wait()
}

// A rule that changes ends the sessions that it no longer permits, soon.
func TestRuleChangeEndsSessions(t *testing.T) {
	s := answering(t, nil, testkit.Settings{})
	x := s.terminal()
	x.Expect("#")
	settings := s.node.Settings()
	source, _ := settings["sources"].(testkit.Settings)["debug"].(testkit.Settings)
	source["shell"].(testkit.Settings)["rule"] = `sub == "nobody"`
	s.node.Write(settings, "")
	changed := time.Now()
	s.node.Signal(syscall.SIGHUP)
	x.Expect("no longer permits")
	t.Logf("the session ended %s after the configuration changed", time.Since(changed).Round(time.Millisecond))
	if status := x.Wait(); status != 255 {
		t.Errorf("exit status %d, want 255", status)
	}
	if out, err := s.command("true").CombinedOutput(); err == nil || !strings.Contains(string(out), "shell.rule") {
		t.Errorf("another open: %v\n%s", err, out)
	}
}
