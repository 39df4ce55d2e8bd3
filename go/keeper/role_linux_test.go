package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// roleDaemon as the first argument makes the test binary a daemon, or something
// else at the other end of the socket; see daemonMain.
const roleDaemon = "daemon-under-test"

func daemonMain(args []string) int {
	roles := map[string]func(...string) error{"flow": flowRole, "peek": peekRole, "fake": fakeRole, "launch": launchRole}
	if err := roles[args[0]](args[1:]...); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// flowRole adopts a session that echoes and sends pattern on and on, reading and
// acknowledging what comes back, until it is killed. It prints a line when some
// more input has been accepted.
func flowRole(args ...string) error {
	k, err := Connect(context.Background(), ConnectOptions{StateDir: args[0]})
	if err != nil {
		return err
	}
	s, err := k.Adopt(context.Background(), args[1])
	if err != nil {
		return err
	}
	more, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	at := s.State().Accepted
	told := at + more
	read := s.State().Acked
	buf := make([]byte, 5000)
	for {
		st, err := s.Input(context.Background(), at, patternAt(at, 7000), false)
		if err != nil && !errors.Is(err, ErrFull) {
			return err
		}
		if at = st.Accepted; at >= told {
			fmt.Println(at)
			told = 1 << 62
		}
		n, _, rerr := s.Read(buf, read)
		if rerr != nil {
			return rerr
		}
		read += uint64(n)
		s.Acknowledge(read)
		if n == 0 && errors.Is(err, ErrFull) {
			<-s.Changed()
		}
	}
}

// peekRole says what a keeper answers to this process's user.
func peekRole(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), testTime)
	defer cancel()
	k, err := Connect(ctx, ConnectOptions{StateDir: args[0]})
	if err != nil {
		return err
	}
	defer k.Close()
	_, err = k.List(ctx)
	return err
}

// fakeRole stands in for a keeper until its stdin ends.
func fakeRole(args ...string) error {
	ln, err := net.Listen("unix", filepath.Join(args[0], socketName))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return ln.Close()
}

// launchRole starts a keeper and leaves.
func launchRole(args ...string) error {
	k, err := Connect(context.Background(), ConnectOptions{StateDir: args[0], Argv: keeperArgv(args[0])})
	if err != nil {
		return err
	}
	fmt.Println("keeper", k.c.peer.PID)
	return k.Close()
}
