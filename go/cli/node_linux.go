package cli

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"etcha/go/server"
	"etcha/go/token"
)

// stopWait is how long etcha node stop waits for the node to be gone.
const stopWait = 30 * time.Second

func (a *app) nodeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "node",
		Short: "Show or stop the node of this machine",
		Long: `Show or stop the node that runs on this machine with this configuration. Its
run.stateDir is where it is found.`,
		GroupID: groupNode,
	}
	c.AddCommand(a.nodeShowCommand(), a.nodeIDCommand(), a.nodeStopCommand())
	return c
}

func (a *app) nodeShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show [--json]",
		Short: "Show the running node: its ID, address, sessions",
		RunE: func(c *cobra.Command, _ []string) error {
			set, err := a.load(c.Context())
			if err != nil {
				return err
			}
			st, err := server.NodeStatus(c.Context(), set.Config.Run.StateDir)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(st)
			}
			return a.printStatus(st)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) printStatus(st server.Status) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "node\t%s\n", st.ID)
	fmt.Fprintf(w, "listens on\t%s\n", st.Addr)
	fmt.Fprintf(w, "sessions\t%d\n", st.Sessions)
	fmt.Fprintf(w, "since\t%s (%s)\n", st.Started.Local().Format(time.DateTime), time.Since(st.Started).Round(time.Second))
	fmt.Fprintf(w, "version\t%s\n", st.Version)
	fmt.Fprintf(w, "process\t%d\n", st.PID)
	return w.Flush()
}

func (a *app) nodeIDCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "id",
		Short: "Print the node's ID; its identity is made if there is none yet",
		Long: `Print the ID that clients pin: the fingerprint of the node's identity key. The
key is made in run.stateDir if there is none yet, as etcha run would, so that the
ID can be given to clients (targets.NAME.nodeID) before the node first runs.`,
		RunE: func(c *cobra.Command, _ []string) error {
			set, err := a.load(c.Context())
			if err != nil {
				return err
			}
			id, err := token.LoadIdentity(set.Config.Run.StateDir)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, id.ID())
			return err
		},
	}
}

func (a *app) nodeStopCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "Stop the running node and end its sessions",
		RunE: func(c *cobra.Command, _ []string) error {
			set, err := a.load(c.Context())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), stopWait)
			defer cancel()
			return server.StopNode(ctx, set.Config.Run.StateDir)
		},
	}
}
