package command

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"etcha/go/shellwords"
)

// Exec is how a script is started. Pointers tell unset from false. Its fields
// are those of the configuration's exec, in the same order, so that one
// converts to the other.
type Exec struct {
	// AllowOverride is whether the levels below may set anything; unset: the
	// levels above decide.
	AllowOverride *bool `json:"allowOverride,omitempty"`
	// Command is split like a shell does; the script is added as the last argument.
	Command             string   `json:"command,omitempty"`
	ContainerEntrypoint string   `json:"containerEntrypoint,omitempty"`
	ContainerImage      string   `json:"containerImage,omitempty"`
	ContainerNetwork    string   `json:"containerNetwork,omitempty"`
	ContainerPrivileged *bool    `json:"containerPrivileged,omitempty"`
	ContainerPull       string   `json:"containerPull,omitempty"`
	ContainerUser       string   `json:"containerUser,omitempty"`
	ContainerVolumes    []string `json:"containerVolumes,omitempty"`
	ContainerWorkDir    string   `json:"containerWorkDir,omitempty"`
	// Env is merged by name down the chain.
	Env map[string]string `json:"env,omitempty"`
	// EnvInherit passes the program's own environment on; PATH and HOME always are.
	EnvInherit *bool  `json:"envInherit,omitempty"`
	Group      string `json:"group,omitempty"`
	// Sudo runs through sudo -E when this process is not root's.
	Sudo    *bool  `json:"sudo,omitempty"`
	User    string `json:"user,omitempty"`
	WorkDir string `json:"workDir,omitempty"`
}

// DefaultCommand runs scripts where no level says otherwise.
const DefaultCommand = "/usr/bin/bash -e -o pipefail -c"

// Level is one exec of a chain. Name is how an error calls it, such as "exec",
// "sources.web.exec" or a command's path.
type Level struct {
	Name string
	Exec Exec
}

// ErrOverride means that a level sets something that one above forbids.
var ErrOverride = errors.New("does not permit to set it here")

// Merge merges a chain, the highest level first, over the defaults. A field that
// is set replaces the one above; env merges by name. The error wraps
// [ErrOverride] and names the level that sets something, what it sets, and the
// level above whose allowOverride is false. The result shares nothing with levels.
func Merge(levels ...Level) (Exec, error) {
	allow := true
	merged := Exec{Command: DefaultCommand, AllowOverride: &allow, Env: map[string]string{}}
	forbids := ""
	for _, l := range levels {
		if keys := l.Exec.keys(); forbids != "" && len(keys) > 0 {
			return Exec{}, fmt.Errorf("%s: %s: %s.allowOverride %w", l.Name, keys[0], forbids, ErrOverride)
		}
		merged = merged.with(l.Exec)
		if a := l.Exec.AllowOverride; forbids == "" && a != nil && !*a {
			forbids = l.Name
		}
	}
	return merged, nil
}

// keys is what e sets, sorted. A map or list counts when it holds something.
func (e Exec) keys() []string {
	var keys []string
	for f, field := range reflect.ValueOf(e).Fields() {
		if !unset(field) {
			keys = append(keys, jsonName(f))
		}
	}
	slices.Sort(keys)
	return keys
}

func unset(v reflect.Value) bool {
	if k := v.Kind(); k == reflect.Map || k == reflect.Slice {
		return v.Len() == 0
	}
	return v.IsZero()
}

// with is e, replaced by what over sets. It shares nothing with either.
func (e Exec) with(over Exec) Exec {
	out := e
	to, from := reflect.ValueOf(&out).Elem(), reflect.ValueOf(over)
	for i := range to.NumField() {
		switch field := from.Field(i); {
		case unset(field):
		case field.Kind() == reflect.Pointer:
			b := field.Elem().Bool()
			to.Field(i).Set(reflect.ValueOf(&b))
		default:
			to.Field(i).Set(field)
		}
	}
	out.Env = make(map[string]string, len(e.Env)+len(over.Env))
	maps.Copy(out.Env, e.Env)
	maps.Copy(out.Env, over.Env)
	out.ContainerVolumes = slices.Clone(out.ContainerVolumes)
	return out
}

var errNoCommand = errors.New("no command to run scripts with")

// split gives the words of e.Command.
func (e Exec) split() ([]string, error) {
	argv, err := shellwords.Split(e.Command)
	if err == nil && (len(argv) == 0 || argv[0] == "") {
		err = errNoCommand
	}
	if err != nil {
		return nil, fmt.Errorf("exec.command %q: %w", e.Command, err)
	}
	return argv, nil
}

func isTrue(b *bool) bool { return b != nil && *b }
