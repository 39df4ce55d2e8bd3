package config

import (
	"slices"
	"strings"
)

// Key is one key of the configuration, for the reference.
type Key struct {
	Path    string // with NAME for any key of a map: sources.NAME.shell.window
	Type    string // such as "duration", "list of strings", "object"
	Default string // JSON without the quotes of a string; empty: none
	Doc     string // one line

	// Same is the path of the key that this one is like, empty for most: the keys
	// of an exec stand in many places.
	Same string
}

// Describe is every key, sorted by path.
func Describe() []Key {
	h := thisHost(func(string) string { return "" })
	tree := withMembers(h.defaults(), []map[string]any{{
		"sources": map[string]any{placeholder: map[string]any{"shell": nil}},
		"targets": map[string]any{placeholder: nil},
	}})
	d := describer{defaults: tree}
	d.object(schema(), nil)
	slices.SortFunc(d.keys, func(a, b Key) int { return strings.Compare(a.Path, b.Path) })
	return d.keys
}

// machineDefaults are the defaults that differ from machine to machine.
func machineDefaults() map[string]string {
	return map[string]string{
		"build.pushMaxWorkers":  "16 for each CPU",
		"run.stateDir":          rootStateDir + " as root, else etcha in $XDG_STATE_HOME or ~/.local/state",
		"targets.NAME.hostname": "the target's name",
	}
}

type describer struct {
	defaults map[string]any
	keys     []Key
}

func (d *describer) object(n *node, at []string) {
	for _, f := range n.fields {
		path := below(at, f.name)
		text := strings.Join(path, ".")
		key := Key{Path: text, Type: typeText(f.node), Default: d.value(f.node, path), Doc: f.doc}
		if same := "exec." + f.name; text != same && inExec(n, f.name) {
			key.Same = same
		}
		d.keys = append(d.keys, key)
		switch {
		case f.node.kind == kindObject:
			d.object(f.node, path)
		case f.node.kind == kindMap:
			d.object(f.node.elem, below(path, placeholder))
		case f.node.kind == kindList:
			d.object(f.node.elem, below(at, f.name+"[]"))
		}
	}
}

// inExec reports whether the field of n is one that every exec has.
func inExec(n *node, name string) bool {
	if n.name != "exec" && n.name != "shell" {
		return false
	}
	_, ok := execSchema().child(name)
	return ok
}

// value is the default at path.
func (d *describer) value(n *node, path []string) string {
	if text, ok := machineDefaults()[strings.Join(path, ".")]; ok {
		return text
	}
	var at any = d.defaults
	for _, key := range path {
		at = members(at)[key]
	}
	if at == nil || n.kind == kindObject || n.kind == kindMap && len(members(at)) == 0 {
		return ""
	}
	if n.kind == kindMap && n.elem.kind == kindObject {
		return ""
	}
	text, err := encode(shower{}.value(n, at), "")
	if err != nil {
		return ""
	}
	return strings.Trim(strings.TrimSpace(string(text)), `"`)
}

func typeText(n *node) string {
	switch {
	case n.kind == kindList && n.elem.kind == kindAny:
		return "list"
	case n.kind == kindList:
		return "list of " + n.elem.kind.String() + "s"
	case n.kind == kindMap && n.elem.kind == kindAny:
		return "map"
	case n.kind == kindMap && n.elem.kind == kindList:
		return "map of lists of " + n.elem.elem.kind.String() + "s"
	case n.kind == kindMap:
		return "map of " + n.elem.kind.String() + "s"
	case n.short != "":
		return "object, or its " + n.short
	}
	return n.kind.String()
}
