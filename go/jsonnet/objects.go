package jsonnet

import (
	gojsonnet "github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
	"github.com/google/go-jsonnet/toolutils"
)

// Objects tells where object literals stand whose member is a literal string, by
// that string, in the order of the sources: Objects("id") are the commands of a
// Pattern that have a literal id. All files that the evaluation imported as code
// are looked through; what is computed is not found.
func (r *Result) Objects(member string) map[string][]Place {
	if r.tree == nil {
		return nil
	}
	r.tree.mu.Lock()
	defer r.tree.mu.Unlock()
	c := collector{
		vm: r.tree.vm, member: member, found: map[string][]Place{},
		seen: map[string]bool{r.tree.path: true}, visited: map[ast.Node]bool{},
	}
	c.look(r.tree.root)
	return c.found
}

type collector struct {
	vm     *gojsonnet.VM
	member string
	found  map[string][]Place
	seen   map[string]bool // files

	visited map[ast.Node]bool
}

func (c *collector) look(n ast.Node) {
	if c.visited[n] { // a replaced format shares its parts
		return
	}
	c.visited[n] = true
	switch n := n.(type) {
	case *ast.DesugaredObject:
		c.object(n)
	case *ast.Import:
		root, path, err := c.vm.ImportAST(n.Loc().FileName, n.File.Value)
		if err == nil && !c.seen[path] {
			c.seen[path] = true
			c.look(root)
		}
		return
	}
	for _, child := range toolutils.Children(n) {
		c.look(child)
	}
}

func (c *collector) object(o *ast.DesugaredObject) {
	for _, f := range o.Fields {
		name, ok := f.Name.(*ast.LiteralString)
		if !ok || name.Value != c.member {
			continue
		}
		if value, ok := f.Body.(*ast.LiteralString); ok {
			at := *o.Loc()
			c.found[value.Value] = append(c.found[value.Value], Place{File: at.FileName, Line: at.Begin.Line, Column: at.Begin.Column})
		}
	}
}
