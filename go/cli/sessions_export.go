package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"etcha/go/errs"
	"etcha/go/record"
)

type exportFlags struct{ format, out, dir string }

func (a *app) sessionsExportCommand() *cobra.Command {
	var f exportFlags
	c := &cobra.Command{
		Use:   "export [flags] SESSION|FILE",
		Short: "Turn a recording into another format",
		Long: `Turn the recording of a session on this node, or one in a file, into another
format: asciicast v3 or v2, txt (what was on the screen as lines, without control
sequences), or raw (the output as it was, with all of them).`,
		Example: `etcha sessions export Xk3v --format txt | less
etcha sessions export Xk3v --format v2 -o session.cast`,
		Args:              oneRecording,
		ValidArgsFunction: a.completeRecording(&f.dir),
		RunE: func(c *cobra.Command, args []string) error {
			return a.exportRecording(c, args[0], f)
		},
	}
	c.Flags().StringVarP(&f.format, "format", "f", string(record.ExportV3), "the `FORMAT`: "+strings.Join(record.ExportFormats(), ", "))
	c.Flags().StringVarP(&f.out, "output", "o", "", "write to `FILE` (default: stdout)")
	c.Flags().StringVar(&f.dir, "dir", "", "the `FOLDER` of recordings (default: that of the configuration)")
	noError(c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(record.ExportFormats(), cobra.ShellCompDirectiveNoFileComp)))
	return c
}

func (a *app) exportRecording(c *cobra.Command, name string, f exportFlags) error {
	if !slices.Contains(record.ExportFormats(), f.format) {
		return errs.Usage("--format is one of %s, not %q", strings.Join(record.ExportFormats(), ", "), f.format)
	}
	if f.format == string(record.ExportRaw) && f.out == "" && isTerminal(a.env.Stdout) {
		return errs.Usage("raw output would make this terminal do what the recorded session told its own").
			WithHint("-o FILE writes it to a file; etcha sessions replay shows it")
	}
	in, err := a.openRecording(c.Context(), name, f.dir)
	if err != nil {
		return err
	}
	defer in.Close()
	err = a.writeTo(f.out, func(w io.Writer) error {
		err := record.Export(w, in, record.ExportFormat(f.format))
		if errors.Is(err, io.ErrUnexpectedEOF) {
			a.warnCut(name)
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("export recording %s: %w", name, err)
	}
	return nil
}

// warnCut says that a recording has no end.
func (a *app) warnCut(name string) {
	a.say("warning", a.paint(yellow, "warning:"), fmt.Sprintf("recording %s ends in the middle of a line: it is still being written, or was cut off", name))
}

// writeTo writes to a file that is complete or not there, or to stdout where
// path is empty or "-".
func (a *app) writeTo(path string, write func(io.Writer) error) (err error) {
	if path == "" || path == "-" {
		return write(a.stdout)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // a device or a pipe
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if gone := os.Remove(f.Name()); err != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
