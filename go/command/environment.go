package command

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// environment is what commands leave to the scripts after them.
type environment struct {
	list []string       // NAME=value, in the order first set
	at   map[string]int // name to index in list
}

func (e *environment) set(name, value string) {
	// execve ends a string at NUL.
	kv := name + "=" + strings.ReplaceAll(value, "\x00", "")
	if i, ok := e.at[name]; ok {
		e.list[i] = kv
		return
	}
	if e.at == nil {
		e.at = map[string]int{}
	}
	e.at[name] = len(e.list)
	e.list = append(e.list, kv)
}

func (e *environment) get(name string) (string, bool) {
	i, ok := e.at[name]
	if !ok {
		return "", false
	}
	return e.list[i][len(name)+1:], true
}

// outcome is what the scripts of one command did.
type outcome struct {
	did map[Kind]bool // ran and succeeded
	out map[Kind]string
}

var kinds = []Kind{KindCheck, KindChange, KindRemove}

// publish sets the variables of a command with a prefix.
func (e *environment) publish(prefix string, o outcome) {
	if prefix == "" {
		return
	}
	e.set(prefix, o.out[KindCheck])
	for _, k := range kinds {
		name := prefix + "_" + strings.ToUpper(string(k))
		e.set(name, digit(o.did[k]))
		e.set(name+"_OUT", o.out[k])
	}
}

// finished sets the variables that tell of the command before.
func (e *environment) finished(o outcome) {
	for _, k := range kinds {
		e.set("_"+strings.ToUpper(string(k)), digit(o.did[k]))
	}
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// expand replaces ${NAME} where value knows NAME, and $${NAME} by ${NAME}. What
// is inserted is not expanded again.
func expand(text string, value func(name string) (string, bool)) string {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		name, rest, ok := strings.Cut(text[i+2:], "}")
		if !ok || !prefixPattern.MatchString(name) {
			b.WriteString(text[:i+2])
			text = text[i+2:]
			continue
		}
		whole := text[i : len(text)-len(rest)]
		switch v, known := value(name); {
		case i > 0 && text[i-1] == '$':
			b.WriteString(text[:i-1] + whole)
		case known:
			b.WriteString(text[:i] + v)
		default:
			b.WriteString(text[:i] + whole)
		}
		text = rest
	}
}

// resolved is how the scripts of one command are run.
type resolved struct {
	exec Exec
	argv []string
	env  []string // Script.Env
}

// resolve merges the levels of a chain and makes the environment.
func resolve(levels []Level, program []string, extra map[string]string) (*resolved, error) {
	merged, err := Merge(levels...)
	if err != nil {
		return nil, err
	}
	maps.Copy(merged.Env, extra)
	for _, name := range slices.Sorted(maps.Keys(merged.Env)) {
		if err := checkVariable(name, merged.Env[name]); err != nil {
			return nil, fmt.Errorf("exec.env: %w", err)
		}
	}
	argv, err := merged.split()
	if err != nil {
		return nil, err
	}
	return &resolved{exec: merged, argv: argv, env: environ(merged, program)}, nil
}

// environ is the environment of scripts, sorted by name.
func environ(e Exec, program []string) []string {
	vars := map[string]string{}
	for _, kv := range program {
		name, value, _ := strings.Cut(kv, "=")
		if name != "" && (isTrue(e.EnvInherit) || name == "PATH" || name == "HOME") {
			vars[name] = value
		}
	}
	maps.Copy(vars, e.Env)
	return list(vars)
}

// list is vars as NAME=value, sorted.
func list(vars map[string]string) []string {
	out := make([]string, 0, len(vars))
	for name, value := range vars {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

// lookup finds the last value of a name.
func lookup(env []string, name string) string {
	for _, kv := range slices.Backward(env) {
		if n, value, ok := strings.Cut(kv, "="); ok && n == name {
			return value
		}
	}
	return ""
}

// searchPath is where programs are looked for.
func searchPath(s Script) string {
	return cmp.Or(lookup(s.Env, "PATH"), lookup(s.Program, "PATH"), defaultPath)
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
