//go:build !linux

package resource

import "os"

// keepAttributes does nothing: there are none that are known here.
func keepAttributes(_, _ *os.File) error { return nil }
