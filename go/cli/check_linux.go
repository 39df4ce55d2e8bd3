package cli

import (
	"etcha/go/config"
	"etcha/go/server"
)

// checkNode finds what is wrong with a configuration on this machine.
func checkNode(c *config.Config) error { return server.Check(c) }
