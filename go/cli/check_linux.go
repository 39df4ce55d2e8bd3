package cli

import (
	"etcha/go/config"
	"etcha/go/server"
)

// checkNode finds what is wrong with a configuration on this machine, and says
// what will not do what it looks like.
func (a *app) checkNode(c *config.Config) error {
	warnings, err := server.Check(c)
	for _, w := range warnings {
		a.say("warning", a.paint(yellow, "warning:"), w)
	}
	return err
}
