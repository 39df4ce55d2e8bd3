package pty

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// order is what the helper is told. Texts are bytes: JSON strings would not
// carry what is not UTF-8.
type order struct {
	File   []byte
	Argv   [][]byte
	Env    [][]byte
	Dir    []byte
	Home   []byte
	User   string // for errors
	UID    uint32
	GID    uint32
	Groups []uint32
	Umask  uint32
}

func (s *Spec) order() *order {
	return &order{
		File: []byte(s.file()), Argv: toBytes(s.Argv), Env: toBytes(s.environ()),
		Dir: []byte(s.Dir), Home: []byte(s.Account.Home),
		User: s.Account.Name, UID: s.Account.UID, GID: s.Account.GID, Groups: s.Account.Groups,
		Umask: s.Umask & 0o777,
	}
}

func (o *order) write(w io.Writer) error {
	b, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode order: %w", err)
	}
	_, err = w.Write(b)
	return err
}

func parseOrder(b []byte) (*order, error) {
	o := new(order)
	if err := json.Unmarshal(b, o); err != nil {
		return nil, fmt.Errorf("decode order: %w", err)
	}
	return o, nil
}

// ready is what the helper writes before it executes the program. Success is
// this byte and then the end: a helper that was killed has not written it.
const ready = '\n'

// answer is what the helper reports, as JSON, when a step failed.
type answer struct {
	Step  string
	Item  string
	Errno syscall.Errno
	Text  string // the cause, where there is no Errno
}

func answerOf(err *StartError) answer {
	a := answer{Step: err.Step, Item: err.Item}
	if !errors.As(err.Err, &a.Errno) {
		a.Text = err.Err.Error()
	}
	return a
}

// parseAnswer returns nil when the program was executed.
func parseAnswer(b []byte) *StartError {
	text := bytes.TrimPrefix(b, []byte{ready})
	if len(text) == 0 {
		if len(b) == 0 {
			return &StartError{stepHelper, "", errHelper}
		}
		return nil
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return &StartError{stepHelper, "", err}
	}
	return a.err()
}

func (a answer) err() *StartError {
	e := &StartError{Step: a.Step, Item: a.Item, Err: a.Errno}
	if a.Errno == 0 {
		e.Err = helperError(a.Text)
	}
	return e
}

// helperError is a cause that the helper could only tell as text.
type helperError string

func (e helperError) Error() string { return string(e) }

func toBytes(list []string) [][]byte {
	out := make([][]byte, len(list))
	for i, s := range list {
		out[i] = []byte(s)
	}
	return out
}

func toStrings(list [][]byte) []string {
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = string(b)
	}
	return out
}
