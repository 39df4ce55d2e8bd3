package pty

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProgramSees(t *testing.T) {
	s := newSpec()
	s.Env = []string{"A=1", Marker + "=forged", "B=x=y", "C=\xff"}
	s.Umask = 0o027
	p := probed(t, s)
	if want := []string{"-probe", "with space", "\ufffd\ufffd", ""}; !slices.Equal(p.Argv, want) { // as JSON shows it
		t.Errorf("argv %q, want %q", p.Argv, want)
	}
	want := []string{"A=1", "B=x=y", "C=\ufffd", asProbe + "=1", Marker + "=" + s.Session}
	if !slices.Equal(p.Env, want) {
		t.Errorf("environment %q, want %q", p.Env, want)
	}
	if p.Umask != 0o027 || p.Dir != "/" {
		t.Errorf("umask %o in %s", p.Umask, p.Dir)
	}
	for _, terminal := range []bool{false, true} {
		s := newSpec()
		s.Terminal = terminal
		if p := probed(t, s); p.Nonblock != [3]bool{} {
			t.Errorf("terminal %v: non-blocking descriptors: %v", terminal, p.Nonblock)
		}
	}
}

// The bytes of an argument arrive as they are.
func TestArgumentBytes(t *testing.T) {
	out, _ := run(t, newSpec("/usr/bin/printf", "%s", "\xff\xfe\x01"))
	if out != "\xff\xfe\x01" {
		t.Errorf("%q", out)
	}
}

func TestBecomesTheUser(t *testing.T) {
	a := stranger(t)
	p := probed(t, as(newSpec(), a))
	if p.UIDs != [3]int{54321, 54321, 54321} || p.GIDs != [3]int{37, 37, 37} {
		t.Errorf("uids %v gids %v", p.UIDs, p.GIDs)
	}
	slices.Sort(p.Groups)
	if !slices.Equal(p.Groups, []int{37, 54322, 54323}) {
		t.Errorf("groups %v", p.Groups)
	}
	if p.Caps != [2]unix.CapUserData{} {
		t.Errorf("capabilities left: %+v", p.Caps)
	}
}

// Whoever has the daemon's session keyring possesses its keys.
func TestKeyringStays(t *testing.T) {
	a := stranger(t)
	runtime.LockOSThread() // for good: the thread ends with the test, and its keyring
	own, err := unix.KeyctlJoinSessionKeyring("etcha-test")
	if err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	if p := probed(t, newSpec()); p.Keyring != own {
		t.Fatalf("keyring %d is not even handed to the same user: the test shows nothing", p.Keyring)
	}
	if p := probed(t, as(newSpec(), a)); p.Keyring == own || p.Keyring <= 0 {
		t.Errorf("keyring %d, the daemon's is %d", p.Keyring, own)
	}
}

// Capabilities that this process could hand down do not arrive, not even for
// programs that inherit them through their file.
func TestInheritableCapabilitiesEnd(t *testing.T) {
	a := stranger(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	before := data
	data[0].Inheritable = data[0].Permitted
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	out, _ := run(t, as(newSpec("/bin/grep", "-E", "Cap(Inh|Prm|Eff|Amb)", "/proc/self/status"), a))
	if err := unix.Capset(&header, &before[0]); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out, ":\t0000000000000000\n") != 4 {
		t.Errorf("capabilities:\n%s", out)
	}
}

func TestLimitOfOpenFilesIsTheOriginal(t *testing.T) {
	var raised unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
		t.Fatal(err)
	}
	// What a program that Go starts in the usual way gets.
	cmd := shell("ulimit -Sn")
	out, _ := run(t, cmd)
	got, err := strconv.ParseUint(strings.TrimSpace(out), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	want := originalFiles(t)
	if got != want {
		t.Errorf("soft limit %d, want %d (this process has %d)", got, want, raised.Cur)
	}
}

// originalFiles asks a child of the standard library, which restores the limit.
func originalFiles(t *testing.T) uint64 {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	proc, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "ulimit -Sn"}, &os.ProcAttr{Files: []*os.File{nil, w, w}})
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, _ := readToEnd(r)
	if _, err := proc.Wait(); err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Signals that this process ignores or blocks do neither in the session, or
// hanging up would not end it.
func TestSignalsAreDefault(t *testing.T) {
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGHUP, syscall.SIGPIPE)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.Sigset_t
	block := unix.Sigset_t{}
	block.Val[0] = 1 << (unix.SIGUSR1 - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &block, &before); err != nil {
		t.Fatal(err)
	}
	out, _ := run(t, newSpec("/bin/cat", "/proc/self/status"))
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil); err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"SigBlk", "SigIgn", "SigCgt"} {
		if !strings.Contains(out, set+":\t0000000000000000\n") {
			t.Errorf("%s is not empty:\n%s", set, out)
		}
	}
}

func TestOOMScoreIsTakenBack(t *testing.T) {
	needRoot(t)
	const file = "/proc/self/oom_score_adj"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Skip("NOT TESTED: no out-of-memory score")
	}
	if os.WriteFile(file, []byte("-500"), 0) != nil { // a container may only raise it
		if err := os.WriteFile(file, []byte("300"), 0); err != nil {
			t.Skipf("NOT TESTED: %v", err)
		}
	}
	defer func() {
		if err := os.WriteFile(file, before, 0); err != nil {
			t.Error(err)
		}
	}()
	if out, _ := run(t, newSpec("/bin/cat", file)); out != "0\n" {
		t.Errorf("score %q", out)
	}
}

func TestLoginUIDNumbersTheSession(t *testing.T) {
	a := stranger(t)
	if auditSession(os.Getpid()) == noAudit && !exists("/proc/self/loginuid") {
		t.Skip("NOT TESTED: a kernel without audit")
	}
	p := start(t, as(newSpec("/bin/cat"), a))
	uid, err := os.ReadFile(procFile(p.Pid(), "loginuid"))
	if err != nil || string(uid) != "54321" {
		t.Errorf("login uid %q: %v", uid, err)
	}
	if p.audit == noAudit || p.audit == auditSession(os.Getpid()) {
		t.Errorf("audit session %d", p.audit)
	}
}

// Descriptors of this process that lack the close-on-exec flag stay here.
func TestNoDescriptorIsInherited(t *testing.T) {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	high, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(high)
	for _, terminal := range []bool{false, true} {
		s := newSpec("/bin/ls", "/proc/self/fd")
		s.Terminal = terminal
		out, _ := run(t, s)
		// 3 is the folder that ls reads.
		if got := strings.Fields(out); !slices.Equal(got, []string{"0", "1", "2", "3"}) {
			t.Errorf("terminal %v: descriptors %v", terminal, got)
		}
	}
}

func TestWorkDirectory(t *testing.T) {
	home := t.TempDir()
	for _, c := range []struct{ dir, home, want string }{
		{"/usr", home, "/usr"},
		{"", home, home},
		{"", "/nonexistent", "/"},
		{"", "", "/"},
	} {
		s := newSpec("/bin/pwd", "-P")
		s.Dir, s.Account.Home = c.dir, c.home
		if out, _ := run(t, s); out != c.want+"\n" {
			t.Errorf("dir %q, home %q: %q, want %q", c.dir, c.home, out, c.want)
		}
	}
}

func TestProgramIsSearchedInTheGivenPath(t *testing.T) {
	dir := t.TempDir()
	writeScript(t, filepath.Join(dir, "a", "tool"), 0o755, "#!/bin/sh\necho a\n")
	writeScript(t, filepath.Join(dir, "b", "tool"), 0o644, "")
	writeScript(t, filepath.Join(dir, "tool"), 0o755, "#!/bin/sh\necho here\n")
	for _, c := range []struct{ path, want string }{
		{dir + "/b:" + dir + "/a", "a\n"},
		{":.:x:" + dir + "/a", "a\n"},
	} {
		s := newSpec("tool")
		s.Dir, s.Env = dir, []string{"PATH=" + c.path}
		if out, _ := run(t, s); out != c.want {
			t.Errorf("PATH %q: %q, want %q", c.path, out, c.want)
		}
	}
	s := newSpec("tool")
	s.Dir, s.Env = dir, []string{"PATH=:."}
	_, err := Start(s)
	wantError(t, err, `start "tool": no such file or directory`, syscall.ENOENT)
}

func writeScript(t *testing.T, file string, mode os.FileMode, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		script string
		want   Exit
	}{
		{"exit 0", Exit{}},
		{"exit 7", Exit{Code: 7}},
		{"exit 255", Exit{Code: 255}},
		{"kill -TERM $$", Exit{Code: 143, Signal: "TERM"}},
		{"kill -KILL $$", Exit{Code: 137, Signal: "KILL"}},
		{"ulimit -c 0; kill -QUIT $$", Exit{Code: 131, Signal: "QUIT"}},
		{"kill -34 $$", Exit{Code: 162, Signal: "34"}},
	} {
		for _, terminal := range []bool{false, true} {
			s := shell(c.script)
			s.Terminal = terminal
			if _, exit := run(t, s); exit != c.want {
				t.Errorf("%s (terminal %v): %+v, want %+v", c.script, terminal, exit, c.want)
			}
		}
	}
}

// Where the kernel has no pidfd, a thread waits.
func TestExitStatusWithoutPidfd(t *testing.T) {
	proc, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "exit 7"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	if exit := awaitExit(proc.Pid, nil); exit != (Exit{Code: 7}) {
		t.Errorf("%+v", exit)
	}
	if st, err := proc.Wait(); err != nil || st.ExitCode() != 7 {
		t.Errorf("the status was taken: %v, %v", st, err)
	}
	if exit := awaitExit(proc.Pid, nil); exit != (Exit{Code: lostStatus}) {
		t.Errorf("a child that is not there: %+v", exit)
	}
}

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

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// noDescriptors compares with an earlier count; who reaps orphans opens files, too.
func noDescriptors(t *testing.T, before int) {
	t.Helper()
	eventually(t, "no descriptor is left", func() bool { return descriptors(t) <= before })
}

// noGroups looks for groups that this process made.
func noGroups(t *testing.T, cgroup string) {
	t.Helper()
	if cgroup == "" {
		return
	}
	name, err := groupName("")
	if err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(cgroup, name+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("groups left: %v, %v", left, err)
	}
}
