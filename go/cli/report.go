package cli

import (
	"errors"
	"fmt"
	"strings"

	"etcha/go/config"
	"etcha/go/errs"
)

// statusError ends the program with a status and without a word: everything
// that there is to say was said.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// exit is the error for a status; nil for 0.
func exit(status int) error {
	if status == 0 {
		return nil
	}
	return &statusError{status}
}

func asStatus(err error, s **statusError) bool { return errors.As(err, s) }

// report writes an error for a person: a line for each error that was joined,
// and the way out where one is known.
func (a *app) report(err error) {
	if err == nil {
		return
	}
	for _, e := range single(err) {
		a.say("error", a.paint(red, "error:"), e.Error())
		if hint := errs.HintOf(e); hint != "" {
			a.say("hint", a.paint(yellow, "hint:"), hint)
		}
	}
}

// say writes a labelled text; further lines stand under the first.
func (a *app) say(label, painted, text string) {
	pad := "\n" + strings.Repeat(" ", len(label)+2)
	fmt.Fprintln(a.stderr, painted, strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", pad))
}

// single is the errors to be told one by one: each problem of a configuration,
// and each of those that were joined.
func single(err error) []error {
	if problems := config.Problems(err); len(problems) > 1 {
		return problems
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // only the outermost error is taken apart
		return j.Unwrap()
	}
	return []error{err}
}
