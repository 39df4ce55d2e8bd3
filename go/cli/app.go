package cli

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// app is one run of the program: its surroundings and the flags of the root.
type app struct {
	env    Env
	stdout io.Writer
	stderr *console
	colour bool // stderr shows colours

	configPath string
	overrides  []string
	logLevel   string
	logFormat  string
}

func newApp(env Env) *app {
	if env.Version == "" {
		env.Version = "dev"
	}
	a := &app{env: env, stdout: env.Stdout, stderr: &console{w: env.Stderr}}
	a.colour = a.wantsColour(isTerminal(env.Stderr))
	return a
}

// getenv is the value of the variable name, "" when it is not set.
func (a *app) getenv(name string) string {
	value, _ := a.lookupEnv(name)
	return value
}

// lookupEnv is the value of the variable name, and whether it is set.
func (a *app) lookupEnv(name string) (string, bool) {
	for i := len(a.env.Environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(a.env.Environ[i], name+"="); ok {
			return v, true
		}
	}
	return "", false
}

func (a *app) execute(ctx context.Context, args []string) error {
	root := a.rootCommand()
	root.SetArgs(append([]string{}, args[min(1, len(args)):]...)) // never nil: cobra would take os.Args
	root.SetIn(a.env.Stdin)
	root.SetOut(a.env.Stdout)
	root.SetErr(a.env.Stderr)
	return root.ExecuteContext(ctx)
}

// commands are the subcommands.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.shellCommand(),
		a.attachCommand(),
		a.sessionsCommand(),
		a.sourcesCommand(),
		a.approveCommand(),
		a.knownNodesCommand(),
		a.runCommand(),
		a.nodeCommand(),
		a.auditCommand(),
		a.generateKeysCommand(),
		a.configCommand(),
		a.demoCommand(),
		a.docsCommand(),
		a.versionCommand(),
	}
}
