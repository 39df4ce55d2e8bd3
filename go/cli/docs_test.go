package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"etcha/go/wire"
)

// constants lists the values of the constants of a type in a file of package wire.
func constants(t *testing.T, file, typ string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../wire/"+file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); ok && id.Name == typ {
			s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, s)
		}
		return true
	})
	if len(values) < 5 {
		t.Fatalf("only %d constants of type %s in %s", len(values), typ, file)
	}
	return values
}

// The reference explains every code and every end that the protocol has, once.
func TestReferenceIsComplete(t *testing.T) {
	explained := map[string]int{}
	for _, r := range refusals {
		explained[string(r.code)]++
	}
	for _, code := range constants(t, "problem.go", "Code") {
		if explained[code] != 1 {
			t.Errorf("code %s is explained %d times", code, explained[code])
		}
	}
	for _, e := range endings {
		explained[string(e.reason)]++
	}
	for _, reason := range constants(t, "shell.go", "ExitReason") {
		if explained[reason] != 1 {
			t.Errorf("reason %s is explained %d times", reason, explained[reason])
		}
		if wire.ExitReason(reason) != wire.ReasonExited && endText(wire.ExitReason(reason)) == "ended ("+reason+")" {
			t.Errorf("reason %s has no words for people", reason)
		}
	}
}
