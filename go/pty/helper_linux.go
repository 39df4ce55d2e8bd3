package pty

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// HelperName is os.Args[0] of the process that becomes the session's program.
// A program that starts sessions must call [HelperMain] before anything else
// when it is run under this name.
const HelperName = "etcha-exec"

// The helper's descriptors after standard input, output and error.
const (
	orderFD  = 3
	answerFD = 4
)

// HelperMain reads an order from descriptor 3, becomes the user and executes
// the program. It returns, with the exit status for the process, only when that
// is impossible; what failed has then been written to descriptor 4.
//
// The process was forked with its session, terminal and cgroup in place. The
// thread is locked: credentials, capabilities, signal mask, login uid and
// keyring belong to the thread that executes.
func HelperMain() int {
	runtime.LockOSThread()
	o, err := readOrder()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s is started by the program itself only: %v\n", HelperName, err)
		return 1
	}
	failed := o.run()
	b, err := json.Marshal(answerOf(failed))
	if err != nil {
		return 1
	}
	if _, err := unix.Write(answerFD, b); err != nil {
		return 1
	}
	return 127
}

// readOrder uses plain reads: an os.File would start the poller.
func readOrder() (*order, error) {
	b, err := io.ReadAll(io.LimitReader(fdReader(orderFD), maxOrder+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read order: %w", err)
	case len(b) > maxOrder:
		return nil, fmt.Errorf("read order: %w", syscall.E2BIG)
	}
	return parseOrder(b)
}

type fdReader int

func (fd fdReader) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), p)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// run does the steps in an order in which each is still permitted. It returns
// only when one fails.
func (o *order) run() *StartError {
	if err := closeOnExec(); err != nil {
		return &StartError{stepFiles, "", err}
	}
	setLoginUID(o.UID)
	if err := setOOMScore(); err != nil {
		return &StartError{stepOOM, "", err}
	}
	syscall.Umask(int(o.Umask))
	if err := o.become(); err != nil {
		return err
	}
	if err := o.chdir(); err != nil {
		return err
	}
	return o.exec()
}

// closeOnExec leaves the program descriptors 0, 1 and 2, also when this process
// was handed others that lack the flag.
func closeOnExec() error {
	err := unix.CloseRange(orderFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	// Linux before 5.11.
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range fds {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= orderFD {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// setLoginUID makes the kernel number the session for audit; that number is
// inherited by everything in it. Kernels without audit, and ones that have made
// the login uid immutable, are met often: the session works without.
func setLoginUID(uid uint32) {
	_ = writeFile("/proc/thread-self/loginuid", strconv.FormatUint(uint64(uid), 10))
}

// setOOMScore takes back a protection that was meant for the daemon alone. A
// score above 0 may stay where the kernel does not permit to lower it.
func setOOMScore() error {
	const file = "/proc/self/oom_score_adj"
	b, err := os.ReadFile(file)
	if err != nil {
		return nil //nolint:nilerr // no such score, no protection
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || score == 0 {
		return err
	}
	if err := writeFile(file, "0"); err != nil && score < 0 {
		return errnoOf(err)
	}
	return nil
}

// writeFile writes to a file of /proc from this thread.
func writeFile(name, text string) error {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

// chdir enters the directory asked for, or the home, or "/".
func (o *order) chdir() *StartError {
	if len(o.Dir) > 0 {
		if err := syscall.Chdir(string(o.Dir)); err != nil {
			return &StartError{stepDir, string(o.Dir), err}
		}
		return nil
	}
	if len(o.Home) > 0 && syscall.Chdir(string(o.Home)) == nil {
		return nil
	}
	if err := syscall.Chdir("/"); err != nil {
		return &StartError{stepDir, "/", err}
	}
	return nil
}

// exec tries the files that the name may mean, as execvp(3) does. The original
// limit of open files, which the Go runtime raised for itself, comes back in
// syscall.Exec.
func (o *order) exec() *StartError {
	file, env, argv := string(o.File), toStrings(o.Env), toStrings(o.Argv)
	failed := error(syscall.ENOENT)
	files := candidates(file, env)
	if _, err := unix.Write(answerFD, []byte{ready}); err != nil {
		return &StartError{stepHelper, "", err}
	}
	defaultSignals()
	for i, f := range files {
		err := syscall.Exec(f, argv, env)
		absent := errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
		if i == 0 || !absent {
			failed = err
		}
		if errors.Is(err, syscall.ENOENT) && exists(f) {
			failed = errInterpreter
		}
		if !absent && !errors.Is(err, syscall.EACCES) {
			break
		}
	}
	return &StartError{stepExec, file, failed}
}

// errInterpreter is what ENOENT means for a file that is there.
const errInterpreter = helperError("the file is there, but the interpreter it names is not")

func exists(file string) bool { return unix.Access(file, unix.F_OK) == nil }

func candidates(file string, env []string) []string {
	if strings.Contains(file, "/") {
		return []string{file}
	}
	path := defaultPath
	for _, v := range env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = p
			break
		}
	}
	var out []string
	for _, dir := range strings.Split(path, ":") {
		// What lies in the working directory is never meant.
		if strings.HasPrefix(dir, "/") {
			out = append(out, dir+"/"+file)
		}
	}
	return out
}

// errnoOf finds the system's error in err, which may be wrapped.
func errnoOf(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no
	}
	return err
}
