package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Decode reads a list of commands from JSON. Nested lists are flattened in
// order; a null in a list, as a Jsonnet "if" without "else" gives, is an empty
// list, and a null field an unset one. A field that is not known, or not of its
// type, is a problem; all are reported together as [Problems].
//
// where may be nil. It is asked for each command once, in the order of the list,
// a group before its children: path is the ids of the groups around it, the
// outermost first, and id its own. Either may be empty where an id is missing.
func Decode(data []byte, where func(path []string, id string) Position) ([]Command, error) {
	if where == nil {
		where = func([]string, string) Position { return Position{} }
	}
	d := decoder{where: where}
	if !json.Valid(data) {
		var v any
		return nil, fmt.Errorf("commands: %w", json.Unmarshal(data, &v))
	}
	if kind(data) != '[' {
		d.add(Position{}, "", "commands: must be a list, not "+described(data), "")
	}
	cmds := []Command{}
	d.list(data, nil, &cmds, 0)
	return cmds, d.problems.err()
}

type decoder struct {
	where    func([]string, string) Position
	problems Problems
}

func (d *decoder) add(at Position, path, text, fix string) {
	d.problems = append(d.problems, Problem{at, path, text, fix})
}

// list adds what raw holds, which is a list, a command or null.
func (d *decoder) list(raw json.RawMessage, groups []string, to *[]Command, depth int) {
	switch path := strings.Join(groups, " > "); kind(raw) {
	case 'n':
	case '{':
		d.command(raw, groups, to, depth)
	case '[':
		if depth > maxDepth {
			d.add(Position{}, path, fmt.Sprintf("lists and groups are nested deeper than %d", maxDepth), "")
			return
		}
		var items []json.RawMessage
		_ = json.Unmarshal(raw, &items) // valid: checked at the start
		for _, item := range items {
			d.list(item, groups, to, depth+1)
		}
	default:
		d.add(Position{}, path, fmt.Sprintf("command %d: must be a command or a list, not %s", len(*to)+1, described(raw)), "")
	}
}

func (d *decoder) command(raw json.RawMessage, groups []string, to *[]Command, depth int) {
	var c Command
	fields := object(raw)
	_ = json.Unmarshal(fields["id"], &c.ID)
	c.At = d.where(groups, c.ID)
	path := pathOf(groups, c.ID, len(*to))
	var execRaw, children json.RawMessage
	d.fields(fields, c.At, path, "", map[string]any{
		"id": &c.ID, "check": &c.Check, "change": &c.Change, "remove": &c.Remove, "stdin": &c.Stdin,
		"always": &c.Always, "changeIgnore": &c.ChangeIgnore, "removeAfter": &c.RemoveAfter,
		"envPrefix": &c.EnvPrefix, "exec": &execRaw, "commands": &children,
		"onChange": (*names)(&c.OnChange), "onFail": (*names)(&c.OnFail), "onRemove": (*names)(&c.OnRemove),
	})
	c.Exec = d.exec(execRaw, c.At, path)
	i := len(*to)
	*to = append(*to, c)
	switch kind(children) {
	case 0, 'n':
	case '[':
		inner := []Command{}
		d.list(children, append(groups[:len(groups):len(groups)], c.ID), &inner, depth+1)
		(*to)[i].Commands = inner
	default:
		d.add(c.At, path, "commands: must be a list, not "+described(children), "write it as [ … ]")
	}
}

func (d *decoder) exec(raw json.RawMessage, at Position, path string) *Exec {
	switch kind(raw) {
	case 0, 'n':
		return nil
	case '{':
	default:
		d.add(at, path, "exec: must be an object, not "+described(raw), `to set the command, write {command: "…"}`)
		return nil
	}
	var e Exec
	known, v := map[string]any{}, reflect.ValueOf(&e).Elem()
	for f, field := range v.Fields() {
		known[jsonName(f)] = field.Addr().Interface()
	}
	d.fields(object(raw), at, path, "exec.", known)
	return &e
}

// fields decodes each field of an object into what known has for its name.
func (d *decoder) fields(from map[string]json.RawMessage, at Position, path, prefix string, known map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		to, ok := known[name]
		if !ok {
			d.add(at, path, fmt.Sprintf("%s%s: no such field", prefix, name), nearest(name, slices.Sorted(maps.Keys(known))))
			continue
		}
		if err := json.Unmarshal(from[name], to); err != nil {
			d.add(at, path, fmt.Sprintf("%s%s: must be %s, not %s", prefix, name, wanted(to), described(from[name])), "")
		}
	}
}

// names is one string or a list of them.
type names []string

var errNames = errors.New("must be a string or a list of strings")

func (n *names) UnmarshalJSON(raw []byte) error {
	var items []*string
	var one string
	switch kind(raw) {
	case '"':
		items = []*string{&one}
		if err := json.Unmarshal(raw, &one); err != nil {
			return err
		}
	default:
		if err := json.Unmarshal(raw, &items); err != nil {
			return err
		}
	}
	for _, item := range items {
		if item == nil {
			return errNames
		}
		*n = append(*n, *item)
	}
	return nil
}

func wanted(to any) string {
	switch to.(type) {
	case *string:
		return "a string"
	case *bool, **bool:
		return "true or false"
	case *names:
		return "a string or a list of strings"
	case *[]string:
		return "a list of strings"
	}
	return "an object of strings"
}

// described is what a JSON value is, without its content: it may be a secret.
func described(raw json.RawMessage) string {
	switch kind(raw) {
	case '{':
		return "an object"
	case '[':
		return "a list of these values"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// kind is the first byte of a JSON value, 0 for none.
func kind(raw json.RawMessage) byte {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return 0
	}
	return raw[0]
}

func object(raw json.RawMessage) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(raw, &fields) // valid, and an object
	return fields
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// nearest suggests the known name that differs least, if one is near.
func nearest(name string, known []string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, k := range known {
		if n := distance(strings.ToLower(name), strings.ToLower(k)); n < least {
			best, least = k, n
		}
	}
	if best == "" {
		return "known are " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance counts insertions, deletions and replacements between a and b, bytes.
func distance(a, b string) int {
	if len(a) > maxName {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
