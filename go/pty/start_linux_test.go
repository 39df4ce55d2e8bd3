package pty

import (
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
