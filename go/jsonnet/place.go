package jsonnet

import (
	"strconv"

	gojsonnet "github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
)

// maxFollow bounds how many steps Find takes through imports, variables and
// calls, which may lead in circles.
const maxFollow = 200

// Find tells where the source gives a value the member at path: a field's name,
// or an index in a list. The place is that of the longest beginning of path that
// the source shows, matched is its length; 0: nothing of it, Place{} then.
//
// It reads the source, it does not run it: through literals, sums, locals,
// imports, both branches of an if, and functions' bodies.
func (r *Result) Find(path ...string) (at Place, matched int) {
	if r.tree == nil {
		return Place{}, 0
	}
	r.tree.mu.Lock()
	defer r.tree.mu.Unlock()
	f := finder{vm: r.tree.vm, left: maxFollow}
	m := f.find(r.tree.root, path, nil)
	return m.at, m.depth
}

type finder struct {
	vm   *gojsonnet.VM
	left int // steps
}

// match is how far a path was followed.
type match struct {
	at    Place
	depth int
	node  ast.Node // at the end of the whole path
	env   *scope
}

// scope is the variables that a node sees, innermost first.
type scope struct {
	outer *scope
	binds ast.LocalBinds
}

func (s *scope) lookup(id ast.Identifier) (ast.Node, *scope) {
	for at := s; at != nil; at = at.outer {
		for _, b := range at.binds {
			if b.Variable != id {
				continue
			}
			if b.Fun != nil {
				return b.Fun, at
			}
			return b.Body, at
		}
	}
	return nil, nil
}

func (f *finder) find(n ast.Node, path []string, env *scope) match {
	if f.left--; f.left < 0 || n == nil {
		return match{}
	}
	if o, ok := n.(*ast.DesugaredObject); ok {
		return f.object(o, path, env)
	}
	if a, ok := n.(*ast.Array); ok {
		return f.array(a, path, env)
	}
	next, inner := f.follow(n, env)
	best := match{}
	for _, n := range next {
		if m := f.find(n, path, inner); m.depth > best.depth || best.node == nil && m.node != nil {
			best = m
		}
	}
	if best.node == nil && len(path) == 0 {
		best.node, best.env = n, env
	}
	return best
}

// follow is the nodes that may give n its value, the likeliest first.
func (f *finder) follow(n ast.Node, env *scope) ([]ast.Node, *scope) {
	switch n := n.(type) {
	case *ast.Local:
		return []ast.Node{n.Body}, &scope{outer: env, binds: n.Binds}
	case *ast.Binary:
		return []ast.Node{n.Right, n.Left}, env
	case *ast.Conditional:
		return []ast.Node{n.BranchTrue, n.BranchFalse}, env
	case *ast.Function:
		return []ast.Node{n.Body}, &scope{outer: env, binds: unknown(n.Parameters)}
	case *ast.Apply:
		return []ast.Node{n.Target}, env
	case *ast.Var:
		body, at := env.lookup(n.Id)
		return []ast.Node{body}, at
	case *ast.Index:
		if name, ok := n.Index.(*ast.LiteralString); ok {
			if m := f.find(n.Target, []string{name.Value}, env); m.depth == 1 {
				return []ast.Node{m.node}, m.env
			}
		}
	case *ast.Import:
		if root, _, err := f.vm.ImportAST(n.Loc().FileName, n.File.Value); err == nil {
			return []ast.Node{root}, nil
		}
	}
	return nil, env
}

// unknown is parameters as variables without a body: they hide outer ones.
func unknown(params []ast.Parameter) ast.LocalBinds {
	binds := make(ast.LocalBinds, len(params))
	for i, p := range params {
		binds[i].Variable = p.Name
	}
	return binds
}

// object finds path in an object; of fields with the same name, none of which
// can stand in one literal, the first counts.
func (f *finder) object(o *ast.DesugaredObject, path []string, env *scope) match {
	if len(path) == 0 {
		return match{node: o, env: env}
	}
	env = &scope{outer: env, binds: o.Locals}
	for _, field := range o.Fields {
		name, ok := field.Name.(*ast.LiteralString)
		if !ok || name.Value != path[0] {
			continue
		}
		at := Place{File: field.LocRange.FileName, Line: field.LocRange.Begin.Line, Column: field.LocRange.Begin.Column}
		return f.below(field.Body, at, path[1:], env)
	}
	return match{}
}

func (f *finder) array(a *ast.Array, path []string, env *scope) match {
	if len(path) == 0 {
		return match{node: a, env: env}
	}
	i, err := strconv.Atoi(path[0])
	if err != nil || i < 0 || i >= len(a.Elements) {
		return match{}
	}
	e := a.Elements[i].Expr
	loc := e.Loc()
	at := Place{File: loc.FileName, Line: loc.Begin.Line, Column: loc.Begin.Column}
	return f.below(e, at, path[1:], env)
}

// below goes on in a member that stands at a place.
func (f *finder) below(n ast.Node, at Place, path []string, env *scope) match {
	m := f.find(n, path, env)
	if m.depth == 0 || m.at.Line == 0 {
		m.at = at
	}
	m.depth++
	if len(path) == 0 && m.node == nil {
		m.node, m.env = n, env
	}
	return m
}
