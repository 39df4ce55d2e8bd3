package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"etcha/go/keeper"
	"etcha/go/pty"
)

// What this test binary is when it is started again.
const (
	asKeeper    = "be-a-keeper"     // of a state folder
	asOther     = "ask-the-node"    // of a state folder
	asNode      = "be-a-node"       // with a state folder, a user and a group
	asActivated = "take-the-socket" // that systemd would pass
)

func TestMain(m *testing.M) {
	if os.Args[0] == pty.HelperName {
		os.Exit(pty.HelperMain())
	}
	if len(os.Args) > 1 {
		if again, ok := modes()[os.Args[1]]; ok {
			os.Exit(exitOf(again(os.Args[2:])))
		}
	}
	code := m.Run()
	if code == 0 {
		code = exitOf(leaks())
	}
	os.Exit(code)
}

// leaks waits for goroutines to end, longer than goleak does by itself: one
// waits for each keeper's process, which the race detector makes end slowly.
func leaks() error {
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if err = goleak.Find(); err == nil {
			break
		}
	}
	return err
}

func exitOf(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func modes() map[string]func([]string) error {
	ctx := context.Background()
	return map[string]func([]string) error{
		asKeeper: func(a []string) error {
			return keeper.Main(ctx, keeper.Options{StateDir: a[0], Log: quiet(), Cgroup: "auto"})
		},
		asOther: func(a []string) error {
			_, err := NodeStatus(ctx, a[0])
			return err
		},
		asNode: func(a []string) error { return briefly(a[0], a[1], a[2]) },
		asActivated: func([]string) error {
			if err := os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())); err != nil {
				return err
			}
			ln, err := bind(ctx, "192.0.2.1:1")
			if err != nil {
				return err
			}
			fmt.Println(ln.Addr())
			return errors.Join(ln.Close(), errLeft())
		},
	}
}

// errLeft says that a child would take the socket for its own.
func errLeft() error {
	if os.Getenv("LISTEN_FDS") != "" {
		return errors.New("LISTEN_FDS is left in the environment")
	}
	return nil
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
