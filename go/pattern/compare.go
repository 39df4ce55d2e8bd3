package pattern

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"etcha/go/command"
)

// Kind is how something differs.
type Kind string

// Kinds of differences.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// Change is one difference. From is missing for what was added, To for what was
// removed.
type Change struct {
	Kind Kind            `json:"kind"`
	Name string          `json:"name"`
	From json.RawMessage `json:"from,omitempty"`
	To   json.RawMessage `json:"to,omitempty"`
}

// Comparison is what differs between two artifacts, each list sorted by name.
type Comparison struct {
	// Claims is about everything but the lists below: aud, iss, sub, exp, jti, …
	Claims []Change `json:"claims,omitempty"`
	// Files is about the sources by path, entrypoint included as one.
	Files []Change `json:"files,omitempty"`
	// Kept is about the values found at build.
	Kept     []Change `json:"kept,omitempty"`
	RunVars  []Change `json:"runVars,omitempty"`
	Manifest []Change `json:"manifest,omitempty"`
	Version  []Change `json:"version,omitempty"`
}

// Same reports whether applying the one after the other would change nothing:
// manifest, version unless that is ignored, files with the values found at build,
// and run vars are the same.
func (c Comparison) Same(ignoreVersion bool) bool {
	return len(c.Files)+len(c.Kept)+len(c.RunVars)+len(c.Manifest) == 0 && (ignoreVersion || len(c.Version) == 0)
}

// entrypoint is a name that no file can have.
const entrypoint = "(entrypoint)"

// Compare tells what differs from a to b.
func Compare(a, b Claims) Comparison {
	return Comparison{
		Claims:   differences(plain(a), plain(b)),
		Files:    differences(a.files(), b.files()),
		Kept:     differences(a.kept(), b.kept()),
		RunVars:  differences(a.RunVars, b.RunVars),
		Manifest: differences(one("etchaBuildManifest", a.Manifest), one("etchaBuildManifest", b.Manifest)),
		Version:  differences(one("etchaVersion", a.Version), one("etchaVersion", b.Version)),
	}
}

// plain is the claims without those that are compared apart.
func plain(c Claims) map[string]json.RawMessage {
	c.Manifest, c.Pattern, c.RunVars, c.Version = "", nil, nil, ""
	var out map[string]json.RawMessage
	_ = json.Unmarshal(marshal(c), &out)
	delete(out, "etchaPattern")
	return out
}

func (c Claims) files() map[string]json.RawMessage {
	out := make(map[string]json.RawMessage)
	if c.Pattern != nil {
		out[entrypoint] = marshal(c.Pattern.Entrypoint)
		for name, text := range c.Pattern.Files {
			out[name] = marshal(text)
		}
	}
	return out
}

func (c Claims) kept() map[string]json.RawMessage {
	if c.Pattern == nil {
		return nil
	}
	return c.Pattern.Kept
}

func one(name, value string) map[string]json.RawMessage {
	if value == "" {
		return nil
	}
	return map[string]json.RawMessage{name: marshal(value)}
}

// marshal is of types that cannot fail.
func marshal(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}

func differences(a, b map[string]json.RawMessage) []Change {
	names := maps.Clone(a)
	if names == nil {
		names = make(map[string]json.RawMessage)
	}
	maps.Copy(names, b)
	var out []Change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		from, had := a[name]
		to, has := b[name]
		switch {
		case !had:
			out = append(out, Change{Kind: Added, Name: name, To: to})
		case !has:
			out = append(out, Change{Kind: Removed, Name: name, From: from})
		case !equal(from, to):
			out = append(out, Change{Kind: Changed, Name: name, From: from, To: to})
		}
	}
	return out
}

// equal compares values, not their text.
func equal(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// CompareCommands tells what differs between two lists of commands as they were
// rendered, by the paths of commands, "group > child", sorted. Where they stand
// in the source does not count. Of commands with one path, the first of a is
// compared with the first of b, and so on.
func CompareCommands(a, b []command.Command) []Change {
	return differences(byPath(a), byPath(b))
}

func byPath(list []command.Command) map[string]json.RawMessage {
	out := make(map[string]json.RawMessage)
	addPaths(out, nil, list)
	return out
}

func addPaths(out map[string]json.RawMessage, groups []string, list []command.Command) {
	for _, c := range list {
		path := append(slices.Clone(groups), c.ID)
		children := c.Commands
		c.At, c.Commands = command.Position{}, nil
		name := strings.Join(path, " > ")
		for ; out[name] != nil; name += " (again)" {
		}
		out[name] = marshal(c)
		addPaths(out, path, children)
	}
}
