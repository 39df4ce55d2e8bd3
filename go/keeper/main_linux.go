package keeper

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"etcha/go/pty"
)

// Options are of the keeper process.
type Options struct {
	StateDir string       // absolute; holds the socket, the lock and the log
	Log      *slog.Logger // nil: none
	// Cgroup is "auto" or "": the keeper leaves the daemon's cgroup, and each
	// session gets its own, where that can be done; "off": neither.
	Cgroup string
	// Version is the program's; a daemon of another one upgrades the keeper.
	Version string
	// Linger is how long a keeper without sessions and daemons stays; 0: 2 s.
	Linger time.Duration
	// Now is the clock for what is recorded; nil: time.Now.
	Now func() time.Time

	leave bool // this process is the keeper's alone
}

// Main is the keeper process: it returns after [Keeper.Shutdown] or SIGTERM,
// when all sessions have ended, or when there was no session and no daemon for a
// while. It changes the whole process (signals, subreaper, limit of open files),
// so nothing else may run in it. An error means that it did not come up.
//
// The caller must have given [pty.HelperMain] its turn before.
func Main(ctx context.Context, o Options) error {
	ready := starter()
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	defer deafen()()
	o.leave = true
	defer pty.ReturnCgroup()
	s, err := begin(o)
	if err == nil {
		if err = pty.SetSubreaper(); err != nil {
			s.close()
		}
	}
	ready.tell(err)
	if err != nil {
		return err
	}
	warnOpenFiles(s.log)
	reaping, done := context.WithCancel(context.Background())
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		s.parent.ReapOrphans(reaping)
	}()
	s.serve(ctx)
	done()
	<-reaped
	return nil
}

// begin makes the keeper anew, or takes it over from an earlier program in this
// process.
func begin(o Options) (*server, error) {
	if fd, ok := handedOver(); ok {
		s, err := takeOver(o, fd)
		if err != nil {
			err = fmt.Errorf("take over the keeper: %w", err)
		}
		return s, err
	}
	return newServer(o, pty.NewParent())
}

// deafen makes the process outlive its terminal and its log's reader. Signals
// are caught, not ignored: what is ignored would be so in every shell.
func deafen() (undo func()) {
	ch := make(chan os.Signal, 1) // never read: what does not fit is dropped
	signal.Notify(ch, deafTo()...)
	return func() { signal.Stop(ch) }
}

// deafTo are the signals that a keeper outlives.
func deafTo() []os.Signal {
	return []os.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
	}
}

// warnOpenFiles says so when sessions will fail for want of descriptors before
// their own limit is reached. The soft limit is raised by the Go runtime, which
// gives programs the original back; the hard one is the administrator's.
func warnOpenFiles(log *slog.Logger) {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err == nil && now.Cur < openFiles {
		log.Warn("the limit of open files is low", "limit", now.Cur, "wanted", openFiles)
	}
}

// readyEnv names the descriptor on which a keeper tells its starter how it went.
const readyEnv = "ETCHA_KEEPER_READY"

// readiness is the pipe to the starter; the zero value tells nobody.
type readiness struct{ pipe *os.File }

// starter finds the pipe to the process that started this one.
func starter() readiness {
	fd, err := strconv.Atoi(os.Getenv(readyEnv))
	if os.Unsetenv(readyEnv) != nil || err != nil || fd <= 2 {
		return readiness{}
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return readiness{}
	}
	unix.CloseOnExec(fd)
	return readiness{pipe: os.NewFile(uintptr(fd), "starter")}
}

// Answers on the readiness pipe; a failure's message follows refused.
const (
	readyByte   = '+'
	refusedByte = '-'
)

// tell reports the outcome. A starter that has gone away is of no concern.
func (r readiness) tell(err error) {
	if r.pipe == nil {
		return
	}
	defer r.pipe.Close()
	if err == nil {
		_, _ = r.pipe.Write([]byte{readyByte})
		return
	}
	_, _ = r.pipe.Write(append([]byte{refusedByte}, fail(err)...))
}

// outcome reads what tell wrote.
func outcome(b []byte) error {
	switch {
	case len(b) == 1 && b[0] == readyByte:
		return nil
	case len(b) > 1 && b[0] == refusedByte:
		return failed(b[1:])
	default:
		return fmt.Errorf("%w: readiness of %d bytes", errFrame, len(b))
	}
}
