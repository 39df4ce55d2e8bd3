package command

import (
	"cmp"
	"fmt"
	"strings"
)

// Position is where a command is written; the zero value: not known.
type Position struct {
	File string
	Line int // from 1
}

// String is file:line, as compilers write it.
func (p Position) String() string {
	switch {
	case p.File == "":
		return ""
	case p.Line <= 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Command is one step, or with Commands a group of steps. Of a group only ID,
// OnChange, OnRemove and Commands count.
type Command struct {
	ID     string
	Check  string
	Change string
	Remove string
	Stdin  string
	Always bool
	// ChangeIgnore and RemoveAfter are for comparing two Patterns; a run ignores them.
	ChangeIgnore bool
	RemoveAfter  bool
	EnvPrefix    string
	Exec         *Exec
	OnChange     []string
	OnFail       []string
	OnRemove     []string
	// Commands, when not nil, makes this a group, also an empty one.
	Commands []Command
	At       Position
}

// Problem is one mistake in a list.
type Problem struct {
	At   Position
	Path string // "group > child"
	Text string
	Fix  string // what to write instead; may be empty
}

// Error is "file:line: path: text (fix)".
func (p Problem) Error() string {
	var parts []string
	for _, s := range []string{p.At.String(), p.Path, p.Text} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	text := strings.Join(parts, ": ")
	if p.Fix != "" {
		text += " (" + p.Fix + ")"
	}
	return text
}

// Problems is every mistake of a list, in the order of the list.
type Problems []Problem

// Error is a line for each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each as an error.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// pathOf is how a command is called in errors, events and filters. One without
// an id is called by its place in the flattened list.
func pathOf(groups []string, id string, index int) string {
	id = cmp.Or(id, fmt.Sprintf("#%d", index+1))
	return strings.Join(append(groups[:len(groups):len(groups)], id), " > ")
}
