package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"etcha/go/errs"
	"etcha/go/jsonnet"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Key    string // its path, such as sources.debug.shell; empty: the whole source
	Origin Origin // where it was set
	Text   string // never the value of a secret
	Err    error  // cause, may be nil
}

// Error is "origin: key: text: cause".
func (p *Problem) Error() string {
	parts := make([]string, 0, 4)
	if p.Origin.Kind != FromDefault {
		parts = append(parts, p.Origin.String())
	}
	if p.Key != "" {
		parts = append(parts, p.Key)
	}
	if p.Text != "" {
		parts = append(parts, p.Text)
	}
	if p.Err != nil {
		parts = append(parts, p.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Invalid is all that is wrong with a configuration, at least one problem, in
// the order of their places.
type Invalid struct {
	Problems []*Problem
}

// Error is the problems, one on each line.
func (e *Invalid) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the problems.
func (e *Invalid) Unwrap() []error {
	out := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		out[i] = p
	}
	return out
}

// Problems are the single errors of an error of [Load]: each [Problem] of an
// [Invalid], else the error itself.
func Problems(err error) []error {
	var invalid *Invalid
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return invalid.Unwrap()
	}
	return []error{err}
}

// invalid is the error for problems, nil for none. Bad -x alone is bad usage.
func invalid(problems []*Problem) error {
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b *Problem) int { return a.Origin.compare(b.Origin) })
	seen := map[string]bool{}
	problems = slices.DeleteFunc(problems, func(p *Problem) bool {
		twice := seen[p.Error()]
		seen[p.Error()] = true
		return twice
	})
	err := &Invalid{Problems: problems}
	for _, p := range problems {
		if p.Origin.Kind != FromOverride {
			return err
		}
	}
	return &errs.Error{Exit: errs.ExitUsage, Err: err}
}

// OriginKind is a layer of the configuration, the lowest first.
type OriginKind int

// Layers.
const (
	FromDefault OriginKind = iota
	FromFile
	FromEnvironment
	FromOverride
)

// Origin is where a value was set.
type Origin struct {
	Kind OriginKind
	// Name is the file, the environment variable, or what stands before the
	// equals sign of -x.
	Name string
	// Line in the file, or in the variable etcha_config; from 1, 0: not known.
	Line int
}

// String is "default", "FILE:LINE", "env NAME" or "-x NAME".
func (o Origin) String() string {
	switch o.Kind {
	case FromFile:
		return jsonnet.Place{File: o.Name, Line: o.Line}.String()
	case FromEnvironment:
		return "env " + jsonnet.Place{File: o.Name, Line: o.Line}.String()
	case FromOverride:
		return "-x " + o.Name
	case FromDefault:
	}
	return "default"
}

func (o Origin) compare(p Origin) int {
	if o.Kind != p.Kind {
		return int(o.Kind) - int(p.Kind)
	}
	if o.Name != p.Name {
		return strings.Compare(o.Name, p.Name)
	}
	return o.Line - p.Line
}

// fileProblem is an error of evaluating a layer, with the place that it names: in
// the layer itself, or in a file that this imports.
func fileProblem(from *layer, err error) *Problem {
	p := &Problem{Origin: Origin{Kind: from.kind, Name: from.name}, Err: err}
	var e *jsonnet.Error
	if errors.As(err, &e) {
		p.Origin.Line, p.Text, p.Err = e.Line, e.Text, e.Err
		if from.kind == FromFile || filepath.Base(e.File) != envWhole {
			p.Origin.Kind, p.Origin.Name = FromFile, e.File
		}
	}
	return p
}

// problemf is a problem with a text made by format.
func problemf(o Origin, path []string, format string, args ...any) *Problem {
	return &Problem{Key: keyText(path), Origin: o, Text: fmt.Sprintf(format, args...)}
}
