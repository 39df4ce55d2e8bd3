package jsonnet

import (
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-jsonnet/ast"
)

// builder makes the tree that replaces one format.
type builder struct {
	base  *ast.Apply // what is replaced
	std   *ast.Var
	parts []part

	numerics map[string]numeric
}

func (b builder) build(vals ast.Node) ast.Node {
	codes, keyed := 0, 0
	for _, p := range b.parts {
		if p.code == nil {
			continue
		}
		codes++
		if p.code.keyed {
			keyed++
		}
	}
	if codes == 0 || keyed != 0 && keyed != codes {
		return nil
	}
	if list, ok := vals.(*ast.Array); ok && keyed == 0 {
		if len(list.Elements) != codes {
			return nil
		}
		return b.sum(func(i int, c conversion) ast.Node { return b.element(c, list.Elements[i].Expr) })
	}
	body := b.positional(codes)
	if keyed > 0 {
		body = b.keyed(vals)
	}
	return b.local(formatted, vals, body)
}

// element is the text of a value that stands in the source.
func (b builder) element(c conversion, value ast.Node) ast.Node {
	if c.kind == 's' {
		return b.piece(c, value)
	}
	return b.local(formatted, value, b.piece(c, b.variable(formatted)))
}

// positional is for a list of values, or one value that is neither list nor object.
func (b builder) positional(codes int) ast.Node {
	one := b.slow()
	if codes == 1 {
		whole := b.sum(func(_ int, c conversion) ast.Node { return b.piece(c, b.variable(formatted)) })
		one = b.when(b.is("object", formatted), b.slow(), whole)
	}
	same := b.binary(ast.BopManifestEqual, b.call("length", b.variable(formatted)), b.number(codes))
	list := b.sum(func(i int, c conversion) ast.Node { return b.piece(c, b.index(b.number(i))) })
	return b.when(b.is("array", formatted), b.when(same, list, b.slow()), one)
}

// keyed is for an object. What stands in the source is not asked for its fields.
func (b builder) keyed(vals ast.Node) ast.Node {
	literal, known := fieldNames(vals)
	sum := b.sum(func(_ int, c conversion) ast.Node {
		piece := b.piece(c, b.index(b.text(c.key)))
		if known[c.key] {
			return piece
		}
		has := b.call("objectHasEx", b.variable(formatted), b.text(c.key), &ast.LiteralBoolean{NodeBase: b.with(nil), Value: true})
		return b.when(has, piece, b.slow())
	})
	if literal {
		return sum
	}
	return b.when(b.is("object", formatted), sum, b.slow())
}

// fieldNames is the fields that a literal object is sure to have.
func fieldNames(n ast.Node) (literal bool, names map[string]bool) {
	o, ok := n.(*ast.DesugaredObject)
	if !ok {
		return false, nil
	}
	names = make(map[string]bool, len(o.Fields))
	for _, f := range o.Fields {
		if name, ok := f.Name.(*ast.LiteralString); ok {
			names[name.Value] = true
		}
	}
	return true, names
}

// sum concatenates the parts; piece gives what stands for a code, by its number.
func (b builder) sum(piece func(i int, c conversion) ast.Node) ast.Node {
	var out ast.Node
	code := 0
	for i, p := range b.parts {
		var next ast.Node
		if p.code == nil {
			next = b.text(p.text)
		} else {
			next = piece(code, *p.code)
			code++
		}
		if i == 0 && p.code != nil {
			out = b.text("") // so that the first + is one of strings
		}
		if out == nil {
			out = next
			continue
		}
		out = b.binary(ast.BopPlus, out, next)
	}
	return out
}

// piece is the text of one value, which costs nothing to name several times
// unless the code is a %s.
func (b builder) piece(c conversion, value ast.Node) ast.Node {
	if c.plain() {
		return value
	}
	if name, ok := shareable(value); ok && c.kind != 's' && c.kind != 'c' {
		return b.shared(c, name, value)
	}
	switch c.kind {
	case 's':
		return b.native(nativePad, b.text(c.text), b.call("toString", value))
	case 'c':
		one := b.binary(ast.BopManifestEqual, b.call("length", value), b.number(1))
		char := b.when(one, b.single(c, value), b.slow())
		return b.when(b.kind("string", value), char, b.when(b.kind("number", value), b.single(c, value), b.slow()))
	}
	return b.when(b.kind("number", value), b.numberText(c, value), b.slow())
}

// shareable names a value that is the same expression in each format.
func shareable(value ast.Node) (string, bool) {
	switch v := value.(type) {
	case *ast.Var:
		return "", v.Id == formatted
	case *ast.Index:
		if n, ok := v.Index.(*ast.LiteralNumber); ok {
			return n.OriginalString, true
		}
	}
	return "", false
}

// numeric is the parts of the piece of a number that do not say where it stands.
type numeric struct{ is, text ast.Node }

// shared is piece of a number. Formats share what they can: trees are large, and
// a file has many formats.
func (b builder) shared(c conversion, name string, value ast.Node) ast.Node {
	key := strings.Join([]string{string(b.std.Id), c.text, name}, " ")
	n, ok := b.numerics[key]
	if !ok {
		n = numeric{is: b.kind("number", value), text: b.numberText(c, value)}
		b.numerics[key] = n
	}
	return b.when(n.is, n.text, b.slow())
}

func (b builder) numberText(c conversion, value ast.Node) ast.Node {
	switch c.kind {
	case 'e', 'E', 'g', 'G':
		return b.single(c, value)
	}
	return b.rendered(c, value)
}

// rendered is a number's text: "" is for the evaluator to make.
func (b builder) rendered(c conversion, value ast.Node) ast.Node {
	if c.text == "%d" || c.text == "%i" || c.text == "%u" { // v | 0 has no fraction, as %d
		safe := b.binary(ast.BopAnd, b.binary(ast.BopLess, value, b.number(maxWhole)), b.binary(ast.BopLess, b.number(-maxWhole), value))
		return b.when(safe, b.binary(ast.BopBitwiseOr, value, b.number(0)), b.single(c, value))
	}
	some := b.binary(ast.BopLess, b.text(""), b.variable(rendered))
	return b.local(rendered, b.native(nativeNumber, b.text(c.text), value),
		b.when(some, b.variable(rendered), b.single(c, value)))
}

// single is the evaluator's std.format of one value, which it does not refuse.
func (b builder) single(c conversion, value ast.Node) ast.Node {
	list := &ast.Array{NodeBase: b.with(value.FreeVariables()), Elements: []ast.CommaSeparatedExpr{{Expr: value}}}
	return b.call("format", b.text(c.text), list)
}

// slow is the evaluator's own, for an error.
func (b builder) slow() ast.Node { return b.base }

func (b builder) local(id ast.Identifier, value, body ast.Node) ast.Node {
	free := b.base.FreeVariables()
	if id == rendered { // stands inside of a local of the other name, in several formats
		free = value.FreeVariables()
	}
	return &ast.Local{NodeBase: b.with(free), Binds: ast.LocalBinds{{Variable: id, Body: value}}, Body: body}
}

func (b builder) variable(id ast.Identifier) ast.Node {
	return &ast.Var{NodeBase: b.with(ast.Identifiers{id}), Id: id}
}

func (b builder) index(i ast.Node) ast.Node {
	return &ast.Index{NodeBase: b.with(ast.Identifiers{formatted}), Target: b.variable(formatted), Index: i}
}

func (b builder) text(s string) ast.Node {
	return &ast.LiteralString{NodeBase: b.with(nil), Value: s, Kind: ast.StringDouble}
}

func (b builder) number(n int) ast.Node {
	return &ast.LiteralNumber{NodeBase: b.with(nil), OriginalString: strconv.Itoa(n)}
}

func (b builder) when(cond, then, otherwise ast.Node) ast.Node {
	return &ast.Conditional{NodeBase: b.with(nil), Cond: cond, BranchTrue: then, BranchFalse: otherwise}
}

// is tells whether a variable's value is of a type.
func (b builder) is(name string, id ast.Identifier) ast.Node { return b.kind(name, b.variable(id)) }

func (b builder) kind(name string, value ast.Node) ast.Node {
	return b.binary(ast.BopManifestEqual, b.call("type", value), b.text(name))
}

// binary is an operator; == is one here, since no pass of the evaluator follows
// that would make a call of it.
func (b builder) binary(op ast.BinaryOp, left, right ast.Node) ast.Node {
	return &ast.Binary{NodeBase: b.with(nil), Op: op, Left: left, Right: right}
}

// native is a call of a native function of this package.
func (b builder) native(name string, args ...ast.Node) ast.Node {
	return b.apply(b.call("native", b.text(name)), args)
}

// call is a call of a function of the standard library.
func (b builder) call(name string, args ...ast.Node) ast.Node {
	return b.apply(&ast.Index{NodeBase: b.with(b.std.FreeVariables()), Target: b.std, Index: b.text(name)}, args)
}

func (b builder) apply(target ast.Node, args []ast.Node) ast.Node {
	free := target.FreeVariables()
	list := make([]ast.CommaSeparatedExpr, len(args))
	for i, a := range args {
		free = merge(free, a.FreeVariables())
		list[i].Expr = a
	}
	return &ast.Apply{NodeBase: b.with(free), Target: target, Arguments: ast.Arguments{Positional: list}}
}

// with is the base of a node that stands where the replaced call stood.
func (b builder) with(free ast.Identifiers) ast.NodeBase {
	return ast.NodeBase{LocRange: b.base.LocRange, Ctx: b.base.Ctx, FreeVars: free}
}

// merge is the names in a and b; neither is changed.
func merge(a, b ast.Identifiers) ast.Identifiers {
	out := a[:len(a):len(a)]
	for _, id := range b {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}
