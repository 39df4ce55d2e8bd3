package cli

import (
	"context"
	"os"

	"etcha/go/errs"
)

// Env is what the program gets from its surroundings.
type Env struct {
	Stdin, Stdout, Stderr *os.File
	Environ               []string // NAME=value, as from os.Environ
	Version               string   // of the program; empty: "dev"
}

// Run runs the program with args, the program's own name first, and returns its
// exit status: that of the remote program for shell, else as package errs says.
func Run(ctx context.Context, args []string, env Env) int {
	if status, ok := runEarly(ctx, args, env); ok {
		return status
	}
	a := newApp(env)
	err := a.execute(ctx, args)
	var s *statusError
	if asStatus(err, &s) {
		return s.status
	}
	a.report(err)
	return errs.ExitOf(err)
}
