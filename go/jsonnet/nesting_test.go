package jsonnet

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A parser that recurses without a limit ends the process: each of these would
// fail the whole test program, not one test.
func TestDeepNestingIsRefused(t *testing.T) {
	const many = 1 << 18
	for _, unit := range []string{
		"[", "(", "{a:", "{a:[", "!", "-", "1+", "1 + (", "local x=1;", "local x=1,y=2;", "if 1 then ", "if 1 then 2 else ",
		"function(x) ", "[1][", "a.b.", "x{}", "f()", "assert 1;", "error ", "[x for x in ", "{local a=1,b:", "f(a, ", "[1, [",
		"local a = |||\n  x\n|||; ", "/**/[", "#\n(", "'a'+", `"\""+`, `@"a"""+`, "@'a'''+",
	} {
		_, err := EvaluateText(context.Background(), "main.jsonnet", strings.Repeat(unit, many/len(unit)), Options{})
		if err == nil || !strings.Contains(err.Error(), "nested too deeply") {
			t.Errorf("%q many times: error %.100v, want: nested too deeply", unit, err)
		}
	}
}

// What the measure lets through, the parser must survive.
func TestDeepestNestingIsParsed(t *testing.T) {
	for _, unit := range []string{"[", "!", "1+", "local x=1;", "x{}"} {
		n := MaxNesting
		for checkNesting("", strings.Repeat(unit, n)+"1") != nil {
			n -= n / 10
		}
		_, err := EvaluateText(context.Background(), "main.jsonnet", strings.Repeat(unit, n)+"1", Options{})
		if err != nil && strings.Contains(err.Error(), "nested") {
			t.Errorf("%q %d times: %v", unit, n, err)
		}
	}
}

func TestDeepNestingInAnImport(t *testing.T) {
	dir := write(t, map[string]string{
		"deep":          strings.Repeat("[", MaxNesting),
		"mid.libsonnet": "{a: import 'deep'}",
		"self":          "{a: import 'self', b:: 1}",
	})
	for text, want := range map[string]string{
		"local m = import 'mid.libsonnet'; m.a":   "deep:1:4002: nested too deeply",
		"local m = import 'mid.libsonnet'; 1":     "",
		"importstr 'deep'":                        "",
		"local s = import 'self'; s.a.a.a.b":      "",
		"if false then import 'gone' else 'kept'": "",
	} {
		_, err := EvaluateText(context.Background(), filepath.Join(dir, "main.jsonnet"), text, Options{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %.200v, want %q", text, err, want)
		}
	}
}

// Length is no depth: these are what large real files are made of.
func TestLongFilesAreNotDeep(t *testing.T) {
	var targets, locals, object strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&targets, "'host-%d.example.com': { hostname: '10.0.0.%d', labels: { role: 'a' + 'b' } },\n", i, i%256)
	}
	for i := range 4000 {
		fmt.Fprintf(&locals, "local f%d(x, y) = { a: x + y, b: [x, y] };\n", i)
	}
	for i := range 20_000 {
		fmt.Fprintf(&object, "local l%d = %d, a%d: l%d - 1,\n", i, i, i, i)
	}
	for name, text := range map[string]string{
		"targets":       "{ targets: {\n" + targets.String() + "} }",
		"locals":        locals.String() + "f1(1, 2)",
		"object locals": "{" + object.String() + "}",
		"numbers":       "[" + strings.Repeat("-1, ", 100_000) + "]",
		"text block":    "|||\n" + strings.Repeat("  [[[ { ( '\n\n", 20_000) + "|||",
		"string":        "'" + strings.Repeat(`\'[{(`, 50_000) + "'",
		"verbatim":      "@'" + strings.Repeat("[{(''", 50_000) + "'",
		"comments":      strings.Repeat("// [ {\n# (\n/* [ */", 20_000) + "1",
	} {
		if err := checkNesting("main.jsonnet", text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzNesting(f *testing.F) {
	for _, s := range []string{"[1, {a: 'x'}]", "|||\n  a\n|||", "@'a''b'", `"\`, "/*", "local a = 1, b = 2; c", "|||\n\n", "#", "@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := checkNesting("fuzz", text); err != nil && len(text) < MaxNesting/weightBracket {
			t.Errorf("%q: %v, and it is too short for that", text, err)
		}
	})
}
