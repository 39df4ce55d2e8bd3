package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Shells runs checks in long-lived shells, one for each command, environment,
// user and directory, every check in a subshell of its own. Everything else, and
// each check of which it cannot be told that it does the same there, is run by
// the Process it was made of. It may be used by several goroutines: what finds
// its shell busy is run as a process.
type Shells struct {
	process Process

	mu     sync.Mutex
	byKey  map[string]*slot
	closed bool
}

// slot is the place of one shell.
type slot struct {
	mu     sync.Mutex
	shell  *shell // nil: not started, or it has ended
	broken bool   // it does not work here; processes are used
}

// NewShells makes a runner that must be closed.
func NewShells(p Process) *Shells { return &Shells{process: p, byKey: map[string]*slot{}} }

// Close ends the shells. What checks left in the background stays.
func (r *Shells) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, s := range r.byKey {
		s.mu.Lock()
		s.end()
		s.mu.Unlock()
	}
	clear(r.byKey)
	return nil
}

// Run implements [Runner].
func (r *Shells) Run(ctx context.Context, s Script) (Output, error) {
	if err := ctx.Err(); err != nil {
		return Output{Started: time.Now()}, err
	}
	if !plainScript(s) {
		return r.process.Run(ctx, s)
	}
	place, ok := r.slot(s)
	if !ok || !place.mu.TryLock() {
		return r.process.Run(ctx, s)
	}
	out, err := place.run(ctx, s)
	place.mu.Unlock()
	if errors.Is(err, errShell) {
		return r.process.Run(ctx, s)
	}
	return out, err
}

// slot finds the place for a script's shell; false: a process must do.
func (r *Shells) slot(s Script) (*slot, bool) {
	if _, ok := shellOptions(s.Argv); !ok || !plainEnv(s.Env) {
		return nil, false
	}
	key, ok := shellKey(s)
	if !ok {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false
	}
	place, ok := r.byKey[key]
	if !ok {
		place = &slot{}
		r.byKey[key] = place
	}
	return place, true
}

// shellKey is all that a shell has from its start, the account as it is now.
func shellKey(s Script) (string, bool) {
	var b strings.Builder
	for _, words := range [][]string{s.Argv, s.Env} {
		for _, w := range words {
			b.WriteString(w)
			b.WriteByte(0)
		}
		b.WriteByte(0)
	}
	b.WriteString(s.Exec.WorkDir)
	if s.Exec.User != "" || s.Exec.Group != "" {
		l, err := lookupLogin(s.Exec.User, s.Exec.Group)
		if err != nil {
			return "", false
		}
		fmt.Fprintf(&b, "\x00%s\x00%+v", s.Exec.User, l)
	}
	return b.String(), true
}

// errShell means that a shell could not run a check, which a process then does.
var errShell = errors.New("the shell cannot run it")

func (p *slot) run(ctx context.Context, s Script) (Output, error) {
	if p.broken {
		return Output{}, errShell
	}
	if p.shell != nil && !p.shell.fits(s) {
		p.end()
	}
	if p.shell == nil {
		if err := p.start(ctx, s); err != nil {
			p.broken = ctx.Err() == nil
			return Output{}, cmp.Or(ctx.Err(), errShell)
		}
	}
	out, err := p.shell.check(ctx, s)
	if err != nil || p.shell.held {
		p.end()
	}
	return out, err
}

// start starts the shell and lets it prove that it works here.
func (p *slot) start(ctx context.Context, s Script) error {
	if !p.holds(s.Vars) {
		return errShell
	}
	sh, err := startShell(s)
	if err != nil {
		return err
	}
	p.shell = sh
	ctx, cancel := context.WithTimeout(ctx, shellStart)
	defer cancel()
	probe := s
	probe.Text = "printf probe; exit 7"
	out, err := sh.check(ctx, probe)
	if err == nil && (out.Exit != 7 || out.Text != "probe") {
		err = errShell
	}
	if err != nil {
		p.end()
	}
	return err
}

// holds reports whether a shell can have these variables from its start.
func (p *slot) holds(vars []string) bool {
	size := 0
	for _, kv := range vars {
		name, _, _ := strings.Cut(kv, "=")
		if size += len(kv); size > maxShellVars || !plainVariable(name) {
			return false
		}
	}
	return true
}

func (p *slot) end() {
	if p.shell != nil {
		p.shell.close()
		p.shell = nil
	}
}

// sameDir reports whether a directory is the one that a shell was started in.
func sameDir(dir string, then os.FileInfo) bool {
	if dir == "" {
		return true
	}
	now, err := os.Stat(dir)
	return err == nil && then != nil && os.SameFile(now, then)
}
