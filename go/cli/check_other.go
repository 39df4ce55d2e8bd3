//go:build !linux

package cli

import "etcha/go/config"

// checkNode has nothing to check: this machine cannot be a node.
func (a *app) checkNode(*config.Config) error { return nil }
