//go:build !linux

package cli

import (
	"context"
	"runtime"

	"github.com/spf13/cobra"

	"etcha/go/errs"
)

func runEarly(context.Context, []string, Env) (status int, ok bool) { return 0, false }

func (a *app) runCommand() *cobra.Command {
	return linuxOnly("run", "Be a node", groupNode)
}

func (a *app) nodeCommand() *cobra.Command {
	return linuxOnly("node", "Show or stop the node of this machine", groupNode)
}

func (a *app) demoCommand() *cobra.Command {
	return linuxOnly("demo", "Open a shell on a throw-away node", groupUse)
}

// linuxOnly is a command that this system has not. It is there to say so.
func linuxOnly(name, short, group string) *cobra.Command {
	return &cobra.Command{
		Use:                name,
		Short:              short + " (on Linux only)",
		GroupID:            group,
		DisableFlagParsing: true,
		Args:               cobra.ArbitraryArgs,
		RunE: func(*cobra.Command, []string) error {
			return errs.Usage("etcha %s works on Linux only, and this is %s", name, runtime.GOOS).
				WithHint("a node runs on Linux; etcha shell opens a shell on one from here")
		},
	}
}
