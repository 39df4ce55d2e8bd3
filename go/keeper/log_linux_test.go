package keeper

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLogWriterNeverWaits gives the log a reader that does not read, and one
// that has gone.
func TestLogWriterNeverWaits(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	// As the descriptor of a keeper is: the writer would block.
	if err := unix.SetNonblock(int(w.Fd()), false); err != nil {
		t.Fatal(err)
	}
	log := LogWriter(w)
	line := bytes.Repeat([]byte("x"), 1000)
	for range 1000 { // a pipe holds 64 KiB
		if n, err := log.Write(line); n != len(line) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	fmt.Fprint(log, "lost\n")
	got := make([]byte, 1<<20)
	n, err := r.Read(got)
	if err != nil || n < 1000 || n%1000 != 0 || n > 1<<16 {
		t.Errorf("%d bytes, %v", n, err)
	}
	fmt.Fprint(log, "seen\n")
	if n, err := r.Read(got); err != nil || string(got[:n]) != "seen\n" {
		t.Errorf("%q, %v", got[:n], err)
	}
	r.Close()
	if n, err := log.Write(line); n != len(line) || err != nil {
		t.Errorf("nobody there: %d, %v", n, err)
	}
}

func TestLogFileStaysSmall(t *testing.T) {
	dir := t.TempDir()
	f, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := LogWriter(f)
	line := bytes.Repeat([]byte("x"), 100<<10)
	for range 30 {
		if _, err := log.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	st, err := f.Stat()
	if err != nil || st.Size() > logMax+2*int64(len(line)) || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	for range 10 {
		if _, err := f.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	again, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if st, err := again.Stat(); err != nil || st.Size() != 0 {
		t.Errorf("%v, %v", st, err)
	}
	if st, err := os.Stat(filepath.Join(dir, logName+".1")); err != nil || st.Size() < logMax {
		t.Errorf("%v, %v", st, err)
	}
}

// TestKeeperGetsLittle passes neither descriptors nor secrets of the daemon on.
func TestKeeperGetsLittle(t *testing.T) {
	var p [2]int
	if err := unix.Pipe2(p[:], 0); err != nil { // as inherited: open in children
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	var st unix.Stat_t
	if err := unix.Fstat(p[0], &st); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CANARY_SECRET", "tweet")
	t.Setenv("TZ", "UTC")
	k, _ := newKeeper(t)
	proc := fmt.Sprintf("/proc/%d/", k.c.peer.PID)
	fds, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink(proc + "fd/" + fd.Name()); to == fmt.Sprintf("pipe:[%d]", st.Ino) {
			t.Errorf("the keeper has %s of its daemon", to)
		}
	}
	env, err := os.ReadFile(proc + "environ")
	if err != nil || bytes.Contains(env, []byte("tweet")) || !bytes.Contains(env, []byte("TZ=UTC")) {
		t.Errorf("environment %q, %v", env, err)
	}
	if dir, err := os.Readlink(proc + "cwd"); err != nil || dir != "/" {
		t.Errorf("working directory %q, %v", dir, err)
	}
	if sid, err := unix.Getsid(k.c.peer.PID); err != nil || sid != k.c.peer.PID {
		t.Errorf("session %d, %v", sid, err)
	}
}

// TestPipeOfTheStarterEnds reads the output of a daemon to its end while the
// keeper that it started lives on.
func TestPipeOfTheStarterEnds(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { shutDown(t, dir) })
	cmd := exec.CommandContext(testContext(t), "/proc/self/exe", roleDaemon, "launch", dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	k, err := Connect(testContext(t), ConnectOptions{StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if !strings.Contains(string(out), fmt.Sprint("keeper ", k.c.peer.PID)) {
		t.Errorf("output %q, keeper %d", out, k.c.peer.PID)
	}
}

// TestReadiness reports over the pipe, and only over a pipe.
func TestReadiness(t *testing.T) {
	for _, want := range []error{nil, ErrBusy, syscall.EACCES} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		readiness{pipe: w}.tell(want)
		said, err := bufio.NewReader(r).ReadString(0)
		if err == nil || outcome([]byte(said)) == nil != (want == nil) {
			t.Errorf("%v: %q", want, said)
		}
		r.Close()
	}
	t.Setenv(readyEnv, "2")
	if r := starter(); r.pipe != nil {
		t.Error("took stderr for the starter's pipe")
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Setenv(readyEnv, fmt.Sprint(f.Fd()))
	if r := starter(); r.pipe != nil {
		t.Error("took a file for the starter's pipe")
	}
	readiness{}.tell(nil)
}
