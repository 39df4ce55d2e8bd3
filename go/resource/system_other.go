//go:build !unix

package resource

import (
	"io/fs"
	"os"
)

// owner is not known here.
func owner(fs.FileInfo) (uid, gid int) { return -1, -1 }

const noFollow, noBlock = 0, 0

// lock takes nothing: a file that is open cannot be removed here.
func lock(*os.File, bool) (bool, error) { return true, nil }

// syncDir does nothing: names are durable with the file.
func syncDir(*os.File) error { return nil }
