package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"etcha/go/wire"
)

// sources lists what the key may use.
type sources struct {
	access
	json bool
}

func (a *app) sourcesCommand() *cobra.Command {
	s := &sources{access: access{app: a}}
	c := &cobra.Command{
		Use:   "sources [flags] [TARGET]",
		Short: "List what your key may use on nodes",
		Long: `List the sources that your key may use on TARGET, and what for; without TARGET on
cli.defaultTarget, else on all configured targets. A target that cannot be asked
is named on stderr, and the exit status is 255; the others are listed.`,
		GroupID: groupUse,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("unexpected argument %q", args[1])
			}
			return nil
		},
		ValidArgsFunction: a.completeTarget(0),
		RunE: func(c *cobra.Command, args []string) error {
			return s.run(c.Context(), first(args))
		},
	}
	c.Flags().BoolVar(&s.json, "json", false, "print JSON")
	s.access.flags(c.Flags())
	return c
}

// targetSourcesJSON is what `etcha sources --json` prints for a node.
type targetSourcesJSON struct {
	Target  string            `json:"target"`
	Node    string            `json:"node,omitempty"`
	Error   string            `json:"error,omitempty"` // why it could not be asked
	Sources []wire.SourceInfo `json:"sources"`
}

func (s *sources) run(ctx context.Context, target string) error {
	q, err := s.newSearch(ctx, target)
	if err != nil {
		return err
	}
	defer q.close()
	lists := make([]targetSourcesJSON, len(q.nodes))
	place := make(map[*node]*targetSourcesJSON, len(q.nodes))
	for i, n := range q.nodes {
		lists[i] = targetSourcesJSON{Target: n.where.String(), Sources: []wire.SourceInfo{}}
		place[n] = &lists[i]
	}
	q.nodes.ask(ctx, func(ctx context.Context, n *node) error {
		list, err := n.client.Sources(ctx)
		place[n].Node = list.Node
		place[n].Sources = append(place[n].Sources, list.Sources...)
		return err
	})
	for _, n := range q.nodes {
		if n.err != nil {
			place[n].Error = n.err.Error()
		}
	}
	if s.json {
		err = s.app.printJSON(lists)
	} else {
		err = writeSources(s.app.stdout, lists)
	}
	if err != nil {
		return err
	}
	return q.nodes.failed(q.set.Config)
}

func writeSources(w io.Writer, lists []targetSourcesJSON) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	heading := "SOURCE\tSHELL\tCOMMAND\tDETACH\tRECORDED\tTYPING\tSIGNERS\tPROCESSES\tNOW"
	if len(lists) > 1 {
		heading = "TARGET\t" + heading
	}
	rows := 0
	for _, l := range lists {
		for _, i := range l.Sources {
			if rows++; rows == 1 {
				fmt.Fprintln(t, heading)
			}
			if len(lists) > 1 {
				fmt.Fprintf(t, "%s\t", l.Target)
			}
			fmt.Fprintln(t, sourceRow(i))
		}
	}
	return t.Flush()
}

// sourceRow is the columns of a source.
func sourceRow(i wire.SourceInfo) string {
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return "no"
	}
	now := "may be used"
	switch {
	case i.Denied != "":
		now = i.Denied
	case !i.Shell && len(i.Processes) == 0:
		now = "no shell"
	}
	if i.BreakGlass {
		now += ", break glass"
	}
	signers := "-"
	if i.Require > 0 {
		signers = strconv.Itoa(i.Require)
	}
	return strings.Join([]string{
		i.Source, yes(i.Shell), yes(i.Command), yes(i.Detach), cmp.Or(i.Recording, "-"),
		cmp.Or(string(i.Obscure), "-"), signers, cmp.Or(strings.Join(i.Processes, ","), "-"), now,
	}, "\t")
}
