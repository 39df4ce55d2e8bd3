package pty

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	passwdText = `root:x:0:0:root:/root:/bin/bash
# comment
operator1:x:1001:37:Op,,,:/home/operator1:/bin/zsh
bare:x:1002:1002:::
2000:x:1003:1003::/home/n:/bin/sh
+nis::::::
broken:x:12:
huge:x:4294967295:1::/:/bin/sh
`
	groupText = `root:x:0:
tty:x:5:operator1
operator:x:37:
adm:x:4:syslog,operator1
video:x:44:operator11,xoperator1
again:x:5:operator1
1234:x:77:
`
)

// system is a directory with files of its own.
func testDirectory(t *testing.T, files map[string]string) directory {
	t.Helper()
	d := directory{root: t.TempDir(), uid: 0, now: func() time.Time { return time.Unix(20000*24*60*60+3600, 0) }}
	d.run = func(name string, args ...string) ([]byte, error) {
		return nil, fmt.Errorf("unexpected run of %s %q", name, args)
	}
	for name, text := range files {
		writeScript(t, filepath.Join(d.root, name), 0o600, text)
	}
	return d
}

func accounts(t *testing.T) directory {
	t.Helper()
	return testDirectory(t, map[string]string{"etc/passwd": passwdText, "etc/group": groupText})
}

func TestAccount(t *testing.T) {
	d := accounts(t)
	op := Account{"operator1", 1001, 37, []uint32{37, 5, 4}, "/home/operator1", "/bin/zsh"}
	for _, c := range []struct {
		user, group string
		want        Account
	}{
		{"operator1", "", op},
		{"1001", "", op},
		{"", "", Account{"root", 0, 0, []uint32{0}, "/root", "/bin/bash"}},
		{"root", "operator", Account{"root", 0, 37, []uint32{37, 0}, "/root", "/bin/bash"}},
		{"operator1", "4", Account{"operator1", 1001, 4, []uint32{4, 37, 5}, "/home/operator1", "/bin/zsh"}},
		{"operator1", "99", Account{"operator1", 1001, 99, []uint32{99, 37, 5, 4}, "/home/operator1", "/bin/zsh"}},
		{"operator1", "1234", Account{"operator1", 1001, 77, []uint32{77, 37, 5, 4}, "/home/operator1", "/bin/zsh"}},
		{"bare", "", Account{"bare", 1002, 1002, []uint32{1002}, "/", "/bin/sh"}},
		{"2000", "", Account{"2000", 1003, 1003, []uint32{1003}, "/home/n", "/bin/sh"}}, // a name before an id
		{"5555", "tty", Account{"5555", 5555, 5, []uint32{5}, "/", "/bin/sh"}},
	} {
		got, err := d.account(c.user, c.group)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q %q: %+v, %v; want %+v", c.user, c.group, got, err, c.want)
		}
	}
}

func TestAccountRefusals(t *testing.T) {
	d := accounts(t)
	for _, c := range []struct {
		user, group, text string
		cause             error
	}{
		{"nobody1", "", `user "nobody1": no such user`, ErrUnknownUser},
		{"+nis", "", `user "+nis": no such user`, ErrUnknownUser},
		{"-x", "", `user "-x": no such user`, ErrUnknownUser},
		{"a:b", "", `user "a:b": no such user`, ErrUnknownUser},
		{"a\nb", "", `user "a\nb": no such user`, ErrUnknownUser},
		{"broken", "", `user "broken": no such user`, ErrUnknownUser},
		{"huge", "", `user "huge": is no user or group id`, errAccountID},
		{"4294967295", "root", `user "4294967295": no such user`, ErrUnknownUser},
		{"4294967296", "root", `user "4294967296": no such user`, ErrUnknownUser},
		{"5555", "", `user "5555": a user id without an entry needs a group`, errNumericGroup},
		{"root", "none", `group "none": no such group`, ErrUnknownGroup},
		{"root", "4294967295", `group "4294967295": no such group`, ErrUnknownGroup},
	} {
		_, err := d.account(c.user, c.group)
		wantError(t, err, c.text, c.cause)
	}
}

// A user who is not root gets the groups of this process, as others cannot be had.
func TestAccountOfThisProcess(t *testing.T) {
	d := accounts(t)
	d.uid = 1001
	own, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	a, err := d.account("operator1", "")
	if err != nil || a.Name != "operator1" || a.GID != uint32(os.Getgid()) || len(a.Groups) != len(own) {
		t.Errorf("%+v, %v", a, err)
	}
	d.uid = 7777 // no entry, as in containers
	a, err = d.account("", "")
	if err != nil || a.Name != "7777" || a.UID != 7777 || a.GID != uint32(os.Getgid()) || a.Home != "/" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAccountFromOtherSources(t *testing.T) {
	d := testDirectory(t, map[string]string{
		"etc/passwd": passwdText, "etc/group": groupText,
		"etc/nsswitch.conf": "# x\npasswd: files [NOTFOUND=continue] sss # y\ngroup:\tfiles sss\nshadow: files\n",
	})
	var ran []string
	d.run = func(name string, args ...string) ([]byte, error) {
		ran = append(ran, name+" "+strings.Join(args, " "))
		switch ran[len(ran)-1] {
		case "getent passwd ldapuser":
			return []byte("ldapuser:*:9000:9001:L:/home/l:/bin/bash\n"), nil
		case "id -G -- ldapuser":
			return []byte("9001 5 9002\n"), nil
		case "id -G -- operator1":
			return []byte("37 5\n"), nil
		case "getent group ldapgroup":
			return []byte("ldapgroup:*:9100:\n"), nil
		}
		return nil, errNoTool
	}
	want := Account{"ldapuser", 9000, 9100, []uint32{9100, 9001, 5, 9002}, "/home/l", "/bin/bash"}
	if a, err := d.account("ldapuser", "ldapgroup"); err != nil || !reflect.DeepEqual(a, want) {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := d.account("operator1", ""); err != nil || !slices.Equal(a.Groups, []uint32{37, 5}) {
		t.Errorf("groups elsewhere: %+v, %v", a, err)
	}
	if _, err := d.account("gone", ""); !errors.Is(err, ErrUnknownUser) {
		t.Error(err)
	}
	if _, err := d.account("bare", ""); !errors.Is(err, errNoTool) {
		t.Errorf("groups that cannot be told: %v", err)
	}
	if want := 6; len(ran) != want {
		t.Errorf("ran %q", ran)
	}
}

// The source "systemd" is asked for users that the file does not have, and does
// not slow down those that it has.
func TestAccountFromSystemd(t *testing.T) {
	d := testDirectory(t, map[string]string{
		"etc/passwd": passwdText, "etc/group": groupText, "etc/nsswitch.conf": "passwd: files systemd\ngroup: files systemd\n",
	})
	if _, err := d.account("operator1", ""); err != nil {
		t.Error(err)
	}
	asked := 0
	d.run = func(string, ...string) ([]byte, error) { asked++; return nil, errNoTool }
	if _, err := d.account("dynamic", ""); !errors.Is(err, ErrUnknownUser) || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

func TestCheckLogin(t *testing.T) {
	const never, today = "", 20000
	user := Account{Name: "u", UID: 1000, Shell: "/bin/bash"}
	shadow := func(hash, changed, longest, inactive, expire string) string {
		return fmt.Sprintf("other:*:1::::::\nu:%s:%s:0:%s:7:%s:%s:\n", hash, changed, longest, inactive, expire)
	}
	for _, c := range []struct {
		name   string
		shadow string
		want   error
	}{
		{"no entry", "", nil},
		{"plain", shadow("$y$x", "19000", "99999", never, never), nil},
		{"locked", shadow("!$y$x", "19000", "99999", never, never), nil},
		{"no password", shadow("*", never, never, never, never), nil},
		{"expires tomorrow", shadow("*", "19000", never, never, fmt.Sprint(today+1)), nil},
		{"expires today", shadow("*", "19000", never, never, fmt.Sprint(today)), ErrExpired},
		{"expired long ago", shadow("*", "19000", never, never, "0"), ErrExpired},
		{"never expires", shadow("*", "19000", never, never, "-1"), nil},
		{"password expired", shadow("*", "19000", "90", never, never), nil},
		{"password expired, within grace", shadow("*", "19900", "90", "10", never), nil},
		{"inactive", shadow("*", "19899", "90", "10", never), ErrInactive},
		{"password to be changed", shadow("*", "0", "90", "10", never), nil},
		{"short entry", "u:x:1\n", nil},
	} {
		d := testDirectory(t, map[string]string{"etc/shadow": c.shadow})
		if err := d.checkLogin(user); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	d := testDirectory(t, map[string]string{"etc/shadow": shadow("*", "1", "", "", "19723")})
	wantError(t, d.checkLogin(user), `user "u": account has expired on 2024-01-01`, ErrExpired)
}

func TestCheckLoginShellAndNologin(t *testing.T) {
	d := testDirectory(t, nil)
	for shell, want := range map[string]error{
		"/usr/sbin/nologin": ErrNoShell, "/bin/false": ErrNoShell, "/sbin/nologin": ErrNoShell,
		"/bin/sh": nil, "/usr/bin/fish": nil, "/bin/nologinx": nil,
	} {
		for _, uid := range []uint32{0, 1000} {
			if err := d.checkLogin(Account{Name: "u", UID: uid, Shell: shell}); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", shell, err, want)
			}
		}
	}
	for _, file := range []string{"etc/nologin", "run/nologin"} {
		d := testDirectory(t, map[string]string{file: "maintenance\n"})
		err := d.checkLogin(Account{Name: "u", UID: 1000, Shell: "/bin/sh"})
		wantError(t, err, fmt.Sprintf(`user "u": logins are disabled by the system (/%s)`, file), ErrNoLogins)
		if err := d.checkLogin(Account{Name: "root", UID: 0, Shell: "/bin/sh"}); err != nil {
			t.Errorf("root: %v", err)
		}
	}
}

// The system's own files, tools and a session agree on a user made by useradd.
func TestRealUser(t *testing.T) {
	needRoot(t)
	if _, err := exec.LookPath("useradd"); err != nil {
		t.Skip("NOT TESTED: no useradd")
	}
	name := fmt.Sprintf("etcha%d", os.Getpid())
	if out, err := exec.Command("useradd", "--no-create-home", "--gid", "operator", "--groups", "tty,video", "--shell", "/bin/sh", name).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: useradd: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("userdel", name).CombinedOutput(); err != nil {
			t.Errorf("userdel: %v: %s", err, out)
		}
	})
	a, err := LookupAccount(name, "")
	if err != nil {
		t.Fatal(err)
	}
	asked, err := system().askGroups(name)
	if err != nil || !slices.Equal(sorted(asked), sorted(a.Groups)) || len(a.Groups) != 3 {
		t.Errorf("groups %v, by id %v, %v", a.Groups, asked, err)
	}
	if out, _ := run(t, as(shell("id -un; id -gn; id -Gn"), a)); !strings.HasPrefix(out, name+"\noperator\n") ||
		!strings.Contains(out, "tty") || !strings.Contains(out, "video") {
		t.Errorf("%q", out)
	}
	if err := a.CheckLogin(); err != nil {
		t.Errorf("a user with a locked password: %v", err)
	}
	if out, err := exec.Command("usermod", "--expiredate", "2001-02-03", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wantError(t, a.CheckLogin(), fmt.Sprintf("user %q: account has expired on 2001-02-03", name), ErrExpired)
}

func sorted(list []uint32) []uint32 {
	out := slices.Clone(list)
	slices.Sort(out)
	return out
}

func TestLookupAsksTheSystemsTools(t *testing.T) {
	out, err := runTool("id", "-G", "--", "root")
	if err != nil || !slices.Contains(strings.Fields(string(out)), "0") {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := runTool("id", "-G", "--", "no-such-user"); err == nil {
		t.Error("an unknown user has groups")
	}
	if _, err := runTool("no-such-tool"); !errors.Is(err, errNoTool) {
		t.Error(err)
	}
}

// The tests that need no privilege pass without it.
func TestAsNobody(t *testing.T) {
	needRoot(t)
	if testing.Short() {
		t.Skip("NOT TESTED: short")
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.timeout=120s", "-test.run="+
		"^(TestProgramSees|TestWithoutPrivilege|TestExitStatus|TestFailedSteps|TestNoDescriptorIsInherited|TestTailIsNotLost|"+
		"TestResizeIsSeen|TestSignals|TestSignalGoesToTheForeground|TestEndReturnsEarly|TestNothingSurvives|TestNothingLeaks)$")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + defaultPath, "TMPDIR=" + nobodysFolder(t)}
	cmd.SysProcAttr = nobody()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestWithoutPrivilege") {
		t.Errorf("%v:\n%s", err, out)
	}
}
