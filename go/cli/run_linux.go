package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"etcha/go/config"
	"etcha/go/server"
)

// readyJSON is the line that `etcha run --json` prints when the node listens.
type readyJSON struct {
	ID   string `json:"id"`   // node ID
	URL  string `json:"url"`  // that this machine reaches it by
	Addr string `json:"addr"` // host:port that it listens on
}

func (a *app) runCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "run [--json]",
		Short: "Be a node: listen, and open shells for those who may",
		Long: `Be a node: listen on httpServer.listenAddress and open the shells of the
configured sources for those whose keys run.verifyKeys lists.

SIGHUP reads the configuration again. SIGTERM and SIGINT stop the node and leave
its sessions to the next one, for as long as the sources' resumeFor says; etcha
node stop ends them too. The log goes to stderr; stdout gets one line, when the
node is ready.`,
		GroupID: groupNode,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.runNode(c.Context(), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the line that says the node is ready as JSON")
	return c
}

func (a *app) runNode(ctx context.Context, asJSON bool) error {
	set, err := a.load(ctx)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to start the keeper: %w", err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg := set.Config
	warnUseless(set)
	return server.Run(ctx, server.Options{
		Config:      cfg,
		Reload:      a.reload,
		SetLogLevel: set.level.Set,
		Log:         set.log,
		Version:     a.env.Version,
		KeeperArgv:  keeperArgv(exe, cfg.Run.StateDir, cfg.CLI.LogFormat, cfg.CLI.LogLevel),
		Ready:       func(n server.NodeInfo) { a.ready(n, asJSON) },
	})
}

// warnUseless says when nobody can open anything on the node, which is rarely
// what was meant.
func warnUseless(set *settings) {
	shells, keys := false, len(set.Config.Run.VerifyKeys) > 0
	for _, s := range set.Config.Sources {
		shells = shells || s.Shell != nil
		keys = keys || len(s.VerifyKeys) > 0
	}
	switch {
	case !shells:
		set.log.Warn("no source has a shell, so none can be opened: set sources.NAME.shell")
	case !keys:
		set.log.Warn("no key is trusted, so nobody can open a shell: set run.verifyKeys")
	}
}

// reload reads the configuration again, from where it came.
func (a *app) reload(ctx context.Context) (*config.Config, error) {
	loaded, err := a.loadConfig(ctx)
	if err != nil {
		return nil, err
	}
	return loaded.Config, nil
}

// ready says on stdout that the node listens. Nobody may read it: a failure to
// write it changes nothing.
func (a *app) ready(n server.NodeInfo, asJSON bool) {
	if asJSON {
		_ = json.NewEncoder(a.stdout).Encode(readyJSON{ID: n.ID, URL: n.URL, Addr: n.Addr})
		return
	}
	fmt.Fprintf(a.stdout, "etcha: ready on %s, node %s\n", n.URL, n.ID)
}
