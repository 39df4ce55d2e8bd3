package command

import (
	"context"
	"time"
)

// Kind is which of a command's scripts one is.
type Kind string

// The kinds of scripts.
const (
	KindCheck  Kind = "check"
	KindChange Kind = "change"
	KindRemove Kind = "remove"
)

// Script is one script to run.
type Script struct {
	Kind  Kind
	Path  string   // of the command, for errors
	Text  string   // the last argument
	Stdin string   // empty: nothing to read
	Argv  []string // Exec.Command split, without the script
	// Env is the whole environment but Vars, as NAME=value; a runner adds HOME,
	// USER, LOGNAME and SHELL of Exec.User where Exec.Env has them not.
	Env []string
	// Vars is what earlier commands left; they win over Env. From one script of a
	// run to the next, values change in place and names are added at the end.
	Vars []string
	Exec Exec // merged
	// Program is the environment of this program, for an engine of containers and
	// to look up programs when Env has no PATH.
	Program []string
}

// Output is what a script did.
type Output struct {
	Exit     int    // 128+n for signal n
	Text     string // stdout and stderr in the order written, trimmed, of more than MaxOutput the end
	Started  time.Time
	Duration time.Duration
}

// Runner runs scripts. An exit status other than 0 is no error; an error means
// that the script did not start, or that its end is not known. When ctx ends, the
// script and what it started is killed, and the error wraps ctx's.
type Runner interface {
	Run(ctx context.Context, s Script) (Output, error)
}

// tail keeps the end of what is written to it. It is written by one goroutine,
// and read after that has ended.
type tail struct {
	buf []byte // at most twice MaxOutput
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if n > MaxOutput {
		p = p[n-MaxOutput:]
	}
	if len(t.buf)+len(p) > 2*MaxOutput {
		keep := t.buf[len(t.buf)-MaxOutput:]
		t.buf = append(t.buf[:0], keep...)
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

// reset makes room for the next output.
func (t *tail) reset() { t.buf = t.buf[:0] }
