package pty

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	creack "github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// streams are the two sides of a program's input and output.
type streams struct {
	in     *os.File // nil with a terminal
	out    *os.File // the terminal's master, or the pipe of standard output
	errOut *os.File // nil with a terminal
	child  [3]int   // descriptors 0, 1, 2 of the program; blocking
	slave  *os.File // what child stands for with a terminal
}

func openStreams(s *Spec) (*streams, *StartError) {
	if s.Terminal {
		t, err := openTerminal(s)
		if err != nil {
			return nil, &StartError{stepTerminal, "", errnoOf(err)}
		}
		return t, nil
	}
	p, err := openPipes()
	if err != nil {
		return nil, &StartError{stepPipes, "", errnoOf(err)}
	}
	return p, nil
}

// openTerminal makes a terminal that belongs to the account.
func openTerminal(s *Spec) (*streams, error) {
	master, slave, err := creack.Open()
	if err != nil {
		return nil, err
	}
	t := &streams{slave: slave, child: [3]int{-1, -1, -1}}
	t.out, err = pollable(master)
	if err == nil {
		err = t.dress(s)
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// pollable replaces a master that the library left in blocking mode, where
// deadlines do nothing and Close does not wake a Read.
func pollable(master *os.File) (*os.File, error) {
	defer master.Close()
	var fd int
	err := control(master, func(old int) (err error) {
		fd, err = unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return nonblocking(fd, "terminal")
}

// dress gives the slave its owner, mode, size and modes before anybody sees it.
func (t *streams) dress(s *Spec) error {
	return control(t.slave, func(fd int) error {
		if err := ownTerminal(fd, s.Account.UID, system()); err != nil {
			return err
		}
		if err := setSize(fd, s.Cols, s.Rows); err != nil {
			return err
		}
		if utf8Locale(s.Env) {
			if err := setUTF8(fd); err != nil {
				return err
			}
		}
		// The library's open made it non-blocking, which programs do not expect.
		if err := unix.SetNonblock(fd, false); err != nil {
			return err
		}
		t.child = [3]int{fd, fd, fd}
		return nil
	})
}

// ownTerminal makes the slave the user's, writable by the group tty, through
// which write(1) and mesg(1) work; where that group is missing or may not be
// given, nobody but the user.
func ownTerminal(fd int, uid uint32, d directory) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	tty, ok := d.ttyGroup()
	grouped := ok && (st.Gid == tty || unix.Fchown(fd, -1, int(tty)) == nil)
	if st.Uid != uid {
		if err := unix.Fchown(fd, int(uid), -1); err != nil {
			return err
		}
	}
	mode := uint32(0o600)
	if grouped {
		mode = 0o620
	}
	return unix.Fchmod(fd, mode)
}

func (d directory) ttyGroup() (uint32, bool) {
	for line := range d.lines("group") {
		if line[0] == "tty" && len(line) > 2 {
			return parseID(line[2])
		}
	}
	return 0, false
}

// setSize tells the kernel the window's size; a 0 keeps what was.
func setSize(fd int, cols, rows uint16) error {
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return err
	}
	if size.Col == 0 && size.Row == 0 {
		size.Col, size.Row = defaultCols, defaultRows
	}
	if cols != 0 {
		size.Col = cols
	}
	if rows != 0 {
		size.Row = rows
	}
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size)
}

// setUTF8 makes the line editor of the kernel erase whole characters.
func setUTF8(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag |= unix.IUTF8
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// utf8Locale reports whether the environment's locale has UTF-8 as its encoding.
func utf8Locale(env []string) bool {
	for _, name := range []string{"LC_ALL=", "LC_CTYPE=", "LANG="} {
		for _, v := range env {
			if value, ok := strings.CutPrefix(v, name); ok && value != "" {
				value = strings.ToLower(value)
				return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
			}
		}
	}
	return false
}

// openPipes makes the three pipes. Only our ends are non-blocking.
func openPipes() (*streams, error) {
	p := &streams{child: [3]int{-1, -1, -1}}
	ours := [3]**os.File{&p.in, &p.out, &p.errOut}
	for i, name := range []string{"stdin", "stdout", "stderr"} {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			p.close()
			return nil, err
		}
		our, child := fds[0], fds[1]
		if i == 0 {
			our, child = child, our
		}
		p.child[i] = child
		f, err := nonblocking(our, name)
		if err != nil {
			p.close()
			return nil, err
		}
		*ours[i] = f
	}
	return p, nil
}

// closeChild closes the program's side in this process.
func (t *streams) closeChild() {
	if t.slave != nil {
		_ = t.slave.Close()
	} else {
		for _, fd := range t.child {
			if fd >= 0 {
				_ = unix.Close(fd)
			}
		}
	}
	t.slave, t.child = nil, [3]int{-1, -1, -1}
}

// closeOurs wakes whoever reads or writes.
func (t *streams) closeOurs() {
	for _, f := range []*os.File{t.in, t.out, t.errOut} {
		if f != nil {
			_ = f.Close()
		}
	}
}

func (t *streams) close() {
	t.closeChild()
	t.closeOurs()
}

// nonblocking takes over fd, also when it fails.
func nonblocking(fd int, name string) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	// Fails where the poller does not have it: nothing could wake a read then.
	if err := f.SetDeadline(time.Time{}); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// control runs f on the descriptor without changing its mode, as Fd would.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// IsEnd reports whether err, from reading [Process.Output] or [Process.Stderr],
// is how output ends: a pipe with io.EOF, a terminal with EIO when nobody has
// it open any more.
func IsEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EIO)
}
