//go:build !linux

package cli

import "etcha/go/config"

// checkNode has nothing to check: this machine cannot be a node.
func checkNode(*config.Config) error { return nil }
