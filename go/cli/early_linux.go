package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/logs"
	"etcha/go/pty"
)

// keeperCommand is the hidden subcommand that is the keeper.
const keeperCommand = "keeper"

// runEarly is what starts as part of a session or of a node, without the cost
// of the command line's machinery: the helper that becomes a session's program,
// and the keeper.
func runEarly(ctx context.Context, args []string, env Env) (status int, ok bool) {
	switch {
	case len(args) > 0 && args[0] == pty.HelperName:
		return pty.HelperMain(), true
	case len(args) > 1 && args[1] == keeperCommand:
		return keeperMain(ctx, args[2:], env), true
	default:
		return 0, false
	}
}

// keeperArgv is the command line of the keeper of a node's state folder.
func keeperArgv(exe, stateDir, logFormat, logLevel string) []string {
	return []string{
		exe, keeperCommand,
		"--state-dir=" + stateDir, "--log-format=" + logFormat, "--log-level=" + logLevel,
	}
}

// keeperMain reads what keeperArgv wrote.
func keeperMain(ctx context.Context, args []string, env Env) int {
	a := newApp(env)
	f := flag.NewFlagSet(keeperCommand, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	stateDir := f.String("state-dir", "", "")
	cgroup := f.String("cgroup", "auto", "")
	format := f.String("log-format", "human", "")
	level := f.String("log-level", "info", "")
	probe := f.Bool(strings.TrimLeft(keeper.ProbeArgument, "-"), false, "")
	if err := f.Parse(args); err != nil || *stateDir == "" || f.NArg() > 0 {
		a.report(errs.Usage("the keeper is started by etcha run").WithHint("etcha run -h"))
		return errs.ExitUsage
	}
	if *probe { // a keeper asks before it becomes this program
		return errs.ExitOf(keeper.Probe(env.Stdout, *stateDir))
	}
	// Whoever reads the keeper's log may stop reading; the sessions go on.
	log, err := logs.New(keeper.LogWriter(env.Stderr), *format, *level, a.colour)
	if err == nil {
		err = keeper.Main(ctx, keeper.Options{StateDir: *stateDir, Log: log, Cgroup: *cgroup, Version: a.env.Version})
	}
	if err != nil {
		a.report(fmt.Errorf("keeper: %w", err))
	}
	return errs.ExitOf(err)
}
