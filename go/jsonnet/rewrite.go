package jsonnet

import (
	"slices"

	"github.com/google/go-jsonnet/ast"
	"github.com/google/go-jsonnet/toolutils"
)

// The evaluator's own std.format is a Jsonnet program that walks a format string
// by characters: 50 to 100 times slower than the concatenation it stands for. So
// std.format and % of a literal are replaced, in the tree of each file, by that
// concatenation: 'a %s b %03d' % [x, y] becomes
//
//	'a ' + x + ' b ' + (local $v = y; if number($v) then (
//	  local $t = std.native('$number')('%03d', $v); if '' < $t then $t else std.format('%03d', [$v])
//	) else SLOW)
//
// and where the values do not stand in a list, they are one variable, whose type
// and length are looked at first. SLOW is the call as it stood: whatever is wrong
// is the evaluator's to say, in its own words. Values are looked at in the order
// in which it does, and no others. $v and $t are names that no source can have.

// Variables of a replaced format: its values, and the text of a number.
const (
	formatted ast.Identifier = "$v"
	rendered  ast.Identifier = "$t"
)

// Names of the native functions that replaced formats call.
const (
	nativeNumber = "$number"
	nativePad    = "$pad"
)

// maxParts bounds the parts of a format that is replaced: the sum is as deep.
const maxParts = 64

// rewriter replaces formats in one file's tree.
type rewriter struct {
	own      bool // the file has a variable std of its own: std.format may be another
	numerics map[string]numeric
}

// rewriteBelow is rewrite of a tree that the evaluator keeps: its root stays.
func rewriteBelow(root ast.Node) {
	same := root
	newRewriter(root).node(&same)
}

// rewrite replaces formats in a file's tree, after the evaluator's own passes.
func rewrite(root *ast.Node) {
	newRewriter(*root).node(root)
}

func newRewriter(root ast.Node) rewriter {
	return rewriter{own: bindsStd(root), numerics: make(map[string]numeric)}
}

func (w rewriter) node(at *ast.Node) {
	if *at == nil {
		return
	}
	switch n := (*at).(type) {
	case *ast.Apply:
		w.node(&n.Target)
		for i := range n.Arguments.Positional {
			w.node(&n.Arguments.Positional[i].Expr)
		}
		for i := range n.Arguments.Named {
			w.node(&n.Arguments.Named[i].Arg)
		}
		if r := w.format(n); r != nil {
			*at = r
		}
	case *ast.Array:
		for i := range n.Elements {
			w.node(&n.Elements[i].Expr)
		}
	case *ast.Binary:
		w.node(&n.Left)
		w.node(&n.Right)
	case *ast.Conditional:
		w.node(&n.Cond)
		w.node(&n.BranchTrue)
		w.node(&n.BranchFalse)
	case *ast.DesugaredObject:
		w.object(n)
	case *ast.Function:
		w.function(n)
	case *ast.Local:
		w.binds(n.Binds)
		w.node(&n.Body)
	default:
		w.small(n)
	}
}

// small goes into nodes with one child that matters, or two.
func (w rewriter) small(n ast.Node) {
	switch n := n.(type) {
	case *ast.Error:
		w.node(&n.Expr)
	case *ast.Index:
		w.node(&n.Target)
		w.node(&n.Index)
	case *ast.InSuper:
		w.node(&n.Index)
	case *ast.SuperIndex:
		w.node(&n.Index)
	case *ast.Unary:
		w.node(&n.Expr)
	}
}

func (w rewriter) object(o *ast.DesugaredObject) {
	w.binds(o.Locals)
	for i := range o.Asserts {
		w.node(&o.Asserts[i])
	}
	for i := range o.Fields {
		w.node(&o.Fields[i].Name)
		w.node(&o.Fields[i].Body)
	}
}

func (w rewriter) function(f *ast.Function) {
	for i := range f.Parameters {
		w.node(&f.Parameters[i].DefaultArg)
	}
	w.node(&f.Body)
}

func (w rewriter) binds(binds ast.LocalBinds) {
	for i := range binds {
		w.node(&binds[i].Body)
	}
}

// bindsStd reports whether anything in a tree is called std.
func bindsStd(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.Local:
		if binds(n.Binds) {
			return true
		}
	case *ast.DesugaredObject:
		if binds(n.Locals) {
			return true
		}
	case *ast.Function:
		for _, p := range n.Parameters {
			if p.Name == "std" {
				return true
			}
		}
	}
	return slices.ContainsFunc(toolutils.Children(n), bindsStd)
}

func binds(all ast.LocalBinds) bool {
	return slices.ContainsFunc(all, func(b ast.LocalBind) bool { return b.Variable == "std" })
}

// format is what replaces a call; nil: nothing does.
func (w rewriter) format(n *ast.Apply) ast.Node {
	args := n.Arguments.Positional
	if n.TailStrict || len(n.Arguments.Named) > 0 || len(args) != 2 {
		return nil
	}
	std := w.formatTarget(n)
	if std == nil {
		return nil
	}
	literal, ok := args[0].Expr.(*ast.LiteralString)
	if !ok {
		return nil
	}
	parts, ok := parseFormat(literal.Value)
	if !ok || len(parts) > maxParts {
		return nil
	}
	b := builder{base: n, std: std, parts: parts, numerics: w.numerics}
	return b.build(args[1].Expr)
}

// formatTarget is the variable of the standard library in std.format(…), or in
// the call that % is made of.
func (w rewriter) formatTarget(n *ast.Apply) *ast.Var {
	index, ok := n.Target.(*ast.Index)
	if !ok {
		return nil
	}
	name, ok := index.Index.(*ast.LiteralString)
	if !ok {
		return nil
	}
	std, ok := index.Target.(*ast.Var)
	switch {
	case !ok:
		return nil
	case std.Id == "$std" && name.Value == "mod", std.Id == "std" && name.Value == "format" && !w.own:
		return std
	}
	return nil
}
