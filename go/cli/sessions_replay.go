package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"etcha/go/errs"
	"etcha/go/record"
)

// Speeds of a replay, as a multiple of that of the session.
const (
	maxSpeed = 1 << 10
	minSpeed = 1.0 / 16
)

type replayFlags struct {
	speed  float64
	idle   time.Duration
	dir    string
	unsafe bool
}

func (a *app) sessionsReplayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay [flags] SESSION|FILE",
		Short: "Show a recorded session",
		Long: `Show the recording of a session on this node, or an asciicast in a file, in this
terminal. Of its control sequences only those that draw reach the terminal. Where
stdout is no terminal the output is written at the speed of the session.

Keys:
  space   pause, go on        .    the next output, then pause
  + -     faster, slower      / n N   search, next, previous
  ← →     5 s back, forth     q    quit`,
		Example: `etcha sessions replay Xk3v
etcha sessions replay --speed 4 --idle-limit 2s session.cast
etcha sessions replay --speed 0 Xk3v | grep -a error`,
		Args:              oneRecording,
		ValidArgsFunction: a.completeRecording(&f.dir),
		RunE: func(c *cobra.Command, args []string) error {
			return a.replayRecording(c.Context(), args[0], f)
		},
	}
	c.Flags().Float64VarP(&f.speed, "speed", "s", 1, "play `N` times as fast; 0: without waiting")
	c.Flags().DurationVar(&f.idle, "idle-limit", 0, "wait at most this `DURATION` where nothing happens, such as 2s")
	c.Flags().StringVar(&f.dir, "dir", "", "the `FOLDER` of recordings (default: that of the configuration)")
	c.Flags().BoolVar(&f.unsafe, "unsafe", false, "let every control sequence reach the terminal: whoever made the recording may control it")
	return c
}

func (a *app) replayRecording(ctx context.Context, name string, f replayFlags) (err error) {
	switch {
	case f.speed != 0 && !(f.speed >= minSpeed && f.speed <= maxSpeed):
		return errs.Usage("--speed is 0, or from %v to %v", minSpeed, maxSpeed)
	case f.idle < 0:
		return errs.Usage("--idle-limit is not negative")
	}
	in, err := a.openRecording(ctx, name, f.dir)
	if err != nil {
		return err
	}
	defer in.Close()
	screen := &replayScreen{out: a.env.Stdout, terminal: isTerminal(a.env.Stdout)}
	player, err := record.NewPlayer(in, screen, record.PlayOptions{Speed: f.speed, IdleLimit: f.idle, Unsafe: f.unsafe})
	if err != nil {
		return fmt.Errorf("recording %s: %w", name, err)
	}
	r := &replay{app: a, player: player, screen: screen}
	if screen.terminal {
		r.compareSizes()
		if isTerminal(a.env.Stdin) {
			r.tty = &tty{in: a.env.Stdin, out: a.env.Stdout}
		}
	}
	if err := r.run(ctx); err != nil {
		var said *statusError
		if errors.As(err, &said) {
			return err
		}
		return fmt.Errorf("recording %s: %w", name, err)
	}
	if player.Cut() {
		a.warnCut(name)
	}
	return nil
}

// compareSizes says when the picture cannot be as it was.
func (r *replay) compareSizes() {
	m := r.player.Meta()
	cols, rows := r.screen.size()
	if m.Pipes || cols == m.Cols && rows == m.Rows {
		return
	}
	r.sizes = fmt.Sprintf("recorded %d×%d, here %d×%d", m.Cols, m.Rows, cols, rows)
	r.app.say("note", r.app.paint(dim, "note:"), fmt.Sprintf("the session had a terminal of %d × %d characters, this one has %d × %d", m.Cols, m.Rows, cols, rows))
}

// replay is a recording on stdout, with keys where there is a terminal.
type replay struct {
	app     *app
	player  *record.Player
	screen  *replayScreen
	tty     *tty // nil: no keys
	signals *signals
	sizes   string // how the terminal differs from that of the session; empty: not

	length   time.Duration // of the playback
	size     [2]uint16     // of the terminal, when it was drawn last
	status   bool          // the status line is over the picture
	message  string        // said in it once
	query    string        // what is searched for
	typed    []rune        // of what is being typed after /
	typing   bool
	quitting bool
}

// run plays until the end, q or a signal.
func (r *replay) run(ctx context.Context) (err error) {
	var ending <-chan os.Signal
	var window, job <-chan os.Signal
	if r.screen.terminal {
		if r.tty != nil {
			defer r.tty.guard()
		}
		r.signals = catchSignals(r.tty != nil)
		defer r.signals.stop()
		ending, window, job = r.signals.ending, r.signals.window, r.signals.job
		defer func() { err = errors.Join(err, r.leave()) }()
	}
	keys, err := r.enter()
	if err != nil {
		return err
	}
	for !r.quitting {
		if r.player.AtEnd() && !r.player.Paused() {
			return nil
		}
		if err := r.step(ctx, keys, ending, window, job); err != nil {
			return err
		}
	}
	return nil
}

// step waits for something to do and does it.
func (r *replay) step(ctx context.Context, keys <-chan []byte, ending, window, job <-chan os.Signal) error {
	due, stop := r.due()
	defer stop()
	select {
	case <-due:
		return r.player.Advance()
	case b, ok := <-keys:
		if !ok {
			r.quitting = true
			return nil
		}
		return r.keys(b)
	case sig := <-ending:
		return exit(128 + signalNumber(sig))
	case <-window:
		return r.resized()
	case <-job:
		return errors.Join(r.tty.enter(), r.refresh())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// due is when the player has something to show.
func (r *replay) due() (at <-chan time.Time, stop func()) {
	wait, ok := r.player.Wait()
	if !ok {
		return nil, func() {}
	}
	t := time.NewTimer(wait)
	return t.C, func() { t.Stop() }
}

// enter takes the terminal, and starts what reads keys. The picture begins on an
// empty screen; what was on it has scrolled away.
func (r *replay) enter() (<-chan []byte, error) {
	if !r.screen.terminal {
		return nil, nil
	}
	if r.tty == nil {
		return nil, r.screen.empty()
	}
	length, err := r.player.Length()
	if err != nil {
		return nil, err
	}
	r.length = length
	r.size[0], r.size[1] = r.screen.size()
	if err := r.tty.enter(); err != nil {
		return nil, err
	}
	r.app.stderr.raw.Store(true)
	keys := make(chan []byte)
	go r.read(keys)
	return keys, r.screen.empty()
}

// read hands keys on until stdin ends. It may stay behind, blocked.
func (r *replay) read(keys chan<- []byte) {
	defer r.tty.guard()
	defer close(keys)
	for {
		b := make([]byte, 256)
		n, err := r.tty.in.Read(b)
		if n > 0 {
			keys <- b[:n]
		}
		if err != nil {
			return
		}
	}
}

// leave gives the terminal back, usable.
func (r *replay) leave() error {
	err := r.screen.leave()
	if r.tty != nil {
		err = errors.Join(err, r.tty.leave())
		r.app.stderr.raw.Store(false)
	}
	return err
}
