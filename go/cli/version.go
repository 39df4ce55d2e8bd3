package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"etcha/go/wire"
)

// versionJSON is what `etcha version --json` prints.
type versionJSON struct {
	Version  string `json:"version"`
	Protocol int    `json:"protocol"` // wire.Protocol
	Go       string `json:"go"`
	Platform string `json:"platform"` // GOOS/GOARCH
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version [--json]",
		Short:   "Print the version of the program",
		GroupID: groupMore,
		RunE:    func(*cobra.Command, []string) error { return a.printVersion(asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) printVersion(asJSON bool) error {
	v := versionJSON{a.env.Version, wire.Protocol, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if asJSON {
		return a.printJSON(v)
	}
	_, err := fmt.Fprintf(a.stdout, "etcha %s (protocol %d, %s, %s)\n", v.Version, v.Protocol, v.Go, v.Platform)
	return err
}
