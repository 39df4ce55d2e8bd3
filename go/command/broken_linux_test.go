package command

import (
	"runtime"
	"syscall"
	"testing"
	"unsafe"
)

// breakShells does something to each shell of a runner.
func breakShells(r *Shells, how func(*shell)) {
	for _, place := range r.byKey {
		how(place.shell)
	}
}

// checkRecovers runs a check that passes after its shell was broken.
func checkRecovers(t *testing.T, r *Shells, s Script) {
	t.Helper()
	s.Text = "true"
	if got := brief(runScript(t, r, s)); got != `0 ""` {
		t.Errorf("a check that passes: %s", got)
	}
	if shellCount(r) != 0 {
		t.Error("the shell that failed is still there")
	}
	s.Text = "echo next"
	if got := brief(runScript(t, r, s)); got != `0 "next"` || shellCount(r) != 1 {
		t.Errorf("%s, %d shells", got, shellCount(r))
	}
}

func TestShellThatDied(t *testing.T) {
	needBash(t)
	r := paths["shells"](t).(*Shells)
	s := checkScript("true")
	runScript(t, r, s)
	breakShells(r, func(sh *shell) {
		if err := sh.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	})
	checkRecovers(t, r, s)
}

// What keeps the shell itself from running a check is no failed check.
func TestShellThatCannotOpen(t *testing.T) {
	needBash(t)
	needRoot(t)
	r := paths["shells"](t).(*Shells)
	s := checkScript("true")
	s.Exec.User, s.Exec.WorkDir = "nobody", "/"
	runScript(t, r, s)
	breakShells(r, func(sh *shell) {
		if err := syscall.Fchown(sh.wire.output, 0, 0); err != nil {
			t.Fatal(err)
		}
	})
	checkRecovers(t, r, s)
}

func TestShellWithoutDescriptors(t *testing.T) {
	needBash(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("NOT TESTED: the number of prlimit64 is another here")
	}
	const prlimit64 = 302
	r := paths["shells"](t).(*Shells)
	s := checkScript("true")
	runScript(t, r, s)
	breakShells(r, func(sh *shell) {
		limit := syscall.Rlimit{Cur: 6, Max: 6}
		if _, _, errno := syscall.RawSyscall6(prlimit64, uintptr(sh.cmd.Process.Pid), syscall.RLIMIT_NOFILE,
			uintptr(unsafe.Pointer(&limit)), 0, 0, 0); errno != 0 {
			t.Fatal(errno)
		}
	})
	checkRecovers(t, r, s)
}

// shellCount is how many shells a runner has.
func shellCount(r *Shells) int {
	n := 0
	for _, s := range r.byKey {
		if s.shell != nil {
			n++
		}
	}
	return n
}
