package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"etcha/go/config"
	"etcha/go/errs"
	"etcha/go/record"
)

// maxNamed is how many recordings a hint names.
const maxNamed = 5

// recordingsDir is where the node of this machine keeps its recordings.
func recordingsDir(run config.Run) (string, error) {
	dir := run.Recordings.Dir
	if dir == "" {
		dir = filepath.Join(run.StateDir, "recordings")
	}
	return filepath.Abs(dir)
}

// openRecording opens the recording that a person means: a file, or what
// [record.Find] finds in dir (empty: that of the configuration). The caller
// closes it.
func (a *app) openRecording(ctx context.Context, name, dir string) (*os.File, error) {
	path := name
	if !strings.ContainsRune(name, filepath.Separator) && !isFile(name) {
		var err error
		if path, err = a.findRecording(ctx, name, dir); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, noRecording(err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errs.Usage("%s is not a file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func (a *app) findRecording(ctx context.Context, name, dir string) (string, error) {
	if dir == "" {
		loaded, err := a.loadConfig(ctx)
		if err != nil {
			return "", err
		}
		if dir, err = recordingsDir(loaded.Config.Run); err != nil {
			return "", err
		}
	}
	e, err := record.Find(dir, name)
	if err != nil {
		return "", noRecording(err)
	}
	return filepath.Join(dir, e.File), nil
}

// noRecording says what to do about a recording that cannot be had.
func noRecording(err error) error {
	var many *record.AmbiguousError
	switch {
	case errors.As(err, &many):
		var names []string
		for _, e := range many.Found[:min(len(many.Found), maxNamed)] {
			names = append(names, e.File)
		}
		return errs.Usage("%s", err).WithHint("say more of it: %s", strings.Join(names, ", "))
	case errors.Is(err, fs.ErrPermission):
		return (&errs.Error{Exit: errs.ExitOther, Err: err}).WithHint("recordings belong to the user that the node runs as: try sudo")
	case errors.Is(err, fs.ErrNotExist):
		return errs.Usage("%s", err).WithHint("give a session's ID, the beginning of one, or a file; --dir is another folder")
	}
	return err
}

// completeRecording completes the names of recordings.
func (a *app) completeRecording(dir *string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		in := *dir
		if in == "" {
			loaded, err := a.loadConfig(c.Context())
			if err != nil {
				return nil, cobra.ShellCompDirectiveDefault
			}
			if in, err = recordingsDir(loaded.Config.Run); err != nil {
				return nil, cobra.ShellCompDirectiveDefault
			}
		}
		all, err := record.List(in)
		if err != nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		var names []cobra.Completion
		for _, e := range all {
			names = append(names, cobra.CompletionWithDesc(e.File, fmt.Sprintf("%s, %d bytes", e.Source, e.Size)))
		}
		return names, cobra.ShellCompDirectiveDefault
	}
}

// oneRecording is the argument of the commands here.
func oneRecording(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return errors.New("which recording? its session or its file is missing")
	case 1:
		return nil
	}
	return fmt.Errorf("unexpected argument %q", args[1])
}
