package command

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// List is a list that can run.
type List struct{ nodes []*node }

// node is a command, or a group when children is not nil.
type node struct {
	Command
	path     string
	index    int // among its siblings
	children []*node

	onChange, onFail, onRemove targets
}

func (n *node) group() bool { return n.Command.Commands != nil }

// targets is what an on… field stands for.
type targets struct {
	siblings []int
	events   []string // names without their prefix
}

// eventPrefix begins an on… target that is an event.
const eventPrefix = "etcha:"

// Compile checks a list and resolves its targets. The error is [Problems], all
// of them.
//
// Of the siblings that a target matches those on the wrong side, and the command
// itself, are left out; it is a problem when none is left. So an id may stand
// twice, and an expression may match the command's own id too.
func Compile(cmds []Command) (*List, error) {
	var c compiler
	nodes := c.scope(cmds, nil)
	if err := c.problems.err(); err != nil {
		return nil, err
	}
	return &List{nodes: nodes}, nil
}

type compiler struct{ problems Problems }

func (c *compiler) add(n *node, fix, text string, args ...any) {
	c.problems = append(c.problems, Problem{n.At, n.path, fmt.Sprintf(text, args...), fix})
}

func (c *compiler) scope(cmds []Command, groups []string) []*node {
	nodes := make([]*node, len(cmds))
	for i, cmd := range cmds {
		nodes[i] = &node{Command: cmd, path: pathOf(groups, cmd.ID, i), index: i}
	}
	ids := map[string][]int{}
	for i, n := range nodes {
		ids[n.ID] = append(ids[n.ID], i)
	}
	for _, n := range nodes {
		if n.ID == "" {
			c.add(n, `add id: "…"`, "missing id")
		}
		s := siblings{compiler: c, nodes: nodes, ids: ids, of: n}
		n.onChange = s.resolve("onChange", n.OnChange, true)
		n.onRemove = s.resolve("onRemove", n.OnRemove, false)
		if n.group() {
			n.children = c.scope(n.Commands, append(groups[:len(groups):len(groups)], n.ID))
			continue
		}
		n.onFail = s.resolve("onFail", n.OnFail, true)
		c.leaf(n)
	}
	return nodes
}

var prefixPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (c *compiler) leaf(n *node) {
	if n.EnvPrefix != "" && !prefixPattern.MatchString(n.EnvPrefix) {
		c.add(n, "letters, digits and underscores, no digit first", "envPrefix %q: must match [A-Za-z_][A-Za-z0-9_]*", n.EnvPrefix)
	}
	for _, s := range []struct{ name, text string }{{"check", n.Check}, {"change", n.Change}, {"remove", n.Remove}} {
		if strings.IndexByte(s.text, 0) >= 0 {
			c.add(n, "scripts are text", "%s: holds a NUL byte", s.name)
		}
	}
	if n.Exec == nil {
		return
	}
	if n.Exec.Command != "" {
		if _, err := n.Exec.split(); err != nil {
			c.add(n, "quote it like in a shell", "%v", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.Exec.Env)) {
		if err := checkVariable(name, n.Exec.Env[name]); err != nil {
			c.add(n, "", "exec.env: %v", err)
		}
	}
}

func checkVariable(name, value string) error {
	if name == "" || strings.ContainsAny(name, "=\x00") {
		return fmt.Errorf("%q is no name of a variable", name)
	}
	if strings.IndexByte(value, 0) >= 0 {
		return fmt.Errorf("the value of %s holds a NUL byte", name)
	}
	return nil
}

// siblings resolves the targets of one command.
type siblings struct {
	*compiler
	nodes []*node
	ids   map[string][]int
	of    *node
}

// resolve finds what the targets of one field stand for. after tells on which
// side siblings must stand.
func (s *siblings) resolve(field string, from []string, after bool) targets {
	var t targets
	for _, target := range from {
		if name, ok := strings.CutPrefix(target, eventPrefix); ok {
			if name == "" {
				s.add(s.of, `write "etcha:NAME"`, "%s %q: the event has no name", field, target)
			}
			t.events = append(t.events, name)
			continue
		}
		for _, i := range s.target(field, target, after) {
			if !slices.Contains(t.siblings, i) {
				t.siblings = append(t.siblings, i)
			}
		}
	}
	slices.Sort(t.siblings)
	return t
}

func (s *siblings) target(field, target string, after bool) []int {
	matched, ok := s.match(field, target)
	if !ok {
		return nil
	}
	var good []int
	self, wrong := false, -1
	for _, i := range matched {
		switch {
		case i == s.of.index:
			self = true
		case (i > s.of.index) == after:
			good = append(good, i)
		default:
			wrong = i
		}
	}
	if len(good) > 0 {
		return good
	}
	side, move := "before", "after"
	if !after {
		side, move = "after", "before"
	}
	switch {
	case wrong >= 0:
		w := s.nodes[wrong]
		s.add(s.of, fmt.Sprintf("move %q %s this command", w.ID, move), "%s %q: %s stands %s it%s", field, target, w.path, side, atText(w.At))
	case self:
		s.add(s.of, "name another command", "%s %q: is the command itself", field, target)
	default:
		s.add(s.of, s.suggest(target), "%s %q: matches no sibling", field, target)
	}
	return nil
}

// match lists siblings whose id is target, else those that it matches as an expression.
func (s *siblings) match(field, target string) ([]int, bool) {
	if target == "" {
		s.add(s.of, "name a sibling's id, or leave the field out", "%s: an empty target", field)
		return nil, false
	}
	if literal := s.ids[target]; len(literal) > 0 {
		return literal, true
	}
	re, err := regexp.Compile(target)
	if err != nil {
		s.add(s.of, s.suggest(target), "%s %q: no sibling has this id, and it is no regular expression", field, target)
		return nil, false
	}
	var matched []int
	for i, n := range s.nodes {
		if n.ID != "" && re.MatchString(n.ID) {
			matched = append(matched, i)
		}
	}
	return matched, true
}

func (s *siblings) suggest(target string) string {
	var ids []string
	for _, n := range s.nodes {
		if n != s.of && n.ID != "" {
			ids = append(ids, n.ID)
		}
	}
	if len(ids) == 0 {
		return "it has no siblings; targets are looked for in the same list or group only"
	}
	if fix := nearest(target, ids); strings.HasPrefix(fix, "did") {
		return fix
	}
	return "name a command of the same list or group"
}

func atText(p Position) string {
	if p.File == "" {
		return ""
	}
	return " (" + p.String() + ")"
}
