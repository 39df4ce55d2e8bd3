package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is the longest line of a help text, in characters.
const helpWidth = 80

func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show the help of a command",
		GroupID: groupMore,
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return a.group(c.Root(), args)
			}
			return found.Help()
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if found, rest, err := c.Root().Find(args); err == nil && len(rest) == 0 {
				for _, sub := range found.Commands() {
					if sub.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// help writes the help text of c to stdout.
func (a *app) help(c *cobra.Command, _ []string) {
	colour := a.wantsColour(isTerminal(a.env.Stdout))
	writeHelp(a.stdout, c, func(title string) string {
		if !colour {
			return title
		}
		return "\x1b[" + bold + "m" + title + "\x1b[0m"
	})
}

func writeHelp(w io.Writer, c *cobra.Command, title func(string) string) {
	long := c.Long
	if long == "" {
		long = c.Short + "."
	}
	fmt.Fprintf(w, "%s\n\n%s\n", strings.TrimSpace(long), title("Usage"))
	for _, line := range usageLines(c) {
		fmt.Fprintln(w, "  "+line)
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\n%s\n  %s\n", title("Examples"), strings.ReplaceAll(c.Example, "\n", "\n  "))
	}
	writeCommands(w, c, title)
	writeFlags(w, title("Flags"), c.LocalNonPersistentFlags())
	if c.HasParent() {
		writeFlags(w, title("Flags of every command"), c.InheritedFlags())
	} else {
		writeFlags(w, title("Flags of every command"), c.PersistentFlags())
	}
}

// usageLines is how c is called: what Use says, below the path of its parents.
func usageLines(c *cobra.Command) []string {
	parent := ""
	if c.HasParent() {
		parent = c.Parent().CommandPath() + " "
	}
	if len(c.Commands()) > 0 && c.Use == c.Name() {
		return []string{parent + c.Name() + " [flags] COMMAND …"}
	}
	return []string{parent + c.Use}
}

func writeCommands(w io.Writer, c *cobra.Command, title func(string) string) {
	groups := c.Groups()
	if len(groups) == 0 {
		groups = []*cobra.Group{{Title: "Commands"}}
	}
	for _, g := range groups {
		var rows [][2]string
		for _, sub := range ordered(c.Commands()) {
			if sub.GroupID == g.ID && sub.IsAvailableCommand() {
				rows = append(rows, [2]string{sub.Name(), sub.Short})
			}
		}
		writeRows(w, title(g.Title), rows)
	}
}

// order is that of the help text: what most people need comes first.
var order = [...]string{
	"shell", "attach", "sessions", "sources", "approve", "demo", "generate-keys", "known-nodes",
	"run", "node", "config", "audit", "docs", "version", "completion", "help",
	"watch", "join", "kill", "replay", "export",
}

// ordered is the commands in that order, others after them.
func ordered(commands []*cobra.Command) []*cobra.Command {
	place := func(c *cobra.Command) int {
		i := slices.Index(order[:], c.Name())
		if i < 0 {
			return len(order)
		}
		return i
	}
	sorted := slices.Clone(commands)
	slices.SortStableFunc(sorted, func(a, b *cobra.Command) int { return place(a) - place(b) })
	return sorted
}

func writeFlags(w io.Writer, heading string, flags *pflag.FlagSet) {
	var rows [][2]string
	visible(flags, func(f *pflag.Flag) {
		name, text := flagColumns(f)
		rows = append(rows, [2]string{name, text})
	})
	writeRows(w, heading, rows)
}

// flagColumns is how a flag is written and what it does.
func flagColumns(f *pflag.Flag) (name, text string) {
	value, text := pflag.UnquoteUsage(f)
	name = "    --" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", --" + f.Name
	}
	if value != "" {
		name += " " + value
	}
	return name, text
}

// writeRows writes two columns, the second one wrapped.
func writeRows(w io.Writer, heading string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", heading)
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	for _, r := range rows {
		lines := wrap(r[1], helpWidth-width-4)
		fmt.Fprintf(w, "  %-*s  %s\n", width, r[0], lines[0])
		for _, l := range lines[1:] {
			fmt.Fprintf(w, "  %-*s  %s\n", width, "", l)
		}
	}
}

// wrap breaks text at spaces into lines of at most width characters, where
// words allow; at least one line.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}
