package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// kind is what a key takes.
type kind int

const (
	kindAny kind = iota
	kindString
	kindSecret
	kindBool
	kindInt
	kindDuration
	kindSize
	kindMode
	kindList
	kindMap
	kindObject
)

// String names the kind for the reference page and for errors.
func (k kind) String() string {
	return [...]string{
		"any value", "string", "secret", "true or false", "whole number", "duration", "size", "file mode",
		"list", "map", "object",
	}[k]
}

// node is one place of the configuration tree.
type node struct {
	kind   kind
	name   string  // of an object's type, lower case
	fields []field // of an object, sorted by name
	elem   *node   // of a list or a map
	short  string  // of an object: the key that a bare string stands for
	hidden hidden
}

// field is a key of an object.
type field struct {
	name string
	doc  string
	node *node
}

// hidden is what of a text is not shown.
type hidden string

const (
	hiddenURL    hidden = "url"    // user, query and fragment
	hiddenValues hidden = "values" // all of a map's values
)

// schema is the tree that the types describe.
func schema() *node { return nodeOf(reflect.TypeFor[Config](), "") }

// execSchema is the node of an exec by itself.
func execSchema() *node { return nodeOf(reflect.TypeFor[Exec](), "") }

func nodeOf(t reflect.Type, tag reflect.StructTag) *node {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	n := &node{kind: scalarKind(t), hidden: hidden(tag.Get("mask"))}
	switch {
	case t.Kind() == reflect.Map:
		n.kind, n.elem = kindMap, nodeOf(t.Elem(), tag)
	case t.Kind() == reflect.Slice:
		n.kind, n.elem = kindList, nodeOf(t.Elem(), tag)
	case t.Kind() == reflect.Struct:
		n.kind, n.name, n.short = kindObject, strings.ToLower(t.Name()), tag.Get("short")
		n.fields = fieldsOf(t)
	}
	return n
}

// scalarKind is the kind of a type that has no members; for the others it does
// not matter.
func scalarKind(t reflect.Type) kind {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return kindDuration
	case reflect.TypeFor[Size]():
		return kindSize
	case reflect.TypeFor[FileMode]():
		return kindMode
	case reflect.TypeFor[Secret]():
		return kindSecret
	case reflect.TypeFor[string]():
		return kindString
	case reflect.TypeFor[bool]():
		return kindBool
	case reflect.TypeFor[int]():
		return kindInt
	}
	return kindAny
}

func fieldsOf(t reflect.Type) []field {
	var fields []field
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("koanf"), ",")
		if f.Anonymous && name == "" {
			fields = append(fields, fieldsOf(f.Type)...)
			continue
		}
		fields = append(fields, field{name: name, doc: f.Tag.Get("doc"), node: nodeOf(f.Type, f.Tag)})
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	return fields
}

// child is the node of a member by name.
func (n *node) child(name string) (*node, bool) {
	switch n.kind {
	case kindObject:
		i, ok := slices.BinarySearchFunc(n.fields, name, func(f field, name string) int {
			return strings.Compare(f.name, name)
		})
		if !ok {
			return nil, false
		}
		return n.fields[i].node, true
	case kindMap:
		return n.elem, true
	case kindAny:
		return n, true
	default:
		return nil, false
	}
}

// at is the node at a path, nil where there is none.
func (n *node) at(path []string) *node {
	for _, key := range path {
		if isIndex(key) && n.kind == kindList {
			n = n.elem
			continue
		}
		next, ok := n.child(key)
		if !ok {
			return nil
		}
		n = next
	}
	return n
}

// Paths. A key of a map may contain anything but control characters, so that
// these can join keys and mark indices.
const (
	delimiter = "\x1f" // between keys where a path must be one string
	indexMark = "\x1e" // before the index of a list's element
)

func index(i int) string { return fmt.Sprintf("%s%d", indexMark, i) }

func isIndex(key string) bool { return strings.HasPrefix(key, indexMark) }

func join(path []string) string { return strings.Join(path, delimiter) }

// below is path and key, in memory of their own.
func below(path []string, key string) []string {
	return append(slices.Clip(slices.Clone(path)), key)
}

// keyText is a path as people read it: sources."server1.example.com".shell.
func keyText(path []string) string {
	var b strings.Builder
	for i, key := range path {
		switch {
		case isIndex(key):
			fmt.Fprintf(&b, "[%s]", key[len(indexMark):])
			continue
		case i > 0:
			b.WriteByte('.')
		}
		if plainKey(key) {
			b.WriteString(key)
		} else {
			fmt.Fprintf(&b, "%q", key)
		}
	}
	return b.String()
}

func plainKey(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
