package jsonnet

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	gojsonnet "github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
)

// Error is an error in a file.
type Error struct {
	File   string
	Line   int // from 1; 0: not known
	Column int // from 1, in bytes; 0: not known
	Text   string
	Err    error // cause, may be nil
}

// Error is "file:line:column: text: cause", as far as they are known.
func (e *Error) Error() string {
	place := Place{File: e.File, Line: e.Line, Column: e.Column}
	return place.String() + ": " + e.Message()
}

// Message is the error without its place.
func (e *Error) Message() string {
	if e.Err == nil {
		return e.Text
	}
	return e.Text + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// explain makes an [Error] of what the evaluator gave. Its own frames, those of
// the standard library, are passed over: what counts is who called it.
func explain(path string, err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var unread *fs.PathError
	if errors.As(err, &unread) {
		return &Error{File: unread.Path, Text: unread.Op, Err: unread.Err}
	}
	var runtime gojsonnet.RuntimeError
	if errors.As(err, &runtime) {
		e := &Error{File: path, Text: runtime.Msg}
		for i := len(runtime.StackTrace) - 1; i >= 0; i-- {
			loc := runtime.StackTrace[i].Loc
			if loc.IsSet() && loc.FileName != "" && !strings.HasPrefix(loc.FileName, "<") {
				e.File, e.Line, e.Column = loc.FileName, loc.Begin.Line, loc.Begin.Column
				break
			}
		}
		return e
	}
	var static interface{ Loc() ast.LocationRange }
	if errors.As(err, &static) {
		loc := static.Loc()
		text := strings.TrimSpace(strings.TrimPrefix(err.Error(), loc.String()))
		file := loc.FileName
		if file == "" {
			file = path
		}
		return &Error{File: file, Line: loc.Begin.Line, Column: loc.Begin.Column, Text: text}
	}
	text, _, _ := strings.Cut(err.Error(), "\n") // a crash comes with its stack
	return &Error{File: path, Text: text}
}

// Place is a position in a source file.
type Place struct {
	File   string
	Line   int // from 1; 0: not known
	Column int // from 1, in bytes; 0: not known
}

// String is "file:line:column", as far as they are known.
func (p Place) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}
