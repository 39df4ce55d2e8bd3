package pty

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// set is the processes of a session: its cgroup, or what is found without.
type set interface {
	live() ([]proc, error)
	signal(p proc, sig unix.Signal) error
	kill() error
}

// ending is the state of End.
type ending struct {
	begin     sync.Once
	hurry     context.CancelFunc // waits no longer, kills
	hurried   context.Context
	over      chan struct{}
	survivors int
	err       error
}

func newEnding() ending {
	ctx, cancel := context.WithCancel(context.Background())
	return ending{hurry: cancel, hurried: ctx, over: make(chan struct{})}
}

// ErrLeft means that processes of the session would not die.
var ErrLeft = errors.New("processes are left that do not end")

// End ends the program and everything it started, like a terminal that hung up:
// HUP, after grace TERM, after grace KILL; it goes on as soon as all are gone.
// The end of ctx, or a grace of 0, means KILL at once. It returns when all are
// gone, or with ErrLeft about 5 s after KILL.
//
// survivors is how many processes other than the leader were alive after the
// leader's end and had to be signalled. A second call waits for the first and
// returns the same.
func (p *Process) End(ctx context.Context, grace time.Duration) (survivors int, err error) {
	stop := context.AfterFunc(ctx, p.end.hurry)
	defer stop()
	p.end.begin.Do(func() {
		defer close(p.end.over)
		p.end.survivors, p.end.err = p.tearDown(p.end.hurried, grace)
	})
	<-p.end.over
	return p.end.survivors, p.end.err
}

// Close ends what is left of the session at once and releases its descriptors,
// which wakes readers and writers, and its cgroup. It may be called again.
func (p *Process) Close() error {
	p.closeOnce.Do(func() {
		p.end.hurry()
		_, err := p.End(context.Background(), 0)
		p.closeErr = errors.Join(err, p.release())
	})
	return p.closeErr
}

// ErrRunning means that a program has not ended.
var ErrRunning = errors.New("the program is running")

// Release is Close for a session whose program has ended and whose other
// processes may stay. They are not looked for any more. What is in the session's
// cgroup must have been moved before; else the group stays and that is an error.
func (p *Process) Release() error {
	if !p.ended() {
		return ErrRunning
	}
	p.end.begin.Do(func() { close(p.end.over) })
	p.closeOnce.Do(func() {
		if p.group == nil {
			live, err := newClosure(p).live()
			p.parent.spared.CompareAndSwap(false, err != nil || len(live) > 0)
		}
		p.closeErr = p.release()
	})
	return p.closeErr
}

// release lets go of everything but the processes.
func (p *Process) release() error {
	p.free()
	p.io.close()
	if p.group == nil {
		return nil
	}
	return p.group.remove()
}

// free lets the leader be reaped, now or whenever it ends.
func (p *Process) free() { p.freeOnce.Do(func() { close(p.mayReap) }) }

func (p *Process) tearDown(ctx context.Context, grace time.Duration) (survivors int, err error) {
	t := teardown{set: p.set(), leader: p, counted: map[procKey]bool{}, counting: p.ended}
	if !t.ask(ctx, grace) {
		err = t.kill()
	}
	if err == nil {
		p.free()
		<-p.reaped
		err = t.strays(p)
	}
	if err != nil {
		err = fmt.Errorf("end session %q: %w", p.session, err)
	}
	return len(t.counted), err
}

// strays looks once more for orphans without a mark, now that this session is
// not among the living: of several that end at the same time each could have
// taken them for another's.
func (t *teardown) strays(p *Process) error {
	c, ok := t.set.(*closure)
	if !ok || p.parent.reaping.Load() == 0 {
		return nil
	}
	c.reaped, t.leader = true, nil
	return t.kill()
}

func (p *Process) set() set {
	if p.group != nil {
		return &contained{group: p.group, closure: newClosure(p), outside: map[procKey]bool{}}
	}
	return newClosure(p)
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// teardown ends the processes of a set, and its leader wherever that is.
type teardown struct {
	set      set
	leader   *Process         // nil: none
	counted  map[procKey]bool // survivors
	counting func() bool      // whether what is signalled now is one
}

// ask sends what processes may answer by ending, and reports whether all did.
func (t *teardown) ask(ctx context.Context, grace time.Duration) (gone bool) {
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGTERM} {
		if grace <= 0 || ctx.Err() != nil {
			return false
		}
		if t.step(ctx, sig, grace) {
			return true
		}
	}
	return false
}

// step sends one signal to all, and CONT so that it reaches stopped ones, and
// reports whether all went within the time.
func (t *teardown) step(ctx context.Context, sig unix.Signal, wait time.Duration) (gone bool) {
	// What cannot be listed now is looked for again, and at the latest by kill.
	live, err := t.live()
	if err == nil && len(live) == 0 {
		return true
	}
	t.count(live)
	t.signal(live, sig)
	t.signal(live, unix.SIGCONT)
	gone, _ = t.await(ctx, wait, nil)
	return gone
}

// kill sends KILL until nothing is left. What it finds after the first look is
// dying already, or was begun by what was.
func (t *teardown) kill() error {
	first := true
	gone, err := t.await(context.Background(), killWait, func(live []proc) error {
		if first {
			t.count(live)
		}
		first = false
		err := t.set.kill()
		t.signal(live, unix.SIGKILL)
		return err
	})
	if !gone && err == nil {
		err = ErrLeft
	}
	return err
}

// await looks again and again until nothing is alive; each time it calls act,
// where given, with what still is. An error of either is told when the time is up.
func (t *teardown) await(ctx context.Context, wait time.Duration, act func([]proc) error) (gone bool, err error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for pause := pollMin; ; pause = min(2*pause, pollMax) {
		var live []proc
		live, err = t.live()
		if err == nil && len(live) == 0 {
			return true, nil
		}
		if act != nil {
			err = errors.Join(err, act(live))
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return false, ctx.Err()
		case <-deadline.C:
			next.Stop()
			return false, err
		}
	}
}

// live lists what has not ended, the leader among it also when it moved away.
func (t *teardown) live() ([]proc, error) {
	live, err := t.set.live()
	if t.leader == nil || t.leader.ended() {
		return live, err
	}
	for _, p := range live {
		if p.pid == t.leader.pid {
			return live, err
		}
	}
	return append(live, proc{pid: t.leader.pid, start: t.leader.started}), err
}

func (t *teardown) signal(procs []proc, sig unix.Signal) {
	for _, p := range procs {
		// One that is gone meanwhile, or not ours to signal, shows in the next
		// look at what is alive.
		if t.leader != nil && p.pid == t.leader.pid {
			_ = t.leader.signalLeader(p.pid, sig)
		} else {
			_ = t.set.signal(p, sig)
		}
	}
}

func (t *teardown) count(procs []proc) {
	if !t.counting() {
		return
	}
	for _, p := range procs {
		if t.leader == nil || p.pid != t.leader.pid {
			t.counted[p.key()] = true
		}
	}
}
