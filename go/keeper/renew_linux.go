package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// programBody says which executable file a program is. While it runs, its inode
// is nobody else's.
type programBody struct {
	Device  uint64 `json:"device"`
	Inode   uint64 `json:"inode"`
	Size    int64  `json:"size"`
	Changed int64  `json:"changed"` // Unix nanoseconds
}

// ownProgram is what this process executes; the zero value when that cannot be
// told. A file that was replaced is still the one that was executed.
func ownProgram() programBody {
	var st unix.Stat_t
	if unix.Stat("/proc/self/exe", &st) != nil {
		return programBody{}
	}
	return programOf(&st)
}

func programOf(st *unix.Stat_t) programBody {
	return programBody{Device: uint64(st.Dev), Inode: st.Ino, Size: st.Size, Changed: st.Mtim.Nano()} //nolint:unconvert // not everywhere
}

// openProgram opens the file that arguments would execute.
func openProgram(argv []string) (f *os.File, id programBody, err error) {
	if len(argv) == 0 {
		return nil, programBody{}, fmt.Errorf("%w: no program", ErrInvalid)
	}
	path, err := exec.LookPath(argv[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, programBody{}, err
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, programBody{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, programBody{}, errors.Join(&os.PathError{Op: "stat", Path: path, Err: err}, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), path), programOf(&st), nil
}

// Upgrade makes the keeper execute another program in its own process, by a
// command line that would start a keeper for the same folder. All sessions go on,
// with their offsets, unread output, pending input and exits; all connections
// end, this one among them: after Upgrade returned nil this handle is of no use,
// and [Connect] finds the new program.
//
// The program is asked first whether it understands what it would be left, so
// that an error means that the keeper is what it was; handles of sessions may
// be lost all the same. The error is [ErrInvalid] when the keeper is too old to
// know of upgrades, [ErrProgram] when the program will not do, [ErrUnsettled] or
// [ErrStopping] when it cannot be done now. When the context ends first it may
// still be done.
func (k *Keeper) Upgrade(ctx context.Context, argv []string) error {
	f, _, err := openProgram(argv)
	if err != nil {
		return fmt.Errorf("upgrade keeper: %w", err)
	}
	defer f.Close()
	if err := k.upgrade(ctx, f, argv); err != nil {
		return fmt.Errorf("upgrade keeper: %w", err)
	}
	return nil
}

func (k *Keeper) upgrade(ctx context.Context, f *os.File, argv []string) error {
	body, err := encode(opUpgrade, upgradeBody{Argv: toBytes(argv)})
	if err != nil {
		return err
	}
	_, err = k.c.await(ctx, func(id uint32) error {
		return k.c.sendFDs(opUpgrade, id, body, int(f.Fd()))
	})
	if errors.Is(err, ErrLost) {
		return nil // the program that could have answered is no more
	}
	return err
}

// renew gives a keeper of this program: the one that is there, or one that it
// became. One that cannot be upgraded must do.
func renew(ctx context.Context, o ConnectOptions, k *Keeper) (*Keeper, error) {
	f, id, err := openProgram(o.Argv)
	if err != nil {
		o.Log.Warn("keeper stays: the program that it should become cannot be opened", "err", err)
		return k, nil
	}
	defer f.Close()
	patience := time.Now().Add(renewTime)
	for tries, pause := 0, retryMin; !k.isCurrent(o, id); pause = min(2*pause, retryMax) {
		err := errStays
		if tries < renewTries {
			err = k.upgrade(ctx, f, o.Argv)
		}
		switch {
		case err == nil:
			tries++
			if k, err = k.again(ctx, o); err != nil {
				return nil, fmt.Errorf("after its upgrade: %w", err)
			}
			o.Log.Info("keeper became another program", "version", k.c.peer.Version)
		case ctx.Err() != nil:
			return nil, errors.Join(context.Cause(ctx), err, k.Close())
		case errors.Is(err, ErrUnsettled) && time.Now().Before(patience):
			time.Sleep(pause) // another's upgrade, or a start, is under way
		default:
			o.Log.Warn("keeper stays another program", "version", k.c.peer.Version, "err", err)
			return k, nil
		}
	}
	return k, nil
}

// errStays means that a keeper became other programs than the one asked for.
var errStays = errors.New("it did not become the program that was asked for")

// again connects anew after the keeper has become another program.
func (k *Keeper) again(ctx context.Context, o ConnectOptions) (*Keeper, error) {
	if err := k.Close(); err != nil {
		return nil, err
	}
	return connect(ctx, o)
}

// isCurrent reports whether the keeper is what ConnectOptions ask for.
func (k *Keeper) isCurrent(o ConnectOptions, id programBody) bool {
	theirs := k.c.peer
	return theirs.Program == id && (o.Version == "" || theirs.Version == "" || theirs.Version == o.Version)
}
