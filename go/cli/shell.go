package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"etcha"
	"etcha/go/config"
	"etcha/go/errs"
)

// shell is the subcommand: its flags, then what they and the configuration say.
type shell struct {
	app *app

	forcePTY, noPTY bool
	command         string
	process         string
	port            int
	insecure        bool
	nodeID          string
	knownNodes      string
	identity        string
	passphraseFD    int
	escape          string
	env             []string
	noStdin         bool

	source, target string
	args           []string
	esc            escapes
	vars           map[string]string // for the program
}

func (a *app) shellCommand() *cobra.Command {
	s := &shell{app: a}
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

In a terminal, at the start of a line:
` + escapeTable("~"),
		Example: `etcha shell debug myhost               a shell
etcha shell debug myhost -- uptime     one program
etcha shell debug 10.0.0.7:4001 <x.sh  a script from here`,
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
	f.IntVarP(&s.port, "port", "p", 0, "the node's `PORT` (default 4000)")
	f.StringVarP(&s.identity, "identity", "i", "", "sign with the private key in `FILE` (default build.signingKey)")
	f.IntVar(&s.passphraseFD, "passphrase-fd", -1, "read the key's passphrase from the file descriptor `N`")
	f.StringVar(&s.nodeID, "node-id", "", "the node's `ID`, where it is known beforehand")
	f.StringVar(&s.knownNodes, "known-nodes", "", "the `FILE` of nodes that were seen (default "+knownNodesDoc+")")
	f.BoolVar(&s.insecure, "insecure", false, "use plain HTTP: for a node on loopback or behind a proxy")
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
	signer, err := s.signer(set)
	if err != nil {
		return err
	}
	r := s.newRemote(set, where)
	o, err := s.clientOptions(set, where, signer)
	if err != nil {
		return err
	}
	o.Notify = r.notify
	client, err := etcha.NewClient(o)
	if err != nil {
		return err
	}
	defer client.Close()
	return r.run(ctx, client)
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
	case s.port < 0 || s.port > 65535:
		return errs.Usage("--port is a number from 1 to 65535, not %d", s.port)
	}
	return nil
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
	p, err := findPlace(cfg, s.target)
	if err != nil {
		return place{}, err
	}
	if s.port != 0 {
		p.port = s.port
	}
	if s.insecure {
		p.scheme = "http"
	}
	if s.nodeID != "" {
		p.nodeID = s.nodeID
	}
	return p, nil
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
