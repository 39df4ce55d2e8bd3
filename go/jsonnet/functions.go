package jsonnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// maxRender bounds how deep render may stand in what render evaluates.
const maxRender = 8

func (n natives) getConfig([]any) (any, error) {
	if n.o.Config == nil {
		return nil, errors.New("there is no configuration here")
	}
	var v any
	if err := json.Unmarshal(n.o.Config, &v); err != nil {
		return nil, err
	}
	return v, nil
}

// get looks below an object for what a filter names: names with dots between,
// numbers of lists' members in brackets, from 0, and names that have a dot
// quoted in brackets: a.b[0]["c.d"]; a dot before the first is passed over.
// Nothing, or null, on the way: the default. The prefix, when not empty, stands
// before a value that was found, which then is text.
func get(args []any) (any, error) {
	filter, err := text("filter", args[1])
	if err != nil {
		return nil, err
	}
	prefix := ""
	if args[3] != nil {
		if prefix, err = text("prefix", args[3]); err != nil {
			return nil, err
		}
	}
	steps, err := parseFilter(filter)
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", filter, err)
	}
	v := args[0]
	for _, s := range steps {
		if v = s.of(v); v == nil {
			break
		}
	}
	switch {
	case v == nil:
		return args[2], nil
	case prefix == "":
		return v, nil
	}
	if s, ok := v.(string); ok {
		return prefix + s, nil
	}
	raw, err := json.Marshal(v)
	return prefix + string(raw), err
}

// step is a member's name, or its number in a list.
type step struct {
	name   string
	index  int
	number bool
}

func (s step) of(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if !s.number {
			return v[s.name]
		}
	case []any:
		if s.number && s.index < len(v) {
			return v[s.index]
		}
	}
	return nil
}

var errFilter = errors.New("names with dots between, numbers or quoted names in brackets are needed")

func parseFilter(s string) ([]step, error) {
	var steps []step
	s = strings.TrimPrefix(s, ".")
	for first := true; s != ""; first = false {
		var st step
		var err error
		switch {
		case s[0] == '[':
			st, s, err = parseBracket(s[1:])
		case s[0] == '.' || first:
			if !first {
				s = s[1:]
			}
			end := strings.IndexAny(s, ".[")
			if end < 0 {
				end = len(s)
			}
			st, s = step{name: s[:end]}, s[end:]
			if st.name == "" {
				err = errFilter
			}
		default:
			err = errFilter
		}
		if err != nil {
			return nil, err
		}
		steps = append(steps, st)
	}
	return steps, nil
}

func parseBracket(s string) (step, string, error) {
	if quoted, err := strconv.QuotedPrefix(s); err == nil && quoted[0] == '"' {
		name, _ := strconv.Unquote(quoted)
		rest, ok := strings.CutPrefix(s[len(quoted):], "]")
		if !ok {
			return step{}, "", errFilter
		}
		return step{name: name}, rest, nil
	}
	number, rest, ok := strings.Cut(s, "]")
	i, err := strconv.ParseUint(number, 10, 31)
	if !ok || err != nil {
		return step{}, "", errFilter
	}
	return step{index: int(i), number: true}, rest, nil
}

func (n natives) jwtNew(args []any) (any, error) {
	claims, ok := args[0].(map[string]any)
	if !ok {
		return nil, errors.New("claims: an object is needed")
	}
	key, err := text("key", args[1])
	if err != nil {
		return nil, err
	}
	n.memory.varies()
	if n.o.SignJWT == nil {
		return nil, errors.New("tokens cannot be signed here")
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	return n.o.SignJWT(n.ctx, raw, key)
}

func (n natives) jwtParse(args []any) (any, error) {
	tok, err := text("token", args[0])
	if err != nil {
		return nil, err
	}
	list, ok := args[1].([]any)
	if !ok || len(list) == 0 {
		return nil, errors.New("keys: a list of at least one public key is needed")
	}
	keys := make([]string, len(list))
	for i, k := range list {
		if keys[i], err = text("keys", k); err != nil {
			return nil, err
		}
	}
	n.memory.varies()
	if n.o.ParseJWT == nil {
		return nil, errors.New("tokens cannot be verified here")
	}
	raw, err := n.o.ParseJWT(n.ctx, tok, keys)
	if err != nil {
		return orElse(args[2], err)
	}
	var claims any
	err = json.Unmarshal(raw, &claims)
	return claims, err
}

// render evaluates a text as if it stood in a file beside the evaluated one.
func (n natives) render(args []any) (any, error) {
	s, err := text("string", args[0])
	if err != nil {
		return nil, err
	}
	if n.depth >= maxRender {
		return nil, fmt.Errorf("more than %d render in one another", maxRender)
	}
	path, err := n.im.addRendered(n.dir, s)
	if err != nil {
		return nil, err
	}
	inner := n
	inner.depth++
	out := run(newVM(inner), n.im, path)
	if out.err != nil {
		return nil, explain(path, out.err)
	}
	var v any
	if err := json.Unmarshal([]byte(out.json), &v); err != nil {
		return nil, err
	}
	return v, nil
}

// addRendered puts a text into the evaluation, under a name that says what it is.
func (im *importer) addRendered(dir, s string) (string, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if err := im.ctx.Err(); err != nil {
		return "", err
	}
	if im.total += len(s); im.rendered >= MaxFiles || im.total > MaxTotal {
		return "", im.errMany()
	}
	im.rendered++
	path := filepath.Join(dir, fmt.Sprintf("<rendered %d>", im.rendered))
	im.known[path] = newImported([]byte(s), nil)
	return path, nil
}

// formatNumber is the text of a number by one code of a format; "": the
// evaluator's own std.format is to make it.
func formatNumber(args []any) (any, error) {
	c, n, err := formatArgs[float64](args)
	if err != nil {
		return nil, err
	}
	s, _ := c.number(n)
	return s, nil
}

func formatPad(args []any) (any, error) {
	c, s, err := formatArgs[string](args)
	if err != nil {
		return nil, err
	}
	return c.pad(s), nil
}

func formatArgs[T any](args []any) (conversion, T, error) {
	var none T
	code, _ := args[0].(string)
	c, _, ok := parseConversion(strings.TrimPrefix(code, "%"))
	v, is := args[1].(T)
	if !ok || !is {
		return conversion{}, none, errors.New("not a code of a format and its value")
	}
	return c, v, nil
}
