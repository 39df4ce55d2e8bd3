package rule

import (
	"errors"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// check refuses what the library would allow: see the package's documentation.
func check(text string) error {
	if strings.TrimSpace(text) == "" {
		return errors.New("the rule is empty")
	}
	tree, err := parser.Parse(text)
	if err != nil {
		return explain(err)
	}
	c := &checker{}
	ast.Walk(&tree.Node, c)
	if c.found == nil {
		return nil
	}
	return explain(c.found.Bind(tree.Source))
}

// checker is an [ast.Visitor] that keeps the first thing it finds.
type checker struct{ found *file.Error }

func (c *checker) add(n ast.Node, message string) {
	if c.found == nil {
		c.found = &file.Error{Location: n.Location(), Message: message}
	}
}

// Visit implements [ast.Visitor].
func (c *checker) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if strings.HasPrefix(n.Value, "$") {
			c.add(n, "unknown name "+n.Value)
		}
	case *ast.BinaryNode:
		if n.Operator == "matches" && !isText(n.Right) {
			c.add(n, "the pattern of matches must be written out, in quotes")
		}
	case *ast.CallNode:
		c.call(n)
	case *ast.PredicateNode:
		if inner := nested(n); inner != nil {
			c.add(inner, "a loop within a loop takes too long")
		}
	}
}

// call checks the arguments of a function that are written out.
func (c *checker) call(n *ast.CallNode) {
	name, ok := n.Callee.(*ast.IdentifierNode)
	if !ok || name.Value != "inCIDR" {
		return
	}
	if len(n.Arguments) < 2 {
		c.add(n, `inCIDR needs an address and a network: inCIDR(addr, "10.0.0.0/8")`)
		return
	}
	for _, arg := range n.Arguments[1:] {
		if s, ok := arg.(*ast.StringNode); ok {
			if _, err := network(s.Value); err != nil {
				c.add(s, "not a network such as 10.0.0.0/8")
			}
		}
	}
}

func isText(n ast.Node) bool {
	_, ok := n.(*ast.StringNode)
	return ok
}

// nested is a predicate within this one, nil when there is none.
func nested(n *ast.PredicateNode) ast.Node {
	f := &finder{}
	ast.Walk(&n.Node, f)
	return f.found
}

type finder struct{ found ast.Node }

// Visit implements [ast.Visitor].
func (f *finder) Visit(node *ast.Node) {
	if p, ok := (*node).(*ast.PredicateNode); ok && f.found == nil {
		f.found = p
	}
}
