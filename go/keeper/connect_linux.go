package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ConnectOptions say which keeper a daemon wants.
type ConnectOptions struct {
	// StateDir is the node's state folder, absolute.
	StateDir string
	// Argv starts a keeper for StateDir where there is none: a program that
	// calls [Main]. Its working directory is "/". nil: only find one.
	Argv []string
	// Stderr is where a keeper that is started logs to; nil: keeper.log in
	// StateDir. One that others wait for the end of, such as a pipe, would
	// keep them waiting.
	Stderr *os.File
	// Version is this program's version. With Argv, a keeper of another version,
	// or one that runs another executable file than Argv names (another inode,
	// size or time of change: also one that was replaced in its place), is
	// upgraded before it is used: see [Keeper.Upgrade]. "", here or in [Options]:
	// versions are not compared. A keeper that cannot be upgraded stays, and that is logged.
	Version string
	Log     *slog.Logger // nil: none
}

// Connect finds the keeper of a state folder, or starts it. The error is
// [ErrNone] when there is none and none may be started, [ErrForeign] when it is
// another user's, [ErrVersion] when it cannot be talked to, or what the keeper
// itself said when it did not come up. Without an earlier end of the context it
// takes at most 15 s. Descriptors that this process inherited are marked to be
// closed in its children when a keeper is started.
func Connect(ctx context.Context, o ConnectOptions) (*Keeper, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if !filepath.IsAbs(o.StateDir) { // a keeper that is started has another working directory
		return nil, fmt.Errorf("%w: state folder %q is not absolute", ErrInvalid, o.StateDir)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	k, err := connect(ctx, o)
	if err == nil && o.Argv != nil {
		k, err = renew(ctx, o, k)
	}
	if err != nil {
		return nil, fmt.Errorf("keeper of %s: %w", o.StateDir, err)
	}
	return k, nil
}

// connect tries until it is clear how it ends: a keeper may be leaving, or being
// started by another.
func connect(ctx context.Context, o ConnectOptions) (*Keeper, error) {
	patience := time.Now().Add(awayTime)
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		k, err := find(ctx, o)
		if err == nil || !isAway(err) {
			return k, err
		}
		if o.Argv == nil && errors.Is(err, ErrNone) {
			return nil, err
		}
		if o.Argv != nil {
			if err = launch(ctx, o); err == nil {
				k, err = find(ctx, o)
			}
			if err == nil || !isAway(err) && !errors.Is(err, ErrBusy) {
				return k, err
			}
		}
		if o.Argv == nil && time.Now().After(patience) {
			return nil, fmt.Errorf("%w: %w", ErrNone, err)
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// find connects to a keeper that is there.
func find(ctx context.Context, o ConnectOptions) (*Keeper, error) {
	k := &Keeper{dir: o.StateDir, log: o.Log, sessions: map[*Session]struct{}{}}
	c, err := k.dial(ctx)
	if err != nil {
		return nil, err
	}
	k.c = c
	k.wg.Go(func() { c.run(func(op) {}, func() {}) })
	return k, nil
}

// dial makes a connection and exchanges versions.
func (k *Keeper) dial(ctx context.Context) (*caller, error) {
	conn, err := dial(ctx, k.dir)
	if err != nil {
		return nil, err
	}
	if err := checkPeer(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	l, err := newLink(conn, &k.pool)
	if err != nil {
		return nil, err
	}
	c := newCaller(l)
	err = l.bounded(ctx, helloTime, func() error {
		c.peer, err = c.greet()
		return err
	})
	if err != nil {
		l.close()
		return nil, err
	}
	return c, nil
}

// greet exchanges versions and gives what the keeper says of itself. A keeper
// that hangs up instead is leaving, or becoming another program.
func (c *caller) greet() (theirs hello, err error) {
	body, err := c.ask(opHello, hello{Newest: protocolNewest, Oldest: protocolOldest, PID: os.Getpid()})
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return hello{}, fmt.Errorf("%w: %w", ErrLost, err)
	}
	if err != nil {
		return hello{}, fmt.Errorf("hello: %w", err)
	}
	if err := json.Unmarshal(body, &theirs); err != nil {
		return hello{}, fmt.Errorf("hello: %w", err)
	}
	return theirs, theirs.check()
}

// launch starts a keeper and waits until it listens. A goroutine waits for its
// end, however far away that is, so that it leaves no zombie.
func launch(ctx context.Context, o ConnectOptions) error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start keeper: %w", err)
	}
	defer read.Close()
	cmd, closeLog, err := command(o, write)
	if err != nil {
		return errors.Join(err, write.Close())
	}
	withhold()
	err = errors.Join(cmd.Start(), write.Close(), closeLog())
	if err != nil {
		return fmt.Errorf("start keeper: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := context.AfterFunc(ctx, func() { _ = read.SetReadDeadline(past()) })
	defer stop()
	said, err := io.ReadAll(io.LimitReader(read, maxSmall))
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("start keeper: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("start keeper: %w", err)
	case len(said) == 0:
		return fmt.Errorf("start keeper: %w", silent(ctx, o, ended))
	}
	if err := outcome(said); err != nil {
		return fmt.Errorf("start keeper: %w", err)
	}
	o.Log.Info("keeper started")
	return nil
}

// errSilent means that a keeper ended without a word.
var errSilent = errors.New("it ended before it was ready")

// silent says what is known of a keeper that closed its pipe without a word.
func silent(ctx context.Context, o ConnectOptions, ended <-chan error) error {
	err := errSilent
	if o.Stderr == nil {
		err = fmt.Errorf("%w, see %s", err, filepath.Join(o.StateDir, logName))
	}
	select {
	case why := <-ended:
		if why != nil {
			err = fmt.Errorf("%w: %w", err, why)
		}
	case <-ctx.Done():
	}
	return err
}

// command is the keeper's process: in a session of its own, with nothing of the
// daemon but its log.
func command(o ConnectOptions, ready *os.File) (cmd *exec.Cmd, closeLog func() error, err error) {
	log, closeLog := o.Stderr, func() error { return nil }
	if log == nil {
		if log, err = openLog(o.StateDir); err != nil {
			return nil, nil, err
		}
		closeLog = log.Close
	}
	cmd = exec.Command(o.Argv[0])
	cmd.Args = o.Argv
	cmd.Dir = "/"
	cmd.Env = append(inherited(os.Environ()), readyEnv+"=3")
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{ready}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, closeLog, nil
}

// withhold keeps descriptors that this process was given by its own parent from
// its children: a keeper that holds the end of a pipe keeps whoever waits for its
// end. What Go opens is never passed on anyway.
func withhold() {
	if unix.CloseRange(firstOther, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	entries, _ := os.ReadDir("/proc/self/fd") // before Linux 5.11
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= firstOther {
			unix.CloseOnExec(fd)
		}
	}
}

// firstOther is the first descriptor beyond stdin, stdout and stderr.
const firstOther = 3

// inherited are the variables that a keeper gets: its environment can be read
// for as long as it lives, and it outlives what the others speak of.
func inherited(environ []string) []string {
	names := []string{"PATH", "HOME", "TMPDIR", "TZ", "LANG", "GOMAXPROCS", "GOTRACEBACK", "GODEBUG", "GOCOVERDIR"}
	var env []string
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		for _, n := range names {
			if n == name {
				env = append(env, e)
			}
		}
	}
	return env
}

// openLog opens the keeper's log, and puts one that has grown aside.
func openLog(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	name := filepath.Join(dir, logName)
	if st, err := os.Lstat(name); err == nil && st.Size() > logMax {
		if err := os.Rename(name, name+".1"); err != nil {
			return nil, fmt.Errorf("put keeper log aside: %w", err)
		}
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open keeper log: %w", err)
	}
	return f, nil
}
