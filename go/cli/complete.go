package cli

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"etcha/go/config"
)

// completeShell completes SOURCE from the sources that this machine knows by
// name, and TARGET from the targets. What follows is the shell's to complete.
func (a *app) completeShell(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	loaded, err := config.Load(c.Context(), a.loadOptions())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	cfg := loaded.Config
	switch len(args) {
	case 0:
		names := slices.Sorted(maps.Keys(cfg.Sources))
		if d := cfg.CLI.DefaultSource; d != "" && !slices.Contains(names, d) {
			names = append(names, d)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	case 1:
		return slices.Sorted(maps.Keys(cfg.Targets)), cobra.ShellCompDirectiveNoFileComp
	default:
		return nil, cobra.ShellCompDirectiveDefault
	}
}

// completeKnownNode completes a target from the known nodes.
func (a *app) completeKnownNode(file *string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		known, err := a.openKnownNodes(*file)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		nodes, err := known.All()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []cobra.Completion
		for _, n := range nodes {
			names = append(names, n.Target)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// noError is for registering what is declared beside it: an error is a name
// that was mistyped there.
func noError(err error) {
	if err != nil {
		panic(err)
	}
}
