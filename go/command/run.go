package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Mode is what a run does.
type Mode string

// The modes.
const (
	ModeChange Mode = "change"
	ModeCheck  Mode = "check"
	ModeRemove Mode = "remove"
)

// State is how a command ended.
type State string

// The states of a finished command.
const (
	StateSkipped     State = "skipped"      // nothing ran
	StateUnchanged   State = "unchanged"    // only its check ran, nothing is due, or there is nothing to run
	StateChanged     State = "changed"      // its change ran
	StateRemoved     State = "removed"      // its remove ran
	StateWouldChange State = "would change" // its change is due; check mode
	StateFailed      State = "failed"
)

// Event tells of a command that has started or finished. Groups and commands
// that the filter leaves out have none.
type Event struct {
	Path     string
	ID       string
	At       Position
	Mode     Mode  // of the run
	Finished bool  // else it has just started, and what follows is not set
	State    State // see there
	Duration time.Duration
	Output   string // of the script that decided
	Err      error  // a *ScriptError, when State is StateFailed
}

// Options are how a list is run.
type Options struct {
	// Runner runs the scripts; nil: [Process] and, for checks, [Shells] for as
	// long as the run takes.
	Runner Runner
	// Exec is the chain above the commands.
	Exec []Level
	// Env is added to the environment of every script, over the chain's.
	Env map[string]string
	// Filter, when set, must match a command's path; the others do not run.
	Filter *regexp.Regexp
	// Environ is this program's environment; nil: os.Environ.
	Environ []string
	// Observe is called when a command starts and when it has finished.
	Observe func(Event)
	// Emit is called for each event etcha:NAME, in the order in which they are
	// emitted, with the output of the change or remove that did.
	Emit func(name, output string)
	// Timeout bounds each script; 0: none. The run is bounded by its context.
	Timeout time.Duration
	// Now is the clock of durations; nil: time.Now.
	Now func() time.Time
}

// Change is what happened to one command.
type Change struct {
	Path     string
	ID       string
	At       Position
	Output   string // of the change or remove; of a would-change its check's
	Exit     int
	Duration time.Duration // of the command, its check included
	Err      error         // of a failed one
}

// Emitted is an event etcha:NAME.
type Emitted struct{ Name, Output string }

// Result is what a run did, each in the order in which it happened.
type Result struct {
	Changed     []Change
	Removed     []Change
	Failed      []Change
	WouldChange []Change // check mode
	Events      []Emitted
}

// ScriptError is a script that failed, or could not be run.
type ScriptError struct {
	Path string
	At   Position
	Kind Kind
	Exit int    // 0 when Err is set
	Last string // the last lines of its output
	Err  error  // it did not start, or was ended; nil when it exited
}

// Error is "file:line: group > child: change: exit status 1: last lines".
func (e *ScriptError) Error() string {
	text := fmt.Sprintf("%s: %s: ", e.Path, e.Kind)
	if at := e.At.String(); at != "" {
		text = at + ": " + text
	}
	if e.Err != nil {
		text += e.Err.Error()
	} else {
		text += fmt.Sprintf("exit status %d", e.Exit)
	}
	if e.Last != "" {
		text += ":\n" + e.Last
	}
	return text
}

// Unwrap gives the cause, nil when the script exited.
func (e *ScriptError) Unwrap() error { return e.Err }

// ErrTimeout means that a script took longer than Options.Timeout.
var ErrTimeout = errors.New("took too long and was killed")

// Run runs the list. Execs are merged for every command first, and a mistake in
// one is an error before anything ran. The error joins a *[ScriptError] for each
// command that failed, or is the context's; Result tells what was done until then.
func (l *List) Run(ctx context.Context, mode Mode, o Options) (Result, error) {
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if mode != ModeChange && mode != ModeCheck && mode != ModeRemove {
		return Result{}, fmt.Errorf("run commands: no such mode: %q", mode)
	}
	if o.Runner == nil {
		shells := NewShells(Process{})
		defer shells.Close()
		o.Runner = shells
	}
	r := &run{ctx: ctx, mode: mode, Options: o, execs: map[*node]*resolved{}}
	if err := r.prepare(l.nodes); err != nil {
		return Result{}, err
	}
	r.scope(l.nodes, inherited{})
	return r.result, errors.Join(append(r.errs, ctx.Err())...)
}

// run is one run of a list.
type run struct {
	Options
	ctx    context.Context
	mode   Mode
	env    environment
	execs  map[*node]*resolved
	common *resolved // of commands without an exec of their own
	result Result
	errs   []error
}

func (r *run) prepare(nodes []*node) error {
	common, err := resolve(r.Exec, r.Environ, r.Env)
	if err != nil {
		return fmt.Errorf("run commands: %w", err)
	}
	r.common = common
	return errors.Join(r.execErrors(nodes)...)
}

// execErrors resolves the exec of each command that has one.
func (r *run) execErrors(nodes []*node) []error {
	var errs []error
	for _, n := range nodes {
		if n.group() {
			errs = append(errs, r.execErrors(n.children)...)
			continue
		}
		if n.Exec == nil {
			continue
		}
		levels := append(slices.Clip(r.Options.Exec), Level{Name: n.path, Exec: *n.Exec})
		x, err := resolve(levels, r.Environ, r.Env)
		if err != nil {
			errs = append(errs, Problem{At: n.At, Text: err.Error()})
			continue
		}
		r.execs[n] = x
	}
	return errs
}

// emit records events in the order of the command's list.
func (r *run) emit(names []string, output string) {
	for _, name := range names {
		r.result.Events = append(r.result.Events, Emitted{name, output})
		if r.Emit != nil {
			r.Emit(name, output)
		}
	}
}

// script runs one script of a command. The error is a *ScriptError without an
// exit status, or nil.
func (r *run) script(n *node, kind Kind, text string) (Output, error) {
	x := r.common
	if own, ok := r.execs[n]; ok {
		x = own
	}
	value := func(name string) (string, bool) {
		if v, ok := r.env.get(name); ok {
			return v, true
		}
		v, ok := x.exec.Env[name]
		return v, ok
	}
	ctx, cancel := r.ctx, func() {}
	if r.Timeout > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, r.Timeout, ErrTimeout)
	}
	defer cancel()
	out, err := r.Runner.Run(ctx, Script{
		Kind: kind, Path: n.path, Text: expand(text, value), Stdin: expand(n.Stdin, value),
		Argv: x.argv, Env: x.env, Vars: slices.Clone(r.env.list), Exec: x.exec, Program: r.Environ,
	})
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil && r.ctx.Err() == nil {
		err = fmt.Errorf("%w after %s: %w", ErrTimeout, r.Timeout, err)
	}
	return out, &ScriptError{Path: n.path, At: n.At, Kind: kind, Last: lastLines(out.Text), Err: err}
}

// lastLines is the end of an output, for an error.
func lastLines(text string) string {
	if len(text) > maxErrorText {
		text = text[len(text)-maxErrorText:]
		if _, rest, ok := strings.Cut(text, "\n"); ok {
			text = rest
		}
	}
	lines := strings.Split(text, "\n")
	if len(lines) > maxErrorLines {
		lines = lines[len(lines)-maxErrorLines:]
	}
	return strings.ToValidUTF8(strings.Join(lines, "\n"), "\uFFFD")
}
