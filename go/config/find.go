package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// FileName is the configuration's file name.
const FileName = "etcha.jsonnet"

// SystemPath is the file that counts when no folder has one.
func SystemPath() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("ProgramData"), "etcha", FileName)
	}
	return filepath.Join("/etc/etcha", FileName)
}

// FindUp is the path of name in dir or the nearest folder above it that has one,
// as a file; empty: none has.
func FindUp(dir, name string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	for {
		path := filepath.Join(dir, name)
		fi, err := os.Stat(path)
		switch {
		case err == nil && !fi.IsDir():
			return path, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
			return "", fmt.Errorf("find %s: %w", name, err)
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", nil
		}
		dir = up
	}
}

// find is the file to read, empty when there is none. A file that was not named
// but found beside or above the working directory must be the user's or root's
// and not everybody's to write: configuration is a program, and a folder that
// others may write, like /tmp, must not be able to plant one.
func (o LoadOptions) find() (string, error) {
	if o.Path != "" {
		return o.Path, nil
	}
	dir := o.Dir
	if dir == "" {
		dir = "."
	}
	path, err := FindUp(dir, FileName)
	if err != nil || path != "" {
		if err == nil {
			err = trusted(path)
		}
		return path, err
	}
	system := o.System
	if system == "" {
		system = SystemPath()
	}
	if _, err := os.Stat(system); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return system, nil
}

var errUntrusted = errors.New("found but not read; give it with -c to use it all the same")
