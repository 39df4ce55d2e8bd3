package pty

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// handOver exports a process and takes it over with copies of its descriptors,
// as another program in this process would. The first is not used any more.
func handOver(t *testing.T, from *Parent, p *Process) ProcessState {
	t.Helper()
	f := from.Freeze()
	t.Cleanup(func() { // not before: the first would reap
		f.Thaw()
		p.free()
		<-p.reaped
		p.io.close()
	})
	st := f.Export(p)
	for _, fd := range []*int{&st.In, &st.Out, &st.Err} {
		if *fd < 0 {
			continue
		}
		n, err := unix.FcntlInt(uintptr(*fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			t.Fatal(err)
		}
		*fd = n
	}
	return st
}

func restored(t *testing.T, st ProcessState) *Process {
	t.Helper()
	next, err := NewParentFrom(ParentState{}).Restore(st)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { next.Close() })
	return next
}

// handSpec is a program for these tests.
func handSpec(t *testing.T, terminal bool, script string) Spec {
	t.Helper()
	a, err := LookupAccount("", "")
	if err != nil {
		t.Fatal(err)
	}
	return Spec{
		Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")}, Dir: "/",
		Account: a, Terminal: terminal, Umask: 0o022, Session: "handed",
	}
}

// TestRestore goes on with a running program, its input, output and exit.
func TestRestore(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		first := NewParent()
		p, err := first.Start(handSpec(t, terminal, "read x; echo got $x; exit 5"))
		if err != nil {
			t.Fatal(err)
		}
		next := restored(t, handOver(t, first, p))
		if next.Pid() != p.Pid() || next.Cgroup() != p.Cgroup() {
			t.Errorf("process %d, was %d", next.Pid(), p.Pid())
		}
		if _, err := next.Write([]byte("it\n")); err != nil {
			t.Fatal(err)
		}
		var out []byte
		if err := next.Output().SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		for buf := make([]byte, 100); !strings.Contains(string(out), "got it"); {
			n, err := next.Output().Read(buf)
			out = append(out, buf[:n]...)
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatalf("%q, %v", out, err)
			}
		}
		<-next.Done()
		if next.Exit().Code != 5 {
			t.Errorf("exit %+v", next.Exit())
		}
	}
}

// TestRestoreEnded finds the status of a program that ended in between.
func TestRestoreEnded(t *testing.T) {
	first := NewParent()
	p, err := first.Start(handSpec(t, false, "read x; exit 9"))
	if err != nil {
		t.Fatal(err)
	}
	st := handOver(t, first, p)
	if st.Ended {
		t.Fatal("it has ended")
	}
	if err := p.CloseInput(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(st.In); err != nil {
		t.Fatal(err)
	}
	st.In = -1
	<-p.Done() // a zombie now
	next := restored(t, st)
	<-next.Done()
	if next.Exit().Code != 9 {
		t.Errorf("exit %+v", next.Exit())
	}
	if err := next.CloseInput(); err != nil {
		t.Errorf("an input that was closed before: %v", err)
	}
	if _, err := next.Write([]byte("x")); err == nil {
		t.Error("it takes input")
	}
}

// TestRestoreRefuses takes over nothing that is not what it should be.
func TestRestoreRefuses(t *testing.T) {
	first := NewParent()
	p, err := first.Start(handSpec(t, false, "exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	good := handOver(t, first, p)
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, change := range map[string]func(*ProcessState){
		"another's child":  func(st *ProcessState) { st.PID = 1 },
		"a later one":      func(st *ProcessState) { st.Start++ },
		"this one":         func(st *ProcessState) { st.PID = os.Getpid() },
		"no session":       func(st *ProcessState) { st.Session = "../x" },
		"another's cgroup": func(st *ProcessState) { st.Group = "/sys/fs/cgroup/etcha-1-1-handed" },
		"a file":           func(st *ProcessState) { st.Out = int(file.Fd()) },
		"no terminal":      func(st *ProcessState) { st.Terminal = true },
		"reaped":           func(st *ProcessState) { st.Reaped = true },
	} {
		st := good
		st.In, st.Out, st.Err = -1, -1, -1
		if name == "no terminal" {
			if st.Out, err = unix.FcntlInt(uintptr(good.Out), unix.F_DUPFD_CLOEXEC, 3); err != nil {
				t.Fatal(err)
			}
		}
		change(&st)
		if _, err := NewParentFrom(ParentState{}).Restore(st); err == nil {
			t.Errorf("%s was taken over", name)
		}
		if name == "no terminal" {
			_ = unix.Close(st.Out)
		}
	}
	for _, fd := range good.Descriptors() {
		_ = unix.Close(fd)
	}
	good.In, good.Out, good.Err = -1, -1, -1
	other := good
	other.Start++
	if err := NewParent().Abolish(other); err != nil {
		t.Error(err)
	}
	if p.ended() {
		t.Error("a process of another start time was ended")
	}
	if err := NewParent().Abolish(good); err != nil {
		t.Error(err)
	}
	<-p.Done()
}
