package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"etcha/go/jsonnet"
)

// layer is one step of the merge: a tree as it was written, and what it is from.
type layer struct {
	kind   OriginKind
	name   string          // as Origin.Name
	source *jsonnet.Result // where lines are found; nil: there are none
	text   bool            // strings may stand for what their key takes: "true", "10"
	tree   map[string]any
}

// origin is the place of path in the layer: its own, else that of the key
// around it.
func (l *layer) origin(path []string) Origin {
	o := Origin{Kind: l.kind, Name: l.name}
	if l.source == nil {
		return o
	}
	keys := make([]string, len(path))
	for i, key := range path {
		keys[i] = strings.TrimPrefix(key, indexMark)
	}
	if at, matched := l.source.Find(keys...); matched > 0 {
		o.Line = at.Line
		if at.File != "" && l.kind == FromFile {
			o.Name = at.File
		}
	}
	return o
}

// checker makes the trees of layers into trees of typed values that can be
// merged, and collects what is wrong with them.
type checker struct {
	root     *node
	problems []*Problem
	from     map[string]*layer // the layer that set a value, by joined path
}

func (c *checker) report(l *layer, path []string, err error) {
	c.problems = append(c.problems, problemf(l.origin(path), path, "%s", err))
}

// layer is the tree of l, typed. Each value is:
//
//	string, Secret, bool, int, time.Duration, Size, FileMode, json.Number (in any value)
//	map[string]any (object, map), []any (list)
//
// A null is as if it was not written, but in any value. What is wrong is left out.
func (c *checker) layer(l *layer) map[string]any {
	tree, _ := c.object(l, c.root, nil, l.tree)
	return tree
}

func (c *checker) value(l *layer, n *node, path []string, v any) (any, bool) {
	if s, ok := v.(string); ok && n.short != "" {
		v = map[string]any{n.short: s}
	}
	switch n.kind {
	case kindObject, kindMap:
		m, ok := v.(map[string]any)
		if !ok {
			c.report(l, path, wrongType(n, v))
			return nil, false
		}
		return c.object(l, n, path, m)
	case kindList:
		return c.list(l, n, path, v)
	case kindAny:
		return c.any(l, n, path, v)
	default:
		typed, err := scalar(n, v, l.text)
		if err != nil {
			c.report(l, path, err)
			return nil, false
		}
		c.set(l, path)
		return typed, true
	}
}

// set remembers that path was set by l.
func (c *checker) set(l *layer, path []string) { c.from[join(path)] = l }

func (c *checker) object(l *layer, n *node, path []string, m map[string]any) (map[string]any, bool) {
	out := make(map[string]any, len(m))
	c.set(l, path)
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v, at := m[key], below(path, key)
		if err := checkKey(key); err != nil {
			c.report(l, at, err)
			continue
		}
		child, ok := n.child(key)
		if !ok {
			c.problems = append(c.problems, c.unknown(l, path, key))
			continue
		}
		if v == nil && child.kind != kindAny {
			continue
		}
		if typed, ok := c.value(l, child, at, v); ok {
			out[key] = typed
		}
	}
	return out, true
}

func (c *checker) unknown(l *layer, parent []string, key string) *Problem {
	at := below(parent, key)
	return problemf(l.origin(at), at, "%s", unknownKey(c.root, parent, key, keyText))
}

// checkKey refuses keys that cannot be told apart on a screen or in a path.
func checkKey(key string) error {
	switch {
	case key == "":
		return errors.New("a key must not be empty")
	case strings.ContainsFunc(key, unicode.IsControl):
		return errors.New("a key must not have control characters")
	}
	return nil
}

// list takes a list, or the one element of a list in its place.
func (c *checker) list(l *layer, n *node, path []string, v any) (any, bool) {
	items, ok := v.([]any)
	if s, one := v.(string); one && n.elem.kind != kindAny {
		items, ok = []any{s}, true
	}
	if !ok {
		c.report(l, path, wrongType(n, v))
		return nil, false
	}
	c.set(l, path)
	out := make([]any, 0, len(items))
	for i, item := range items {
		at := below(path, index(i))
		if item == nil && n.elem.kind != kindAny {
			c.report(l, at, errors.New("must not be null"))
			continue
		}
		if typed, ok := c.value(l, n.elem, at, item); ok {
			out = append(out, typed)
		}
	}
	return out, true
}

// any takes whatever is there; keys are checked all the same, because they are
// merged.
func (c *checker) any(l *layer, n *node, path []string, v any) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return c.object(l, n, path, v)
	case []any:
		return c.list(l, &node{kind: kindList, elem: n}, path, v)
	}
	c.set(l, path)
	return v, true
}

// scalar is v as its key takes it. No error has the value in it: it may be a
// secret's, put where it does not belong.
func scalar(n *node, v any, text bool) (any, error) {
	switch v := v.(type) {
	case string:
		return scalarText(n, v, text)
	case bool:
		if n.kind == kindBool {
			return v, nil
		}
	case json.Number:
		switch n.kind {
		case kindInt:
			return parseInt(v)
		case kindSize:
			return ParseSize(v.String())
		case kindDuration:
			return nil, fmt.Errorf("a duration is a string: write %q for seconds", v.String()+"s")
		case kindMode:
			return nil, errMode
		}
	}
	return nil, wrongType(n, v)
}

func scalarText(n *node, s string, text bool) (any, error) {
	switch {
	case n.kind == kindString:
		return s, nil
	case n.kind == kindSecret:
		return Secret(s), nil
	case n.kind == kindDuration:
		return parseDuration(s)
	case n.kind == kindSize:
		return ParseSize(s)
	case n.kind == kindMode:
		return ParseFileMode(s)
	case n.kind == kindInt && text:
		return parseInt(json.Number(s))
	case n.kind == kindBool && text:
		if s == "true" || s == "false" {
			return s == "true", nil
		}
	}
	return nil, wrongType(n, s)
}

// wrongType says what is needed and what was there.
func wrongType(n *node, v any) error {
	needed := map[kind]string{
		kindString: "a string", kindSecret: "a string", kindBool: "true or false", kindInt: "a whole number",
		kindDuration: `a duration such as "90s"`, kindSize: `a size such as "1MiB"`, kindMode: `a file mode such as "022"`,
		kindList: "a list", kindMap: "an object", kindObject: "an object",
	}[n.kind]
	if n.short != "" {
		needed = "an object or a string"
	}
	if n.kind == kindList && n.elem.kind != kindAny {
		needed = "a list or a string"
	}
	return fmt.Errorf("%s is needed, not %s", needed, typeName(v))
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "true or false"
	case json.Number:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "null"
}
