//go:build !unix

package config

// trusted has no owner to look at here.
func trusted(string) error { return nil }
