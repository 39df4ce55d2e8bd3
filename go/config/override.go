package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Environment variables that configure.
const (
	envPrefix = "etcha_"
	envWhole  = "etcha_config" // a whole configuration, Jsonnet or JSON
)

// OverrideName is the name that stands for path in -x and, after etcha_, in the
// environment: the keys joined by "_", an underscore in a key doubled. It is
// false for a path that has no such name, because a key has an equals sign, a
// control character, or underscores where they would be read as part of the
// neighbouring key of a map; -x with a JSON value one key higher does it then.
func OverrideName(path ...string) (string, bool) {
	keys := make([]string, len(path))
	for i, key := range path {
		if checkKey(key) != nil || strings.Contains(key, "=") {
			return "", false
		}
		keys[i] = strings.ReplaceAll(key, "_", "__")
	}
	name := strings.Join(keys, "_")
	root := schema()
	back, err := splitName(root, name)
	return name, err == nil && slices.Equal(back, path) && root.at(path) != nil
}

// splitName is the path that a name stands for, as far as the schema knows the
// keys; an unknown key is the path's last.
//
// A key of the program has no underscores, so the first one ends it. In a key of a
// map each pair is one underscore; in a run of an odd number the last one ends it.
func splitName(root *node, name string) ([]string, error) {
	var path []string
	for n, rest := root, name; ; {
		key, after, more := nextKey(n.kind == kindObject, rest)
		if key == "" || more && after == "" {
			return nil, errors.New("an empty key; write an underscore in a key twice")
		}
		path = append(path, key)
		if !more {
			return path, nil
		}
		next, ok := n.child(key)
		if !ok {
			if n.kind == kindObject {
				return path, nil
			}
			return nil, fmt.Errorf("%s has no keys", keyText(path[:len(path)-1]))
		}
		n, rest = next, after
	}
}

// nextKey cuts the first key off a name.
func nextKey(known bool, name string) (key, after string, more bool) {
	var b strings.Builder
	for i := 0; i < len(name); {
		if name[i] != '_' {
			b.WriteByte(name[i])
			i++
			continue
		}
		if known {
			return name[:i], name[i+1:], true
		}
		run := len(name[i:]) - len(strings.TrimLeft(name[i:], "_"))
		b.WriteString(strings.Repeat("_", run/2))
		i += run
		if run%2 == 1 {
			return b.String(), name[i:], true
		}
	}
	return b.String(), "", false
}

// override is one variable of the environment or one -x.
type override struct {
	kind  OriginKind
	name  string // as Origin.Name
	path  []string
	value string
}

// overrides are the variables of environ whose name begins with etcha_, but for
// etcha_config.
func (c *checker) environment(environ []string) []override {
	last := map[string]string{}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, envPrefix) && name != envWhole {
			last[name] = value
		}
	}
	out := make([]override, 0, len(last))
	for name, value := range last {
		o := override{kind: FromEnvironment, name: name, value: value}
		if c.name(&o, strings.TrimPrefix(name, envPrefix)) {
			out = append(out, o)
		}
	}
	return inOrder(out)
}

// flags are the arguments of -x.
func (c *checker) flags(args []string) []override {
	out := make([]override, 0, len(args))
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		o := override{kind: FromOverride, name: name, value: value}
		if !ok {
			o.name = ""
			c.problems = append(c.problems, problemf(Origin{Kind: FromOverride, Name: arg}, nil,
				"an equals sign is needed: -x run_stateDir=/srv/etcha"))
			continue
		}
		if c.name(&o, name) {
			out = append(out, o)
		}
	}
	return inOrder(out)
}

// inOrder sorts overrides, the shortest first, so that a key can be set after
// the object that it is in. Of the same path the one that came last wins.
func inOrder(all []override) []override {
	slices.SortStableFunc(all, func(a, b override) int {
		if d := len(a.path) - len(b.path); d != 0 || a.kind == FromOverride {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	return all
}

// name finds the path of an override, or reports that there is none.
func (c *checker) name(o *override, name string) bool {
	origin := Origin{Kind: o.kind, Name: o.name}
	path, err := splitName(c.root, name)
	if err != nil {
		c.problems = append(c.problems, problemf(origin, nil, "%s", err))
		return false
	}
	o.path = path
	parent := path[:len(path)-1]
	n := c.root.at(parent)
	if _, ok := n.child(path[len(path)-1]); ok {
		return true
	}
	if n.kind != kindObject {
		c.problems = append(c.problems, problemf(origin, nil, "%s has no keys", keyText(parent)))
		return false
	}
	inForm := func(path []string) string {
		s, _ := OverrideName(path...)
		if o.kind == FromEnvironment {
			return envPrefix + s
		}
		return s
	}
	c.problems = append(c.problems, problemf(origin, nil, "%s", unknownKey(c.root, parent, path[len(path)-1], inForm)))
	return false
}

// layer is the override as a layer of its own: its value is JSON when it begins
// like an object, a list or a string, else it is a text.
func (o override) layer() (*layer, error) {
	l := &layer{kind: o.kind, name: o.name}
	var value any = o.value
	if o.value != "" && strings.ContainsRune(`{["`, rune(o.value[0])) {
		v, err := decodeJSON([]byte(o.value))
		if err != nil {
			return nil, fmt.Errorf("the value begins like JSON, and is none: %w", err)
		}
		value = v
	} else {
		l.text = true
	}
	for _, key := range slices.Backward(o.path) {
		value = map[string]any{key: value}
	}
	l.tree, _ = value.(map[string]any)
	return l, nil
}
