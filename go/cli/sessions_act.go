package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"etcha/go/client"
	"etcha/go/config"
	"etcha/go/errs"
	"etcha/go/wire"
)

// attach goes on with a session, or takes part in one.
type attach struct {
	access
	what    string // the command's name, for its errors
	role    wire.Role
	escape  string
	noStdin bool
	esc     escapes
}

func (a *app) attachCommand() *cobra.Command {
	t := &attach{access: access{app: a}, what: "attach"}
	return t.prepare(&cobra.Command{
		Use:   "attach [flags] [SESSION [TARGET]]",
		Short: "Go on with a session that was left, or is attached elsewhere",
		Long: `Go on with SESSION, which may be shortened to at least 4 characters of its ID. It
is searched for on TARGET, else on cli.defaultTarget, else on all configured
targets. Without SESSION it is the only detached session that your key opened.

What the program wrote last is shown first. Whoever was attached before is told,
and attached no more. Your key has to be the one that opened the session, or one
that the node's policy lets in. All else is as in etcha shell.`,
		Example: `etcha attach                  the one that was left
etcha attach Xk3vQ9 myhost    this one`,
		GroupID: groupUse,
		Args:    t.sessionAndTarget(0),
		RunE: func(c *cobra.Command, args []string) error {
			return t.run(c.Context(), args)
		},
	})
}

func (a *app) sessionsWatchCommand() *cobra.Command {
	t := &attach{access: access{app: a}, what: "sessions watch", role: wire.RoleViewer}
	return t.prepare(&cobra.Command{
		Use:   "watch [flags] SESSION [TARGET]",
		Short: "Watch a session",
		Long: `Show what a session shows, from what the node remembers on. Nothing can be typed
into it: q, Ctrl-C, or ~. at the start of a line leave it. Those in the session
are told that you watch. The terminal's size is its owner's.`,
		Args: t.sessionAndTarget(1),
		RunE: func(c *cobra.Command, args []string) error {
			return t.run(c.Context(), args)
		},
	})
}

func (a *app) sessionsJoinCommand() *cobra.Command {
	t := &attach{access: access{app: a}, what: "sessions join", role: wire.RoleJoined}
	return t.prepare(&cobra.Command{
		Use:   "join [flags] SESSION [TARGET]",
		Short: "Join a session: both type",
		Long: `Show what a session shows, and type into it beside its owner. Those in the
session are told that you are there. ~. at the start of a line leaves it; the
session goes on. The terminal's size is its owner's.`,
		Args: t.sessionAndTarget(1),
		RunE: func(c *cobra.Command, args []string) error {
			return t.run(c.Context(), args)
		},
	})
}

func (t *attach) prepare(c *cobra.Command) *cobra.Command {
	f := c.Flags()
	f.StringVarP(&t.escape, "escape", "e", "~", "the escape `CHAR`acter, ^X for Ctrl-X, or none")
	if t.role != wire.RoleViewer {
		f.BoolVarP(&t.noStdin, "no-stdin", "n", false, "give the program no input; leave stdin alone")
	}
	t.access.flags(f)
	c.ValidArgsFunction = t.completeSession
	return c
}

// sessionAndTarget checks the number of arguments.
func (t *attach) sessionAndTarget(least int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return errs.Usage("no session is named").WithHint("etcha sessions lists them; etcha %s SESSION", t.what)
		case len(args) > 2:
			return fmt.Errorf("unexpected argument %q", args[2])
		}
		return nil
	}
}

func (t *attach) run(ctx context.Context, args []string) error {
	var ok bool
	if t.esc, ok = parseEscape(t.escape); !ok {
		return errs.Usage("--escape is one character, ^ and a letter, or none; not %q", t.escape)
	}
	target := ""
	if len(args) > 1 {
		target = args[1]
	}
	q, err := t.newSearch(ctx, target)
	if err != nil {
		return err
	}
	defer q.close()
	var f found
	all := q.list(ctx)
	if len(args) == 0 {
		f, err = q.own(all)
	} else {
		f, err = q.one(all, args[0], t.role == "") // the last output and the status are still there
	}
	if err != nil {
		return err
	}
	return t.enter(ctx, q, f)
}

// enter is in the session until it ends or is left.
func (t *attach) enter(ctx context.Context, q *search, f found) error {
	r := t.app.newRemote(remoteOptions{
		log: q.set.log, where: f.node.where, esc: t.esc, noStdin: t.noStdin,
		endStatus: errs.ExitTransport, pty: f.info.Terminal, role: t.role,
	})
	if r.pty && r.tty == nil && !t.noStdin && t.role != wire.RoleViewer {
		t.app.warnNoTerminal()
	}
	if r.guest() {
		r.output.tame(taming{always: true, keys: t.role == wire.RoleJoined})
	}
	r.enter = func(ctx context.Context, c *client.Client) (*client.Session, error) {
		sess, err := t.begin(ctx, c, r, f)
		if err == nil && t.role == wire.RoleJoined && sess.Info().Role == wire.RoleViewer {
			r.role = wire.RoleViewer
			r.note("the node lets you watch only, not type; q leaves")
		} else if err == nil {
			t.greet(r, f)
		}
		return sess, err
	}
	c, err := q.another(f.node, r.notify)
	if err != nil {
		return err
	}
	defer c.Close()
	return r.run(ctx, c)
}

// greet tells a guest at a terminal whose session this is, and the way out.
func (t *attach) greet(r *remote, f found) {
	if !r.guest() || r.tty == nil {
		return
	}
	what, out := "watching", "q leaves"
	if r.role == wire.RoleJoined {
		what, out = "typing in", "it goes on when you leave"
		if !t.esc.off {
			out = t.esc.name() + ". leaves"
		}
	}
	r.note("%s the session of %s, source %s; %s", what, who(f.info.Subject, f.info.Key), f.info.Source, out)
}

// begin asks the node.
func (t *attach) begin(ctx context.Context, c *client.Client, r *remote, f found) (*client.Session, error) {
	switch t.role {
	case wire.RoleViewer:
		return c.Watch(ctx, f.info.Session, r.output, r.errors)
	case wire.RoleJoined:
		return c.Join(ctx, f.info.Session, r.output, r.errors)
	}
	q := client.AttachRequest{Source: f.info.Source, Session: f.info.Session}
	if r.pty && r.tty != nil {
		q.Cols, q.Rows = r.size()
	}
	sess, err := c.Attach(ctx, q, r.output, r.errors)
	if err != nil {
		return nil, err
	}
	from := sess.Info().OutputStart
	if f.info.Output > from {
		r.output.tame(taming{left: f.info.Output - from, keys: true})
	}
	r.stale = r.tty != nil && from > 0
	return sess, nil
}

func (a *app) sessionsKillCommand() *cobra.Command {
	x := &access{app: a}
	c := &cobra.Command{
		Use:   "kill [flags] SESSION… [TARGET]",
		Short: "End sessions",
		Long: `End sessions with everything that runs in them. Those in them are told by whom.

The last argument is the TARGET when it is the name of a configured target, or
has a dot or a colon in it.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errs.Usage("no session is named").WithHint("etcha sessions lists them")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return x.kill(c.Context(), args)
		},
		ValidArgsFunction: (&attach{access: access{app: a}}).completeSession,
	}
	x.flags(c.Flags())
	return c
}

func (x *access) kill(ctx context.Context, args []string) error {
	loaded, err := x.app.loadConfig(ctx)
	if err != nil {
		return err
	}
	sessions, target := splitTarget(loaded.Config, args)
	q, err := x.newSearch(ctx, target)
	if err != nil {
		return err
	}
	defer q.close()
	all := q.list(ctx)
	var doomed []found
	var failures []error
	for _, s := range sessions {
		f, err := q.one(all, s, false)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		doomed = append(doomed, f)
	}
	for _, f := range doomed {
		if err := f.node.client.Kill(ctx, f.info.Session); err != nil {
			failures = append(failures, err)
			continue
		}
		if isTerminal(x.app.env.Stderr) {
			x.app.etcha("ended session %s on %s", f.info.Session, f.node.where)
		}
	}
	if len(failures) == 1 {
		return failures[0]
	}
	return errors.Join(failures...)
}

// splitTarget takes the target from the end of a list of sessions.
func splitTarget(cfg *config.Config, args []string) (sessions []string, target string) {
	last := args[len(args)-1]
	if _, configured := cfg.Targets[last]; len(args) > 1 && (configured || strings.ContainsAny(last, ".:")) {
		return args[:len(args)-1], last
	}
	return args, ""
}
