//go:build unix

package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that lies about in a folder that others may write must not be taken:
// configuration runs commands and says whom to trust.
func TestFoundFileMustBeOurs(t *testing.T) {
	dir := write(t, map[string]string{FileName: "{}", "sub/x": "", "own": "{}"})
	file := filepath.Join(dir, FileName)
	o := LoadOptions{Dir: filepath.Join(dir, "sub"), System: filepath.Join(dir, "none"), Environ: []string{"HOME=/h"}}
	load(t, o)

	refused := func(why string) {
		t.Helper()
		l, err := Load(context.Background(), o)
		if !errors.Is(err, errUntrusted) || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), file) {
			t.Errorf("error %v, want %q about %s", err, why, file)
		}
		if l.Changed() {
			t.Error("the refused file counts as changed")
		}
		named := o
		named.Path = file
		load(t, named)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	refused("everybody may write it")
	if err := os.Chmod(file, 0o664); err != nil {
		t.Fatal(err)
	}
	load(t, o)

	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	if err := os.Chown(file, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	refused("it belongs to user 12345")
	t.Setenv("SUDO_UID", "12345")
	load(t, o)
	t.Setenv("SUDO_UID", "12346")
	refused("it belongs to user 12345")

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "own"), file); err != nil {
		t.Fatal(err)
	}
	load(t, o)
	if err := os.Lchown(file, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	refused("it belongs to user 12345")
}
