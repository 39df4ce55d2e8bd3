package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"etcha/go/errs"
	"etcha/go/logs"
)

// The groups of the help text.
const (
	groupUse  = "use"
	groupNode = "node"
	groupMore = "more"
)

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "etcha",
		Short: "Open remote shells over HTTPS, and be the node they are opened on",
		Long: `Etcha opens a shell on another machine over HTTPS, without SSH. The same
program is the node that shells are opened on.`,
		Example: `etcha demo                   see it work, on this machine alone
etcha shell debug myhost     open the source debug on the node myhost
etcha run                    be a node`,
		TraverseChildren: true, // so that -c may mean something else after a subcommand
		SilenceErrors:    true,
		SilenceUsage:     true,
	}
	version := root.Flags().Bool("version", false, "print the version of the program")
	root.RunE = func(c *cobra.Command, args []string) error {
		if *version && len(args) == 0 {
			return a.printVersion(false)
		}
		return a.group(c, args)
	}
	root.AddGroup(
		&cobra.Group{ID: groupUse, Title: "Use other nodes"},
		&cobra.Group{ID: groupNode, Title: "Be a node"},
		&cobra.Group{ID: groupMore, Title: "More"},
	)
	root.SetHelpCommand(a.helpCommand())
	root.SetCompletionCommandGroupID(groupMore)
	root.SetHelpFunc(a.help)
	root.SetFlagErrorFunc(flagError)
	root.Flags().SortFlags = false
	root.PersistentFlags().SortFlags = false
	root.Flags().StringVarP(&a.configPath, "config", "c", "", "the configuration `FILE` (default: etcha.jsonnet here or in the nearest parent, else /etc/etcha/etcha.jsonnet)")
	p := root.PersistentFlags()
	p.StringArrayVarP(&a.overrides, "set", "x", nil, "set one `key=value` of the configuration, such as run_stateDir=/srv/etcha; may be repeated")
	p.StringVarP(&a.logLevel, "log-level", "l", "", "log from this `LEVEL` on: debug, info, warn, error, none")
	p.StringVar(&a.logFormat, "log-format", "", "write the log as this `FORMAT`: human, kv, json")
	noError(root.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions(logs.Levels(), cobra.ShellCompDirectiveNoFileComp)))
	noError(root.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions(logs.Formats(), cobra.ShellCompDirectiveNoFileComp)))
	root.AddCommand(a.commands()...)
	root.InitDefaultCompletionCmd() // now, so that it is prepared like the others
	for _, c := range root.Commands() {
		a.prepare(c)
	}
	root.Flags().BoolP("help", "h", false, "show this help")
	return root
}

// prepare gives each subcommand what all have: --config in its own place too,
// and usage errors that exit as such.
func (a *app) prepare(c *cobra.Command) {
	c.Flags().SortFlags = false
	if c.Args == nil {
		c.Args = noArgs
	}
	check := c.Args
	c.Args = func(c *cobra.Command, args []string) error { return usage(c, check(c, args)) }
	if c.RunE == nil {
		c.RunE = a.group
		c.Args = cobra.ArbitraryArgs
	}
	if c.Flags().Lookup("config") == nil {
		short := "c"
		if c.Flags().ShorthandLookup("c") != nil {
			short = ""
		}
		c.Flags().StringVarP(&a.configPath, "config", short, a.configPath, "the configuration `FILE`")
		c.Flags().Lookup("config").Hidden = true
	}
	c.Flags().BoolP("help", "h", false, "show this help")
	for _, sub := range c.Commands() {
		a.prepare(sub)
	}
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("unexpected argument %q", args[0])
}

// group is the body of a command that only holds others.
func (a *app) group(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	e := errs.Usage("unknown command %q of %s", args[0], c.CommandPath())
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return e.WithHint("did you mean %s?", strings.Join(near, " or "))
	}
	return e.WithHint("%s -h lists the commands", c.CommandPath())
}

// flagKinds are the values of flags in words, by the names that pflag has for
// their types.
var flagKinds = [...][2]string{
	{"int", "a number"}, {"float64", "a number"}, {"duration", "a duration, such as 90s or 5m"}, {"bool", "true or false"},
}

// flagError explains a flag that is not known, or whose value is of another kind.
func flagError(c *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		for _, k := range flagKinds {
			if f := value.GetFlag(); f.Value.Type() == k[0] {
				return usage(c, fmt.Errorf("--%s is %s, not %q", f.Name, k[1], value.GetValue()))
			}
		}
	}
	return usage(c, err)
}

// usage makes a usage error of err, with the command whose help to read.
func usage(c *cobra.Command, err error) error {
	if err == nil || errs.ExitOf(err) == errs.ExitUsage {
		return err
	}
	return errs.Usage("%s", err).WithHint("%s -h shows how it is used", c.CommandPath())
}

// visible calls f for each flag that the help shows, as they were declared.
func visible(flags *pflag.FlagSet, f func(*pflag.Flag)) {
	flags.SortFlags = false
	flags.VisitAll(func(fl *pflag.Flag) {
		if !fl.Hidden && fl.Deprecated == "" {
			f(fl)
		}
	})
}
