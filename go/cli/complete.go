package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"etcha/go/config"
	"etcha/go/wire"
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

// completeTarget completes the argument at index place from the targets.
func (a *app) completeTarget(place int) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		loaded, err := config.Load(c.Context(), a.loadOptions())
		if err != nil || len(args) != place {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.Sorted(maps.Keys(loaded.Config.Targets)), cobra.ShellCompDirectiveNoFileComp
	}
}

// completionTime is how long nodes may take to tell their sessions.
const completionTime = 1500 * time.Millisecond

// completeSession completes SESSION from the lists of the nodes that are known
// already, and TARGET from the targets. Nobody is asked for a passphrase, and no
// node is met for the first time.
func (t *attach) completeSession(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return t.app.completeTarget(len(args))(c, args, "")
	}
	ctx, cancel := context.WithTimeout(c.Context(), completionTime)
	defer cancel()
	x := t.access
	x.unattended = true
	q, err := x.newSearch(ctx, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer q.close()
	known, err := t.app.openKnownNodes(x.knownNodes)
	for _, n := range q.nodes {
		seen := n.where.nodeID != ""
		if !seen && err == nil && n.err == nil {
			_, seen, _ = known.Find(n.where.known())
		}
		if !seen {
			n.err = errNoTerminal
		}
	}
	var names []cobra.Completion
	for _, f := range distinct(q.list(ctx)) {
		if f.info.State == wire.SessionEnded {
			continue
		}
		names = append(names, cobra.CompletionWithDesc(f.info.Session,
			fmt.Sprintf("%s on %s, %s, by %s", f.info.Source, f.node.where, f.info.State, who(f.info.Subject, f.info.Key))))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
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
