package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"etcha/go/config"
	"etcha/go/errs"
)

// originJSON is one setting in what `etcha config --origin --json` prints.
type originJSON struct {
	Key    string          `json:"key"`
	Value  json.RawMessage `json:"value"`
	Origin string          `json:"origin"`
}

type configFlags struct{ json, origin, env bool }

func (a *app) configCommand() *cobra.Command {
	var f configFlags
	c := &cobra.Command{
		Use:   "config [flags] [COMMAND]",
		Short: "Show or check the configuration",
		Long: `Show the configuration that is in force: defaults, file, environment and -x merged.
Secrets are masked.`,
		Example: `etcha config                       as JSON
etcha config --origin              each setting and where it comes from
etcha config check etcha.jsonnet   everything that is wrong with a file`,
		GroupID: groupMore,
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return a.group(c, args)
			}
			loaded, err := config.Load(c.Context(), a.loadOptions())
			if err != nil {
				return err
			}
			if f.origin {
				return a.showOrigins(loaded, f)
			}
			text, err := loaded.Masked(f.env)
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
	c.Flags().BoolVar(&f.origin, "origin", false, "show where each setting comes from")
	c.Flags().BoolVar(&f.env, "show-env", false, "show the values of environment variables too")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON (without --origin it always is)")
	c.AddCommand(a.configCheckCommand())
	return c
}

func (a *app) showOrigins(loaded *config.Loaded, f configFlags) error {
	values, err := loaded.Values(f.env)
	if err != nil {
		return err
	}
	if f.json {
		list := make([]originJSON, 0, len(values))
		for _, v := range values {
			list = append(list, originJSON{v.Key, json.RawMessage(v.JSON), v.Origin.String()})
		}
		return a.printJSON(list)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, v := range values {
		fmt.Fprintf(w, "%s\t%s\t%s\n", v.Key, v.JSON, v.Origin)
	}
	return w.Flush()
}

func (a *app) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say everything that is wrong with a configuration",
		Long: `Say everything that is wrong with the configuration: FILE, or the one that is found,
with the environment and -x; also the accounts, keys and certificates that it names, as
this machine has them. The exit status is 1 when something is wrong.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o := a.loadOptions()
			if len(args) > 0 {
				o.Path = args[0]
			}
			loaded, err := config.Load(c.Context(), o)
			if err != nil {
				a.report(err)
				return exit(errs.ExitOther)
			}
			if err := a.checkNode(loaded.Config); err != nil {
				a.report(err)
				return exit(errs.ExitOther)
			}
			where := loaded.Path
			if where == "" {
				where = "no configuration file was found; what is left (defaults, environment, -x)"
			}
			_, err = fmt.Fprintf(a.stdout, "%s: no problems\n", where)
			return err
		},
	}
}
