package config

import (
	"fmt"
	"strings"
)

// unknownKey says that a key is unknown, and which known one is meant.
func unknownKey(root *node, parent []string, key string, name func(path []string) string) string {
	if why, ok := foreignKey(key); ok {
		return why
	}
	path, near := nearest(root, parent, key)
	if near {
		return fmt.Sprintf("unknown key; did you mean %s?", name(path))
	}
	return fmt.Sprintf("unknown key; the nearest known one is %s", name(path))
}

// foreignKey is about keys that upstream Etcha has and this program does not:
// why, and what to use.
func foreignKey(key string) (string, bool) {
	switch key {
	case "licenseKey":
		return "this program has no such key: there is no licence, and nothing is held back; leave it out", true
	default:
		return "", false
	}
}

// nearest is the known key that is meant most likely: one beside it that differs
// little, else one of the same name anywhere, else the least different one.
func nearest(root *node, parent []string, key string) (path []string, near bool) {
	best, distance := "", -1
	for _, f := range root.at(parent).fields {
		if d := editDistance(strings.ToLower(key), strings.ToLower(f.name)); distance < 0 || d < distance {
			best, distance = f.name, d
		}
	}
	if distance <= max(1, len(key)/3) {
		return below(parent, best), true
	}
	if path := findName(root, nil, key); path != nil {
		return path, true
	}
	return below(parent, best), false
}

// findName is the first path, at the least depth, whose last key is name in
// whatever case. Members of maps go by the placeholder NAME.
func findName(root *node, parent []string, name string) []string {
	type place struct {
		node *node
		path []string
	}
	for todo := []place{{root, parent}}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		for _, f := range at.node.fields {
			path := below(at.path, f.name)
			if strings.EqualFold(f.name, name) {
				return path
			}
			n := f.node
			if n.kind == kindMap {
				n, path = n.elem, below(path, placeholder)
			}
			todo = append(todo, place{n, path})
		}
	}
	return nil
}

// placeholder stands for a map's key in the reference.
const placeholder = "NAME"

// editDistance counts the insertions, deletions, changes and swaps of neighbours
// between two keys, by bytes. Long keys are compared by their beginning.
func editDistance(a, b string) int {
	const longest = 64
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			switch {
			case i == 0 || j == 0:
				rows[i][j] = i + j
			case a[i-1] == b[j-1]:
				rows[i][j] = rows[i-1][j-1]
			default:
				rows[i][j] = 1 + min(rows[i-1][j], rows[i][j-1], rows[i-1][j-1])
				if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
					rows[i][j] = min(rows[i][j], 1+rows[i-2][j-2])
				}
			}
		}
	}
	return rows[len(a)][len(b)]
}
