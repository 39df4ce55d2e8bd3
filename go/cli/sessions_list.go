package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"etcha/go/errs"
	"etcha/go/wire"
)

// shortID is how much of a session's ID a table shows, at least.
const shortID = 8

// sessionsFlags are those of the list.
type sessionsFlags struct {
	access
	follow, json bool
}

// sessionsCommand holds what is done with sessions, and lists them itself.
func (a *app) sessionsCommand() *cobra.Command {
	c := a.sessionsListCommand("sessions")
	c.GroupID = groupUse
	list := a.sessionsListCommand("list") // for those who expect it
	list.Hidden = true
	c.AddCommand(
		list, a.sessionsWatchCommand(), a.sessionsJoinCommand(), a.sessionsKillCommand(),
		a.sessionsReplayCommand(), a.sessionsExportCommand(),
	)
	return c
}

func (a *app) sessionsListCommand(name string) *cobra.Command {
	f := &sessionsFlags{access: access{app: a}}
	c := &cobra.Command{
		Use:   name + " [flags] [TARGET]",
		Short: "List the sessions on nodes; watch, join, end and replay them",
		Long: `List the sessions on TARGET that your key may see; without TARGET on
cli.defaultTarget, else on all configured targets. A target that cannot be asked
is named on stderr, and the exit status is 255; the others are listed.`,
		Example: `etcha sessions                        on all targets
etcha sessions -f myhost              live
etcha sessions watch Xk3vQ9 myhost    look over somebody's shoulder`,
		Args:              f.atMostTarget,
		ValidArgsFunction: a.completeTarget(0),
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.Context(), first(args))
		},
	}
	c.Flags().BoolVarP(&f.follow, "follow", "f", false, "stay, and show what changes")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON; with -f a line for each event")
	f.access.flags(c.Flags())
	return c
}

// atMostTarget explains a command that was mistyped.
func (f *sessionsFlags) atMostTarget(c *cobra.Command, args []string) error {
	if len(args) < 2 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return errs.Usage("unknown command %q of %s", args[0], c.CommandPath()).
			WithHint("did you mean %s?", strings.Join(near, " or "))
	}
	return fmt.Errorf("unexpected argument %q", args[1])
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (f *sessionsFlags) run(ctx context.Context, target string) error {
	q, err := f.newSearch(ctx, target)
	if err != nil {
		return err
	}
	defer q.close()
	if f.follow {
		return f.followAll(ctx, q)
	}
	all := q.list(ctx)
	if f.json {
		err = f.printSessions(q, all)
	} else {
		err = writeSessions(f.app.stdout, all, len(q.nodes) > 1)
		if len(all) == 0 && isTerminal(f.app.env.Stdout) && q.nodes.failed(q.set.Config) == nil {
			f.app.etcha("no sessions that your key may see")
		}
	}
	if err != nil {
		return err
	}
	return q.nodes.failed(q.set.Config)
}

// targetSessionsJSON is what `etcha sessions --json` prints for a node.
type targetSessionsJSON struct {
	Target   string             `json:"target"`
	Node     string             `json:"node,omitempty"`
	Error    string             `json:"error,omitempty"` // why it could not be asked
	Sessions []wire.SessionInfo `json:"sessions"`
}

func (f *sessionsFlags) printSessions(q *search, all []found) error {
	list := make([]targetSessionsJSON, 0, len(q.nodes))
	for _, n := range q.nodes {
		t := targetSessionsJSON{Target: n.where.String(), Node: n.id, Sessions: []wire.SessionInfo{}}
		if n.err != nil {
			t.Error = n.err.Error()
		}
		for _, s := range all {
			if s.node == n {
				t.Sessions = append(t.Sessions, s.info)
			}
		}
		list = append(list, t)
	}
	return f.app.printJSON(list)
}

// writeSessions writes a table; nothing where there are none.
func writeSessions(w io.Writer, all []found, targets bool) error {
	if len(all) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	heading := "SESSION\tSOURCE\tUSER\tWHO\tFROM\tSTATE\tAGE\tIDLE\tMEMBERS"
	if targets {
		heading = "TARGET\t" + heading
	}
	fmt.Fprintln(t, heading)
	id := shortest(all)
	now := time.Now()
	for _, f := range all {
		if targets {
			fmt.Fprintf(t, "%s\t", f.node.where)
		}
		fmt.Fprintln(t, sessionRow(f.info, id, now))
	}
	return t.Flush()
}

// sessionRow is the columns of a session, with id characters of its ID.
func sessionRow(i wire.SessionInfo, id int, now time.Time) string {
	return strings.Join([]string{
		i.Session[:min(id, len(i.Session))], i.Source, i.User, who(i.Subject, i.Key), cmp.Or(i.Addr, "-"),
		sessionState(i), since(i.Started, now), since(cmp.Or(i.Active, i.Started), now), members(i.Members),
	}, "\t")
}

func sessionState(i wire.SessionInfo) string {
	state := string(i.State)
	if i.Recording != "" {
		state += ", recorded"
	}
	return state
}

// who names a person by the label of their own choice and by the key, which
// counts.
func who(subject, key string) string {
	if len(key) > len("SHA256:")+shortID && strings.HasPrefix(key, "SHA256:") {
		key = key[:len("SHA256:")+shortID] + "…"
	}
	if subject == "" || subject == key {
		return cmp.Or(key, "-")
	}
	return subject + " (" + key + ")"
}

func members(all []wire.Member) string {
	var texts []string
	for _, m := range all {
		what := "watches"
		if m.Role == wire.RoleJoined {
			what = "joined"
		}
		texts = append(texts, cmp.Or(m.Subject, m.Key)+" "+what)
	}
	return cmp.Or(strings.Join(texts, ", "), "-")
}

// since is how long ago a Unix time in milliseconds was, in its largest unit
// and the next.
func since(ms int64, now time.Time) string {
	if ms == 0 {
		return "-"
	}
	d := max(0, now.Sub(time.UnixMilli(ms)))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// shortest is how many characters of their IDs tell sessions apart.
func shortest(all []found) int {
	whole := map[string]bool{} // one may be there twice: under two names of its node
	for _, f := range all {
		whole[f.info.Session] = true
	}
	for n := shortID; ; n++ {
		seen, long := map[string]bool{}, false
		for id := range whole {
			seen[id[:min(n, len(id))]] = true
			long = long || len(id) > n
		}
		if len(seen) == len(whole) || !long {
			return n
		}
	}
}
