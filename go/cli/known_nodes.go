package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"etcha/go/client"
	"etcha/go/errs"
)

// knownNodeJSON is one node in what `etcha known-nodes --json` prints.
type knownNodeJSON struct {
	Target string `json:"target"`
	ID     string `json:"id"`
	TLSKey string `json:"tlsKey,omitempty"`
	Line   int    `json:"line"` // in the file, from 1
}

func (a *app) knownNodesCommand() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "known-nodes [flags] [COMMAND]",
		Short: "Show or forget the nodes that were seen",
		Long: `Show the nodes that etcha shell has met, and their IDs. A target that answers with
another ID later is refused; forget it when the node was set up anew.`,
		GroupID: groupUse,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return a.group(c, args)
			}
			return a.listKnownNodes(file, asJSON)
		},
		Args: cobra.ArbitraryArgs,
	}
	c.PersistentFlags().StringVar(&file, "known-nodes", "", "the `FILE` of nodes that were seen (default "+knownNodesDoc+")")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(&cobra.Command{
		Use:   "forget TARGET",
		Short: "Forget the node of a target",
		Args:  cobra.ExactArgs(1),

		ValidArgsFunction: a.completeKnownNode(&file),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.forgetKnownNode(file, args[0])
		},
	})
	return c
}

func (a *app) openKnownNodes(file string) (*client.KnownNodes, error) {
	path, err := a.knownNodesPath(file)
	if err != nil {
		return nil, err
	}
	return client.OpenKnownNodes(path), nil
}

func (a *app) listKnownNodes(file string, asJSON bool) error {
	known, err := a.openKnownNodes(file)
	if err != nil {
		return err
	}
	nodes, err := known.All()
	if err != nil {
		return err
	}
	if asJSON {
		list := make([]knownNodeJSON, 0, len(nodes))
		for _, n := range nodes {
			list = append(list, knownNodeJSON(n))
		}
		return a.printJSON(list)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, n := range nodes {
		fmt.Fprintf(w, "%s\t%s\n", n.Target, n.ID)
	}
	return w.Flush()
}

// forgetKnownNode forgets a target by the name it is kept under, or by the host
// alone where that means the default port.
func (a *app) forgetKnownNode(file, target string) error {
	known, err := a.openKnownNodes(file)
	if err != nil {
		return err
	}
	names := []string{target}
	if p, err := parsePlace(target); err == nil {
		names = append(names, p.known())
	}
	for _, name := range names {
		found, err := known.Forget(name)
		if err != nil {
			return err
		}
		if found {
			_, err = fmt.Fprintf(a.stdout, "forgot %s\n", name)
			return err
		}
	}
	return errs.Usage("%s is not a known node", target).WithHint("etcha known-nodes lists them")
}
