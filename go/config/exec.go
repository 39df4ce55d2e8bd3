package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"etcha/go/shellwords"
)

// ExecFor is how a source's shell is started, or one of its processes when
// process is not empty: the exec merged of exec, sources.NAME.exec and the shell
// or process, and its command split into arguments, at least one.
//
// A field that is set replaces the one above; env merges by name. A level may
// set something only if every level above it, where it says anything about it,
// has allowOverride; the error names the level that has not. The command is the
// exception: those above are for scripts, so that a shell's or process's own
// command, which it must have, overrides nothing.
func (c *Config) ExecFor(source, process string) (Exec, []string, error) {
	s, ok := c.Sources[source]
	if !ok {
		return Exec{}, nil, fmt.Errorf("source %q: not configured", source)
	}
	if s.Shell == nil {
		return Exec{}, nil, fmt.Errorf("source %q: no shell is configured", source)
	}
	last := level{path: []string{"sources", source, "shell"}, exec: s.Shell.Exec}
	if process != "" {
		p, ok := s.Processes[process]
		if !ok {
			return Exec{}, nil, fmt.Errorf("source %q: no process %q is configured", source, process)
		}
		last = level{path: []string{"sources", source, "processes", process}, exec: p}
	}
	own := last.exec.Command
	last.exec.Command = ""
	merged, err := mergeLevels(append(c.scriptLevels(source), last))
	if err != nil {
		return Exec{}, nil, err
	}
	merged.Command = own
	argv, err := splitAt(merged, last.path, `which program? write "command": "/bin/bash", or the command in place of the object`)
	return merged, argv, err
}

// ScriptFor is how a source's scripts are run: the exec merged of exec and
// sources.NAME.exec, and its command split into arguments, at least one, after
// which the script is the last.
func (c *Config) ScriptFor(source string) (Exec, []string, error) {
	if _, ok := c.Sources[source]; !ok {
		return Exec{}, nil, fmt.Errorf("source %q: not configured", source)
	}
	levels := c.scriptLevels(source)
	merged, err := mergeLevels(levels)
	if err != nil {
		return Exec{}, nil, err
	}
	argv, err := splitAt(merged, levels[len(levels)-1].path, "no command to run scripts with")
	return merged, argv, err
}

func splitAt(e Exec, path []string, none string) ([]string, error) {
	argv, err := shellwords.Split(e.Command)
	if err != nil {
		return nil, &execError{path: below(path, "command"), err: err}
	}
	if len(argv) == 0 || argv[0] == "" {
		return nil, &execError{path: path, err: errors.New(none), lacks: "command"}
	}
	return argv, nil
}

// level is one exec of a chain and where it stands.
type level struct {
	path []string
	exec Exec
}

func (c *Config) scriptLevels(source string) []level {
	return []level{
		{path: []string{"exec"}, exec: c.Exec},
		{path: []string{"sources", source, "exec"}, exec: c.Sources[source].Exec},
	}
}

// execError is an error of a chain, with the key to change.
type execError struct {
	path  []string
	err   error
	lacks string // the key below path that is missing; empty: none is
}

func (e *execError) Error() string { return keyText(e.path) + ": " + e.err.Error() }

func (e *execError) Unwrap() error { return e.err }

// mergeLevels merges a chain, the highest level first.
func mergeLevels(levels []level) (Exec, error) {
	merged, forbids := levels[0].exec, ""
	for i, l := range levels[1:] {
		above := levels[i]
		if allow := above.exec.AllowOverride; forbids == "" && allow != nil && !*allow {
			forbids = keyText(above.path)
		}
		if keys := setKeys(l.exec); forbids != "" && len(keys) > 0 {
			return Exec{}, &execError{
				path: below(l.path, keys[0]),
				err:  fmt.Errorf("%s.allowOverride does not permit to set it here", forbids),
			}
		}
		merged = merged.with(l.exec)
	}
	return merged, nil
}

// setKeys is the keys that e sets, sorted.
func setKeys(e Exec) []string {
	var keys []string
	v := reflect.ValueOf(e)
	for f, field := range v.Fields() {
		if !field.IsZero() {
			keys = append(keys, f.Tag.Get("koanf"))
		}
	}
	slices.Sort(keys)
	return keys
}

// with is e, replaced by what over sets. It shares nothing with either.
func (e Exec) with(over Exec) Exec {
	out := e
	to, from := reflect.ValueOf(&out).Elem(), reflect.ValueOf(over)
	for i := range to.NumField() {
		if !from.Field(i).IsZero() {
			to.Field(i).Set(from.Field(i))
		}
	}
	out.Env = maps.Clone(e.Env)
	if out.Env == nil {
		out.Env = map[string]string{}
	}
	maps.Copy(out.Env, over.Env)
	out.ContainerVolumes = slices.Clone(out.ContainerVolumes)
	return out
}
