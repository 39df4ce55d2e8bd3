//go:build !unix

package token

import "io/fs"

// Access lists, not modes, guard files here; the user's profile folder is
// private by default.
func checkOwnMode(string, fs.FileInfo) error { return nil }

func checkMode(string, fs.FileInfo) error { return nil }

// syncDir does nothing: names are durable with the file.
func syncDir(string) error { return nil }
