package jsonnet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	gojsonnet "github.com/google/go-jsonnet"
	"pgregory.net/rapid"
)

// original is what the evaluator gives without what this package adds.
func original(text string) (string, error) {
	return gojsonnet.MakeVM().EvaluateAnonymousSnippet("main.jsonnet", text)
}

func originalMessage(err error) string {
	message, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimPrefix(message, "RUNTIME ERROR: ")
}

// compare evaluates text in both ways.
func compare(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string,
) {
	t.Helper()
	want, wantErr := original(text)
	r, err := EvaluateText(context.Background(), "main.jsonnet", text, Options{})
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("%s\nerror %v, the evaluator's %v", text, err, wantErr)
	}
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Message() != originalMessage(wantErr) {
			t.Fatalf("%s\nerror %v, the evaluator's %v", text, err, wantErr)
		}
		return
	}
	if string(r.JSON) != want {
		t.Fatalf("%s\ngives %s, the evaluator's %s", text, r.JSON, want)
	}
}

func TestFormatIsTheEvaluators(t *testing.T) {
	for _, text := range []string{
		`'%s' % 'a'`, `'%s' % [[1, 2]]`, `'%s-%s' % ['a', {b: 1}]`, `'%(a)s %(b)05d' % {a: 'x', b:: 3.7}`,
		`'%s %s' % ['a']`, `'%s' % ['a', 'b']`, `'%s' % {a: 1}`, `'%d' % 'x'`, `'%d %d' % [1, 'x']`,
		`'%d %s' % ['x', error 'later']`, `'%s %d' % [error 'first', 'x']`, `'%d' % [{a: error 'deep'}]`,
		`'%s' % function(x) x`, `'%(a)s' % {b: 1}`, `'%(a)s' % {a: 1, b: error 'lazy'}`, `'%(a)s %s' % {a: 1}`,
		`'%(a)s' % [1]`, `'%(a)s' % 1`, `'%%' % []`, `'a' % []`, `'a' % {}`, `'100%% %s' % 'x'`, `'%5%|' % []`,
		`'%*d' % [5, 3]`, `'%.*f' % [2, 3.14159]`, `'%' % []`, `'%y' % 1`, `'%(a' % {a: 1}`, `7 % 3`, `-7 % 3`, `[] % 1`,
		`std.format('%s', 'x')`, `std.format('%s', vals='x')`, `local std = {format(a, b): 'own'}; std.format('%s', 'x')`,
		`std.format('%5s|%-5s|', ['é', 'é'])`, `'%c%c' % [65, 'é']`, `'%c' % 'ab'`, `'%#x %#o %#X' % [0, 0, 255]`,
		`('%s %%s' % 'a') % 'b'`, `'%s' % ('%s' % ['%s' % 1])`, `local f(x) = '%s=%d' % x; [f(['a', i]) for i in [1, 2]]`,
		`{a: '%s %d' % [self.b, self.c], b: 'x', c: 4}`, `({b: 1} + {a: '%d %(x)s' % super.b})`, `({b: 1} + {a: '%d' % super.b})`,
		`local v = error 'unused'; '%s' % 1`, `std.map(function(x) '%03d' % x, [1, 2])`, `[std.format(s, 1) for s in ['%d', '%s']]`,
		`local o = {assert false : 'asserted', a: 1}; '%(a)s' % o`, `'%s' % null`, `'%s' % true`, `'%d' % null`, `'%d' % 1e300`,
		`'%s' % 1e300`, `'%d' % 9007199254740993`, `'%.3f' % 1e15`, `'%.0f %#.0f' % [0.5, 2.5]`, `'%e %g %G' % [12345.678, 0.00001, 1e20]`,
		`local fmt(std) = std.format('%s', 1); fmt({format(a, b): 'param'})`, `{local std = {format(a, b): 'o'}, x: std.format('%s', 1)}`,
		`'%s' % std.extVar('x')`, `'%f' % [-0.4]`, `'%d' % -0.5`, `'%1001d' % 1`, `'%2147483648d' % 1`, `std.format('%s %s', [1, 2]) tailstrict`,
	} {
		compare(t, text)
	}
}

// formats draws a format string and values that fit it more or less.
func formats(t *rapid.T) string {
	codes := rapid.IntRange(0, 4).Draw(t, "codes")
	keyed := rapid.IntRange(0, 3).Draw(t, "keyed") == 0
	var format strings.Builder
	var values []string
	for i := range codes {
		format.WriteString(rapid.SampledFrom([]string{"", "a", "%%", " é "}).Draw(t, "text"))
		format.WriteByte('%')
		if keyed {
			fmt.Fprintf(&format, "(k%d)", i)
		}
		format.WriteString(rapid.StringMatching(`[#0\- +]{0,3}`).Draw(t, "flags"))
		format.WriteString(rapid.SampledFrom([]string{"", "", "1", "4", "9", "12", "*"}).Draw(t, "width"))
		format.WriteString(rapid.SampledFrom([]string{"", "", "", ".", ".0", ".1", ".3", ".9", ".*"}).Draw(t, "precision"))
		format.WriteString(rapid.SampledFrom([]string{"", "", "", "l", "h"}).Draw(t, "length"))
		format.WriteString(rapid.SampledFrom(strings.Split("d i u o x X e E f F g G c s s s s %", " ")).Draw(t, "kind"))
		v := value(t)
		if keyed {
			v = fmt.Sprintf("k%d%s %s", i, rapid.SampledFrom([]string{":", "::"}).Draw(t, "hide"), v)
		}
		values = append(values, v)
	}
	if rapid.IntRange(0, 9).Draw(t, "more") == 0 {
		values = append(values, map[bool]string{false: value(t), true: "more: " + value(t)}[keyed])
	}
	vals := "[" + strings.Join(values, ", ") + "]"
	if keyed {
		vals = "{" + strings.Join(values, ", ") + "}"
	} else if len(values) == 1 && rapid.Bool().Draw(t, "bare") {
		vals = "(" + values[0] + ")"
	}
	quoted, _ := strconv.Unquote(`"` + format.String() + `"`)
	if rapid.Bool().Draw(t, "operator") {
		return fmt.Sprintf("'%s' %% %s", quoted, vals)
	}
	return fmt.Sprintf("local v = %s; std.format('%s', v)", vals, quoted)
}

func value(t *rapid.T) string {
	switch rapid.IntRange(0, 6).Draw(t, "value") {
	case 0:
		return strconv.Itoa(rapid.IntRange(-300, 70000).Draw(t, "int"))
	case 1:
		return strconv.FormatFloat(rapid.Float64Range(-1e6, 1e6).Draw(t, "float"), 'g', -1, 64)
	case 2:
		return rapid.SampledFrom([]string{"0", "-0.5", "0.5", "1.5", "2.5", "-1", "0.05", "0.995", "1e15", "1e17", "123456789.987"}).Draw(t, "edge")
	case 3:
		return "'" + rapid.StringMatching(`[a-zé%]{0,4}`).Draw(t, "string") + "'"
	case 4:
		return strconv.FormatFloat(rapid.Float64Range(-10, 10).Draw(t, "small"), 'f', 3, 64)
	default:
		return rapid.SampledFrom([]string{"null", "true", "[1, 'a']", "{a: 1}", "[]", "{}", "error 'boom'", "function(x) x", "{a:: 1}"}).Draw(t, "other")
	}
}

func TestFormatPropertyIsTheEvaluators(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { compare(t, formats(t)) })
}

// A format in an imported file, at its root, and in a function there.
func TestFormatInImports(t *testing.T) {
	dir := write(t, map[string]string{
		"main.jsonnet":   `local l = import 'l.libsonnet'; [l.f('x'), (import 'root.jsonnet'), std.native('render')("'%s!' % 'a'")]`,
		"l.libsonnet":    `{ f(x):: '%s-%02d' % [x, 7] }`,
		"root.jsonnet":   `'%s %s' % ['a', 'b']`,
		"broken.jsonnet": "local a = 1;\n{ b:\n '%d' % 'x' }",
	})
	r, err := Evaluate(context.Background(), dir+"/main.jsonnet", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(decode(t, r.JSON)); got != "[x-07 a b a!]" {
		t.Errorf("value %s", got)
	}
	_, err = Evaluate(context.Background(), dir+"/broken.jsonnet", Options{})
	var e *Error
	if !errors.As(err, &e) || e.Line != 3 || !strings.Contains(e.Text, "Format required number at 0, got string") {
		t.Errorf("error %v, want the evaluator's at line 3", err)
	}
}

func heavy(objects int) string {
	var b strings.Builder
	b.WriteString("local name = 'web';\n[\n")
	for i := range objects {
		fmt.Fprintf(&b, `{id: 'unit %%s %%d' %% [name, %d], check: '[[ -f /etc/%%(n)s/%%(i)04d.conf ]]' %% {n: name, i: %d},
  change: 'install -m %%s %%s /etc/%%s/%%04d.conf' %% ['0644', '/srv/x', name, %d], remove: std.format('rm -f /etc/%%s/%%04d.conf', [name, %d])},
`, i, i, i, i)
	}
	b.WriteString("]")
	return b.String()
}

// generated is the same, as files with many commands have it: by a function.
func generated(objects int) string {
	return fmt.Sprintf(`local unit(name, i) = {
  id: 'unit %%s %%d' %% [name, i], check: '[[ -f /etc/%%(n)s/%%(i)04d.conf ]]' %% {n: name, i: i},
  change: 'install -m %%s %%s /etc/%%s/%%04d.conf' %% ['0644', '/srv/x', name, i], remove: std.format('rm -f /etc/%%s/%%04d.conf', [name, i]),
};
[unit('web', i) for i in std.range(1, %d)]`, objects)
}

func TestHeavyFormatsAreTheEvaluators(t *testing.T) {
	compare(t, heavy(20))
	compare(t, generated(20))
}

func FuzzFormat(f *testing.F) {
	f.Add("%s %05.2f", "x", 1.5)
	f.Add("%(a)s", "%", -1.0)
	f.Add("%-#x%%%c", "é", 1e15)
	f.Fuzz(func(t *testing.T, format, s string, n float64) {
		if len(format) > 40 || n != n || n > 1e17 || n < -1e17 || strings.ContainsFunc(format, func(r rune) bool { return r >= '1' && r <= '9' }) {
			t.Skip()
		}
		number := strconv.FormatFloat(n, 'g', -1, 64)
		for _, vals := range []string{strconv.Quote("x"), number, "[" + number + ", 'b']", "{a: " + number + "}"} {
			compare(t, fmt.Sprintf("std.format(@'%s', %s)", strings.ReplaceAll(format, "'", "''"), vals))
		}
	})
}

func BenchmarkFormats(b *testing.B) {
	for name, text := range map[string]string{"literal": heavy(1000), "generated": generated(1000)} {
		b.Run(name+"/cold", func(b *testing.B) {
			for b.Loop() {
				if _, err := EvaluateText(context.Background(), "main.jsonnet", text, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/warm", func(b *testing.B) {
			cache := new(Cache)
			if _, err := EvaluateText(context.Background(), "main.jsonnet", text, Options{Cache: cache}); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := EvaluateText(context.Background(), "main.jsonnet", text, Options{Cache: cache}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/original", func(b *testing.B) {
			for b.Loop() {
				if _, err := original(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
