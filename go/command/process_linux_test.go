package command

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tool writes a program into dir.
func tool(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// describeEngine shows the arguments, and of the environment what matters.
const describeEngine = `name=$(basename "$0"); printf '%s' "$name"; for a; do printf ' [%s]' "$a"; done; echo
env | grep -E '^(A|B|HOME|DOCKER_HOST|X_TOKEN|SECRET)=' | sort`

func containerScript(path string) Script {
	s := checkScript("echo in")
	s.Exec.ContainerImage = "debian:stable"
	s.Program = []string{"PATH=" + path + ":/usr/bin:/bin", "HOME=/home/me", "DOCKER_HOST=unix:///x", "SECRET=1"}
	return s
}

func TestContainerArguments(t *testing.T) {
	dir := t.TempDir()
	tool(t, dir, "podman", describeEngine)
	s := containerScript(dir)
	s.Exec.Env = map[string]string{"A": "1 2", "DOCKER_HOST": "inner"}
	s.Env = []string{"A=1 2", "DOCKER_HOST=inner", "HOME=/home/me", "PATH=/usr/bin"}
	s.Vars = []string{"X_TOKEN=s3cret"}
	e := &s.Exec
	e.ContainerEntrypoint, e.ContainerNetwork, e.ContainerPull, e.ContainerUser, e.ContainerWorkDir = "/e", "host", "never", "1:2", "/w"
	e.ContainerPrivileged, e.ContainerVolumes = &yes, []string{"/a:/b", "/c:/d:ro"}
	out := runScript(t, Process{}, s).Text
	name := between(out, "[--name] [", "]")
	want := "podman [run] [-i] [--rm] [--name] [" + name + "] [--entrypoint=/e] [--network=host] [--pull=never] [--user=1:2] [--workdir=/w] " +
		"[--privileged] [--volume=/a:/b] [--volume=/c:/d:ro] [--env=A] [--env=DOCKER_HOST=inner] [--env=X_TOKEN] [debian:stable] " +
		"[/usr/bin/bash] [-e] [-o] [pipefail] [-c] [echo in]\nA=1 2\nDOCKER_HOST=unix:///x\nHOME=/home/me\nX_TOKEN=s3cret"
	if out != want || !strings.HasPrefix(name, "etcha-") {
		t.Errorf("%s\nwant %s", out, want)
	}
	tool(t, dir, "docker", describeEngine)
	if out := runScript(t, Process{}, containerScript(dir)).Text; !strings.HasPrefix(out, "docker [run] [-i] [--rm]") ||
		!strings.Contains(out, "] [debian:stable] [/usr/bin/bash]") {
		t.Errorf("docker is there, too: %s", out)
	}
}

func between(s, a, b string) string {
	_, s, _ = strings.Cut(s, a)
	s, _, _ = strings.Cut(s, b)
	return s
}

func TestContainerPassesStatusAndInput(t *testing.T) {
	dir := t.TempDir()
	tool(t, dir, "docker", `cat; exit 5`)
	s := containerScript(dir)
	s.Stdin = "hello"
	if got := brief(runScript(t, Process{}, s)); got != `5 "hello"` {
		t.Error(got)
	}
}

// A cancelled script removes its container, not only the engine's client.
func TestCancelRemovesTheContainer(t *testing.T) {
	dir := t.TempDir()
	fifo, removed := filepath.Join(dir, "fifo"), filepath.Join(dir, "removed")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, "docker", `case $1 in run) echo "$5" >`+fifo+`; exec sleep 600;; *) echo "$*" >`+removed+`; exit $(cat `+dir+`/status);; esac`)
	for status, ok := range map[string]bool{"0": true, "1": false} {
		if err := os.WriteFile(filepath.Join(dir, "status"), []byte(status), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		name := make(chan string, 1)
		go func() {
			b, _ := os.ReadFile(fifo)
			name <- strings.TrimSpace(string(b))
			cancel()
		}()
		_, err := Process{}.Run(ctx, containerScript(dir))
		if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "remove container") == ok {
			t.Errorf("%v", err)
		}
		got, err := os.ReadFile(removed)
		if want := "rm --force " + <-name + "\n"; err != nil || string(got) != want {
			t.Errorf("%q, want %q, %v", got, want, err)
		}
	}
}

func TestOutputKeepsItsEnd(t *testing.T) {
	var tl tail
	var all []byte
	for i := range 300 {
		p := []byte(strings.Repeat(string(rune('a'+i%26)), 997*(1+i%5)))
		all = append(all, p...)
		if n, err := tl.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		if want := string(all[max(0, len(all)-MaxOutput):]); tl.text() != want {
			t.Fatalf("after %d writes", i)
		}
	}
	if _, err := tl.Write(make([]byte, 5*MaxOutput)); err != nil || len(tl.text()) != MaxOutput || len(tl.buf) > 2*MaxOutput {
		t.Errorf("%v, %d bytes", err, len(tl.text()))
	}
}

func TestUserAndGroup(t *testing.T) {
	needBash(t)
	needRoot(t)
	s := checkScript("id -un; id -gn; id -G | wc -w; echo $HOME; cat /proc/self/status | grep CapEff; ps -o sid= -p $$ | tr -d ' '; echo $$")
	s.Exec.User, s.Exec.Group, s.Exec.WorkDir = "nobody", "daemon", "/"
	got := strings.Fields(runScript(t, Process{}, s).Text)
	if len(got) != 8 || got[0] != "nobody" || got[1] != "daemon" || got[5] != "0000000000000000" || got[6] != got[7] {
		t.Errorf("%q", got)
	}
	s = checkScript("id -un; id -gn; echo ${USER-none}")
	s.Exec.Group = "daemon"
	if got := runScript(t, Process{}, s).Text; got != "root\ndaemon\nnone" {
		t.Errorf("a group alone: %q", got)
	}
}

// Without root the tests that need none pass, and sudo is used.
func TestAsNobody(t *testing.T) {
	needRoot(t)
	dir, err := os.MkdirTemp("/tmp", "etcha-nobody") // t.TempDir is root's alone
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "test")
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(binary, b, 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.v", "-test.timeout=120s", "-test.run=^(TestSudo|TestShellStaysOne|TestCancelLeavesNothing|TestNoRight)$")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "TMPDIR=" + dir, "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestSudo") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestSudo(t *testing.T) {
	if os.Geteuid() == 0 {
		s := checkScript("id -u")
		s.Exec.Sudo = &yes
		if got := runScript(t, Process{}, s).Text; got != "0" {
			t.Errorf("root needs no sudo: %q", got)
		}
		return
	}
	dir := t.TempDir()
	tool(t, dir, "sudo", `printf '%s|' "$@"; echo; echo "$A"`)
	s := checkScript("true")
	s.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "A=1"}
	s.Exec.Sudo, s.Exec.User, s.Exec.Group = &yes, "root", "daemon"
	if got := runScript(t, Process{}, s).Text; got != "-E|-u|root|-g|daemon|--|/usr/bin/bash|-e|-o|pipefail|-c|true|\n1" {
		t.Errorf("%q", got)
	}
	s.Exec.User, s.Exec.Group = "", ""
	r := NewShells(Process{})
	defer r.Close()
	if got := runScript(t, r, s).Text; got != "-E|--|/usr/bin/bash|-e|-o|pipefail|-c|true|\n1" || shellCount(r) != 0 {
		t.Errorf("%q", got)
	}
}

func TestNoRight(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("NOT TESTED here: root may become anybody")
	}
	s := checkScript("true")
	s.Exec.User = "root"
	if _, err := (Process{}).Run(context.Background(), s); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}

func TestRelativePathsAreNotSearched(t *testing.T) {
	dir := t.TempDir()
	tool(t, dir, "mine", "echo x")
	t.Chdir(dir)
	for _, path := range []string{"", ".", ":", "./:/nonexistent"} {
		if found, err := findProgram("mine", path, dir); !errors.Is(err, errNotFound) {
			t.Errorf("PATH=%q: %s, %v", path, found, err)
		}
	}
	if found, err := findProgram("mine", "relative:"+dir, ""); err != nil || found != filepath.Join(dir, "mine") {
		t.Errorf("%s, %v", found, err)
	}
}

func TestStatusOfAProcess(t *testing.T) {
	line := []byte("7 (a) b (c) S 3 7 5 0 -1 4 1 1 1 1 1 1 1 1 20 0 1 0 4242 1 1")
	if s, ok := parseStatus(7, line); !ok || s != (status{7, 3, 5, 4242, false}) {
		t.Errorf("%+v, %v", s, ok)
	}
	for _, bad := range []string{"", "7 (a", "7 (a) S 1", "7 (a) S x 7 5 0 -1 4 1 1 1 1 1 1 1 1 20 0 1 0 4242"} {
		if s, ok := parseStatus(7, []byte(bad)); ok {
			t.Errorf("%q: %+v", bad, s)
		}
	}
	if !slices.Contains(mark(os.Getpid(), map[int]uint64{}), os.Getpid()) {
		t.Error("a process does not find itself")
	}
}
