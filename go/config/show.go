package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Masked is the effective configuration as indented JSON, in the form in which
// it could be written in a file. Secrets are hidden, user, query and fragment of
// URLs too, and the values of env unless showEnv.
func (l *Loaded) Masked(showEnv bool) ([]byte, error) {
	return encode(shower{env: showEnv}.value(l.root, l.tree), "  ")
}

// Value is one effective setting.
type Value struct {
	Key    string // its path, as in a [Problem]
	JSON   string // masked like [Loaded.Masked]
	Origin Origin
}

// Values is the effective settings one by one, sorted by key. Lists are one
// setting.
func (l *Loaded) Values(showEnv bool) ([]Value, error) {
	var out []Value
	err := l.values(&out, shower{env: showEnv}.value(l.root, l.tree), nil)
	return out, err
}

func (l *Loaded) values(out *[]Value, v any, at []string) error {
	m, ok := v.(map[string]any)
	if ok && len(m) > 0 {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if err := l.values(out, m[key], below(at, key)); err != nil {
				return err
			}
		}
		return nil
	}
	text, err := encode(v, "")
	if err != nil {
		return err
	}
	*out = append(*out, Value{Key: keyText(at), JSON: strings.TrimSpace(string(text)), Origin: l.origin(at)})
	return nil
}

func encode(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("show the configuration: %w", err)
	}
	return b.Bytes(), nil
}

// shower makes typed values into ones that JSON shows as they would be written.
type shower struct {
	env bool // shows the values of env
}

func (s shower) value(n *node, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, member := range v {
			child, ok := n.child(key)
			if n.kind == kindAny && key == "env" {
				child = &node{kind: kindAny, hidden: hiddenValues} // a Command's exec
			}
			if ok {
				out[key] = s.value(child, member)
			}
		}
		return out
	case []any:
		elem := n
		if n.kind == kindList {
			elem = n.elem
		}
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = s.value(elem, item)
		}
		return out
	}
	return s.scalar(n, v)
}

func (s shower) scalar(n *node, v any) any {
	switch v := v.(type) {
	case Secret, Size, FileMode:
		return fmt.Sprint(v)
	case time.Duration:
		return formatDuration(v)
	case string:
		switch {
		case n.hidden == hiddenURL:
			return maskURL(v)
		case n.hidden == hiddenValues && !s.env && v != "":
			return masked
		}
	}
	return v
}

// maskURL hides user, query and fragment of a URL; what is no URL stays.
func maskURL(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	rest, fragment, hasFragment := strings.Cut(rest, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	host, path, hasPath := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = masked + host[i:]
	}
	out := scheme + "://" + host
	if hasPath {
		out += "/" + path
	}
	if hasQuery && query != "" {
		out += "?" + masked
	}
	if hasFragment && fragment != "" {
		out += "#" + masked
	}
	return out
}
