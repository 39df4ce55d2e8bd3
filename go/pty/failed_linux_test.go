package pty

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRefusedSpecs(t *testing.T) {
	for _, c := range []struct {
		change func(*Spec)
		text   string
		cause  error
	}{
		{func(s *Spec) { s.Session = "" }, "session: is no session name", errSessionName},
		{func(s *Spec) { s.Session = "../x" }, `session "../x": is no session name`, errSessionName},
		{func(s *Spec) { s.Session = strings.Repeat("a", maxSession+1) }, fmt.Sprintf("session %q: is no session name", strings.Repeat("a", maxSession+1)), errSessionName},
		{func(s *Spec) { s.Argv = nil }, "start: no program given", errNoProgram},
		{func(s *Spec) { s.Argv = []string{""} }, "start: no program given", errNoProgram},
		{func(s *Spec) { s.Argv = []string{"/bin/true", "a\x00b"} }, `start "/bin/true": contains a NUL byte`, errNUL},
		{func(s *Spec) { s.Env = []string{"A=\x00"} }, `start "/bin/true": contains a NUL byte`, errNUL},
		{func(s *Spec) { s.Dir = "tmp" }, `work directory "tmp": is not absolute`, errRelative},
		{func(s *Spec) { s.Account.Name, s.Account.UID = "x", 1<<32-1 }, `user "x": is no user or group id`, errAccountID},
		{func(s *Spec) { s.Account.GID = 1<<32 - 1 }, `group "4294967295": is no user or group id`, errAccountID},
	} {
		s := newSpec("/bin/true")
		c.change(&s)
		_, err := Start(s)
		wantError(t, err, c.text, c.cause)
	}
}

func TestFailedSteps(t *testing.T) {
	dir := t.TempDir()
	writeScript(t, filepath.Join(dir, "plain"), 0o644, "")
	writeScript(t, filepath.Join(dir, "junk"), 0o755, "\x00\x01")
	writeScript(t, filepath.Join(dir, "orphan"), 0o755, "#!/nonexistent/interpreter\n")
	for _, c := range []struct {
		argv, dir, text string
		cause           error
	}{
		{"/bin/nope", "/", `start "/bin/nope": no such file or directory`, syscall.ENOENT},
		{"nope", "/", `start "nope": no such file or directory`, syscall.ENOENT},
		{"/etc/passwd/x", "/", `start "/etc/passwd/x": not a directory`, syscall.ENOTDIR},
		{dir + "/plain", "/", fmt.Sprintf(`start %q: permission denied`, dir+"/plain"), syscall.EACCES},
		{dir + "/junk", "/", fmt.Sprintf(`start %q: exec format error`, dir+"/junk"), syscall.ENOEXEC},
		{dir + "/orphan", "/", fmt.Sprintf(`start %q: %s`, dir+"/orphan", errInterpreter), errInterpreter},
		{"/bin/true", "/nonexistent", `work directory "/nonexistent": no such file or directory`, syscall.ENOENT},
		{"/bin/true", "/etc/passwd", `work directory "/etc/passwd": not a directory`, syscall.ENOTDIR},
	} {
		for _, terminal := range []bool{false, true} {
			s := newSpec(c.argv)
			s.Dir, s.Terminal = c.dir, terminal
			_, err := Start(s)
			wantError(t, err, c.text, c.cause)
		}
	}
}

func TestFailedStepsOfAUser(t *testing.T) {
	a := stranger(t)
	dir := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := as(newSpec("/bin/true"), a)
	s.Dir = dir
	_, err := Start(s)
	wantError(t, err, fmt.Sprintf("work directory %q: permission denied", dir), syscall.EACCES)
	s = as(newSpec(dir+"/x"), a)
	_, err = Start(s)
	wantError(t, err, fmt.Sprintf("start %q: permission denied", dir+"/x"), syscall.EACCES)
}

func TestWithoutPrivilege(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("run by TestAsNobody")
	}
	s := newSpec("/bin/true")
	s.Account.UID, s.Account.Name = 0, "root"
	_, err := Start(s)
	wantError(t, err, `groups of user "root": operation not permitted`, syscall.EPERM)
	s = newSpec("/bin/true")
	s.Account.GID = 0
	_, err = Start(s)
	var failed *StartError
	if !errors.As(err, &failed) || !errors.Is(err, syscall.EPERM) {
		t.Errorf("another group: %v", err)
	}
}

// Without its order the helper does nothing.
func TestHelperWithoutOrder(t *testing.T) {
	s := newSpec(HelperName)
	s.Path = "/proc/self/exe"
	p := start(t, s)
	text := output(t, p.Stderr())
	if exit := await(t, p); exit.Code != 1 || !strings.HasPrefix(text, "etcha-exec is started by the program itself only: ") {
		t.Errorf("%+v: %q", exit, text)
	}
}

func TestAnswer(t *testing.T) {
	failure, err := json.Marshal(answerOf(&StartError{stepDir, "/x", syscall.EACCES}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{
		{"\n", "<nil>"},
		{"", "start helper: " + errHelper.Error()},
		{string(failure), `work directory "/x": permission denied`},
		{"\n" + string(failure), `work directory "/x": permission denied`},
	} {
		got := "<nil>"
		if e := parseAnswer([]byte(c.text)); e != nil {
			got = e.Error()
		}
		if got != c.want {
			t.Errorf("answer %q: %s, want %s", c.text, got, c.want)
		}
	}
	if e := parseAnswer([]byte("junk")); e == nil || e.Step != stepHelper {
		t.Errorf("junk: %v", e)
	}
}

func TestNothingIsLeftOfAFailedStart(t *testing.T) {
	parent := reaper(t)
	cgroup := FindCgroup()
	before := 0
	for i := range 25 {
		if i == 5 { // the runtime has opened its own
			before = descriptors(t)
		}
		s := newSpec("/bin/nope")
		s.Terminal, s.Cgroup = true, cgroup
		if _, err := parent.Start(s); err == nil {
			t.Fatal("started")
		}
	}
	noDescriptors(t, before)
	if n := len(parent.others(nil)); n != 0 {
		t.Errorf("%d leaders left", n)
	}
	noGroups(t, cgroup)
}
