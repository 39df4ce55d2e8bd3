package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"etcha/go/client"
	"etcha/go/config"
	"etcha/go/errs"
	"etcha/go/wire"
)

// shell is the subcommand: its flags, then what they and the configuration say.
type shell struct {
	access

	forcePTY, noPTY bool
	command         string
	process         string
	escape          string
	env             []string
	noStdin         bool
	detach          bool
	approvals       string
	endStatus       int  // of the escape sequence for the end
	noDetach        bool // the escape sequence that leaves the session is refused

	source, target string
	args           []string
	esc            escapes
	vars           map[string]string // for the program
}

func (a *app) shellCommand() *cobra.Command {
	s := &shell{access: access{app: a}}
	c := &cobra.Command{
		Use:   "shell [flags] [SOURCE [TARGET]] [-- COMMAND…]",
		Short: "Open a shell on another node",
		Long: `Open the shell of SOURCE on the node TARGET.

SOURCE is one of the node's sources; without it cli.defaultSource counts. TARGET
is a name from targets in the configuration, or host[:port]; without it
cli.defaultTarget counts. COMMAND and its arguments run instead of the source's
shell, directly; -c takes a command line.

When stdin and stdout are terminals the shell gets a terminal. Otherwise it is
connected by pipes, its stderr apart. The exit status is the remote program's:
128+n where signal n ended it, 255 where the node refused, was not reached or was
lost.

A lost connection is made again, and the session goes on where it was. With
--detach the program is started and left running; its session ID is printed, and
etcha attach goes on with it.

In a terminal, at the start of a line:
` + escapeTable("~"),
		Example: `etcha shell debug myhost               a shell
etcha shell debug myhost -- uptime     one program
etcha shell debug 10.0.0.7:4001 <x.sh  a script from here
etcha shell --detach debug myhost      a shell to come back to`,
		GroupID: groupUse,
		Args:    cobra.ArbitraryArgs,

		ValidArgsFunction: a.completeShell,
		RunE: func(c *cobra.Command, args []string) error {
			return s.run(c.Context(), args, c.ArgsLenAtDash())
		},
	}
	f := c.Flags()
	f.StringVarP(&s.command, "command", "c", "", "run this `COMMAND` line instead of the source's shell")
	f.BoolVarP(&s.forcePTY, "terminal", "t", false, "give the shell a terminal, wherever stdin and stdout lead")
	f.BoolVarP(&s.noPTY, "no-terminal", "T", false, "give the shell no terminal")
	f.BoolVarP(&s.noStdin, "no-stdin", "n", false, "give the shell no input; leave stdin alone")
	f.StringVar(&s.process, "process", "", "start this `PROCESS` of the source")
	f.StringArrayVar(&s.env, "env", nil, "give the shell the variable `NAME[=VALUE]`, where the source accepts it; may be repeated")
	f.StringVarP(&s.escape, "escape", "e", "~", "the escape `CHAR`acter, ^X for Ctrl-X, or none")
	f.BoolVarP(&s.detach, "detach", "d", false, "start it, print the session's ID, and leave it running; the source's detachFor says for how long")
	f.StringVar(&s.approvals, "approvals", "", "read the counter-signatures that the source requires from `FILE`, which may be a FIFO")
	s.access.flags(f)
	f.IntVar(&s.endStatus, "end-status", errs.ExitTransport, "the exit `STATUS` of the escape sequence for the end")
	noError(f.MarkHidden("end-status"))
	f.BoolVar(&s.noDetach, "no-detach", false, "refuse the escape sequence that leaves the session")
	noError(f.MarkHidden("no-detach"))
	return c
}

func (s *shell) run(ctx context.Context, args []string, dash int) error {
	if err := s.parse(args, dash); err != nil {
		return err
	}
	set, err := s.app.load(ctx)
	if err != nil {
		return err
	}
	where, err := s.choose(set.Config)
	if err != nil {
		return err
	}
	if s.vars, err = s.variables(); err != nil {
		return err
	}
	key, err := s.privateKey(set)
	if err != nil {
		return err
	}
	r := s.newRemote(set, where)
	asked := s.app.newApprovals(s.approvals)
	defer asked.close()
	c, err := s.reach(set, where, key, client.Options{
		Notify: r.notify,
		Approve: func(ctx context.Context, n client.ApprovalNeeded) ([]string, error) {
			return asked.ask(ctx, n.Request, n.Need, n.Have, n.Why)
		},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if s.detach {
		return s.leave(ctx, r, c)
	}
	return withNearTarget(set.Config, where, r.run(ctx, c))
}

// newRemote decides between terminal and pipes.
func (s *shell) newRemote(set *settings, where place) *remote {
	env := s.app.env
	stdin, stdout := isTerminal(env.Stdin), isTerminal(env.Stdout)
	if s.forcePTY && !stdin && !s.detach {
		s.app.warnNoTerminal()
	}
	r := s.app.newRemote(remoteOptions{
		log: set.log, where: where, esc: s.esc, noStdin: s.noStdin, endStatus: s.endStatus, noDetach: s.noDetach,
		// Of a session that is left at once stdout gets the ID only.
		pty: !s.noPTY && (s.forcePTY || stdin && (stdout || s.detach) && !s.noStdin),
	})
	r.enter = func(ctx context.Context, c *client.Client) (*client.Session, error) {
		return c.Open(ctx, s.source, s.request(r), r.output, r.errors)
	}
	return r
}

// request says what to start.
func (s *shell) request(r *remote) wire.Shell {
	q := wire.Shell{
		Process: s.process, Command: s.command, Args: s.args, Env: s.vars,
		PTY: r.pty, Detach: s.detach,
	}
	if r.pty {
		q.Term = cmp.Or(s.app.getenv("TERM"), defaultTerm)
		q.Cols, q.Rows = r.size()
	}
	return q
}

// leave starts the program and leaves it running.
func (s *shell) leave(ctx context.Context, r *remote, c *client.Client) error {
	if err := r.begin(ctx, c); err != nil {
		return err
	}
	defer r.signals.stop()
	info := r.sess.Info()
	r.finished.Store(true) // output is for who attaches
	r.output.start()
	r.errors.start()
	if err := r.sess.Detach(); err != nil {
		s.app.say("warning", s.app.paint(yellow, "warning:"), err.Error())
	}
	if _, err := fmt.Fprintln(s.app.stdout, info.Session); err != nil {
		return err
	}
	if isTerminal(s.app.env.Stderr) {
		s.app.etcha("runs on %s, for up to %s with nobody attached\netcha attach %s goes on with it",
			r.where, lasting(info.ResumeFor), r.attachArgs())
	}
	return nil
}

// parse takes the arguments apart and checks the flags that need nothing else.
func (s *shell) parse(args []string, dash int) error {
	names := args
	if dash >= 0 {
		names, s.args = args[:dash], args[dash:]
	}
	if len(names) > 2 {
		return errs.Usage("unexpected argument %q", names[2]).
			WithHint("a program to run stands after --: etcha shell %s %s -- %s", names[0], names[1], strings.Join(names[2:], " "))
	}
	if len(names) > 0 {
		s.source = names[0]
	}
	if len(names) > 1 {
		s.target = names[1]
	}
	var ok bool
	s.esc, ok = parseEscape(s.escape)
	switch {
	case !ok:
		return errs.Usage("--escape is one character, ^ and a letter, or none; not %q", s.escape)
	case s.forcePTY && s.noPTY:
		return errs.Usage("-t and -T exclude each other")
	case s.command != "" && len(s.args) > 0:
		return errs.Usage("-c and a program after -- exclude each other")
	case s.detach && s.noStdin:
		return errs.Usage("-n is of no use with --detach: the program's input waits for who attaches")
	}
	return s.checkFlags()
}

// choose fills in the default source and target and finds the node.
func (s *shell) choose(cfg *config.Config) (place, error) {
	given := s.source
	if s.source == "" {
		s.source = cfg.CLI.DefaultSource
	}
	if s.target == "" {
		s.target = cfg.CLI.DefaultTarget
	}
	if s.source == "" {
		return place{}, errs.Usage("no source is named, and cli.defaultSource is not set").
			WithHint("etcha shell SOURCE TARGET, such as: etcha shell debug myhost")
	}
	if s.target == "" {
		return place{}, s.noTarget(cfg, given)
	}
	return s.place(cfg, s.target)
}

func (s *shell) noTarget(cfg *config.Config, given string) error {
	e := errs.Usage("no target is named, and cli.defaultTarget is not set")
	if _, ok := cfg.Targets[given]; ok {
		return e.WithHint("%s is a target; the source stands before it: etcha shell SOURCE %s", given, given)
	}
	if names := targetNames(cfg); names != "" {
		return e.WithHint("etcha shell %s TARGET; configured targets: %s", s.source, names)
	}
	return e.WithHint("etcha shell %s TARGET, where TARGET is a host or a name from targets", s.source)
}
