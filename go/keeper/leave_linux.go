package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"etcha/go/pty"
)

// surroundings are what leaving the daemon's cgroup depends on.
type surroundings struct {
	booted string // exists where systemd manages the machine (sd_booted(3))
	root   bool
	pid    int
	run    func(ctx context.Context, args []string) error
	own    func() (string, error) // contents of /proc/self/cgroup
}

func here() surroundings {
	return surroundings{
		booted: "/run/systemd/system", root: os.Geteuid() == 0, pid: os.Getpid(),
		run: runTool,
		own: func() (string, error) {
			b, err := os.ReadFile("/proc/self/cgroup")
			return string(b), err
		},
	}
}

// leaveDaemon gets this process out of the cgroup of the daemon that started it:
// a supervisor that kills the daemon kills that whole, by default. Under systemd,
// which alone may change its groups, by a scope of its own, for which one must be
// root; elsewhere by a group beside it. Where neither can be done the keeper stays.
func leaveDaemon(log *slog.Logger, in surroundings) {
	if _, err := os.Stat(in.booted); err == nil {
		if err := in.makeScope(); err != nil {
			log.Debug("keeper stays in the daemon's cgroup", "err", err)
		}
		return
	}
	killed, err := pty.LeaveCgroup()
	if err != nil {
		log.Debug("keeper stays in a cgroup of the daemon", "err", err)
	}
	if killed > 0 {
		log.Warn("processes of an earlier keeper were ended", "survivors", killed)
	}
}

// Reasons for which there is no scope.
var (
	errNotRoot = errors.New("only root may ask systemd for a scope")
	errNoScope = errors.New("systemd did not move it in time")
)

// makeScope has systemd move this process into a scope.
func (in surroundings) makeScope() error {
	if !in.root {
		return errNotRoot
	}
	name, err := pty.OwnCgroupName()
	if err != nil {
		return err
	}
	if in.inScope(name) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), scopeTime)
	defer cancel()
	if err := in.run(ctx, scopeCall(name, in.pid)); err != nil {
		return fmt.Errorf("ask systemd for a scope: %w", err)
	}
	for pause := retryMin; !in.inScope(name); pause = min(2*pause, retryMax) { // it answers before it is done
		select {
		case <-ctx.Done():
			return errNoScope
		case <-time.After(pause):
		}
	}
	return nil
}

// scopeCall is the command line that asks systemd to move a process into a scope
// below which it may make groups. Unlike systemd-run it concerns a process that
// runs: when it fails nothing has changed.
func scopeCall(name string, pid int) []string {
	return []string{
		"busctl", "--quiet", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
		"org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))", name + ".scope", "fail",
		"5",
		"PIDs", "au", "1", strconv.Itoa(pid),
		"Description", "s", "Etcha keeper and its shells",
		"Delegate", "b", "true",
		"SendSIGHUP", "b", "true",
		"CollectMode", "s", "inactive-or-failed",
		"0",
	}
}

// inScope reports whether this process is in the scope, or below it.
func (in surroundings) inScope(name string) bool {
	text, err := in.own()
	return err == nil && strings.Contains(text, "/"+name+".scope")
}

// runTool runs a program of the system, found in its own folders only.
func runTool(ctx context.Context, args []string) error {
	for _, dir := range []string{"/usr/bin", "/bin", "/run/current-system/sw/bin"} {
		file := filepath.Join(dir, args[0])
		if _, err := os.Stat(file); err != nil {
			continue
		}
		cmd := exec.CommandContext(ctx, file, args[1:]...)
		cmd.Env, cmd.WaitDelay = []string{"LC_ALL=C"}, time.Second
		return cmd.Run()
	}
	return fmt.Errorf("%s: %w", args[0], exec.ErrNotFound)
}
