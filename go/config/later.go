package config

import (
	"maps"
	"slices"
	"strings"
)

// unsupported is a setting whose capability this version does not have, and
// whose silence would be less safe than it reads. A configuration that uses it
// does not load. Other settings of later capabilities load and do nothing.
type unsupported struct {
	path string         // keys, with * for any key of a map
	used func(any) bool // whether a value uses it
	what string         // what is not supported
}

// notYet is the table. Whoever builds a capability deletes its rows.
func notYet() []unsupported {
	return []unsupported{
		{"run.jwtRule", set, "a rule on artifacts"},
		{"run.verifyCommands", set, "verifying by commands"},
		{"sources.*.jwtRule", set, "a rule on artifacts"},
		{"sources.*.verifyCommands", set, "verifying by commands"},
		{"exec.containerImage", set, "running in a container"},
		{"sources.*.exec.containerImage", set, "running in a container"},
		{"sources.*.shell.containerImage", set, "running in a container"},
		{"sources.*.processes.*.containerImage", set, "running in a container"},
		{"exec.sudo", set, "sudo"},
		{"sources.*.exec.sudo", set, "sudo"},
		{"sources.*.shell.sudo", set, "sudo"},
		{"sources.*.processes.*.sudo", set, "sudo"},
	}
}

// set reports whether a value is more than the empty one of its type.
func set(v any) bool {
	switch v := v.(type) {
	case string:
		return v != ""
	case bool:
		return v
	case int:
		return v != 0
	case []any:
		return len(v) > 0
	}
	return false
}

// later reports what the configuration asks for and this version cannot do.
func (v *validator) later() {
	for _, row := range notYet() {
		v.find(row, strings.Split(row.path, "."), v.l.tree, nil)
	}
}

func (v *validator) find(row unsupported, rest []string, value any, at []string) {
	if len(rest) == 0 {
		if row.used(value) {
			v.found = append(v.found, problemf(v.l.origin(at), at, "not supported by this version: %s", row.what))
		}
		return
	}
	m := members(value)
	if rest[0] != "*" {
		if next, ok := m[rest[0]]; ok {
			v.find(row, rest[1:], next, below(at, rest[0]))
		}
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v.find(row, rest[1:], m[key], below(at, key))
	}
}
