package rule

import (
	"errors"
	"fmt"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// Bounds of a rule. One that is larger is a program, and belongs elsewhere.
const (
	maxText  = 8 << 10 // bytes
	maxNodes = 1000
	maxList  = 4 << 10 // entries of the lists that an evaluation makes
)

// Env is what a rule may ask about. The expr tags are its words.
type Env struct {
	Op      string            `expr:"op"`      // open, attach, list, watch, join, kill
	Key     Key               `expr:"key"`     // of who asks
	Sub     string            `expr:"sub"`     // who asks, by the own word
	Addr    string            `expr:"addr"`    // address of who asks
	Source  string            `expr:"source"`  // name of the source
	Process string            `expr:"process"` // one of the source's processes; empty: its own shell
	Command string            `expr:"command"` // the client's command line, or its arguments joined by blanks; empty: the source's own
	Args    []string          `expr:"args"`    // the program and its arguments, the client's or the source's own; empty: the user's login shell
	PTY     bool              `expr:"pty"`     // on a terminal
	Detach  bool              `expr:"detach"`  // opened to be left
	Env     map[string]string `expr:"env"`     // the client's variables that passed the filter
	Labels  map[string]string `expr:"labels"`  // of the node
	Own     bool              `expr:"own"`     // who asks opened the session
	Opener  Key               `expr:"opener"`  // key that opened the session; who asks, for open
	Now     time.Time         `expr:"now"`     // the node's local time
}

// Key is a public key.
type Key struct {
	ID         string `expr:"id"`         // as the configuration has it; may be empty
	Thumbprint string `expr:"thumbprint"` // SHA256:…
}

// Rule is a compiled expression. It is safe for concurrent use.
type Rule struct {
	text    string
	program *vm.Program
}

// Compile checks an expression. The error says in plain words what is wrong and
// where, as line:column from 1.
func Compile(text string) (*Rule, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("the rule has %d bytes; the limit is %d", len(text), maxText)
	}
	if err := check(text); err != nil {
		return nil, err
	}
	p, err := expr.Compile(text, options()...)
	if err != nil {
		return nil, explain(err)
	}
	return &Rule{text: text, program: p}, nil
}

func options() []expr.Option {
	o := []expr.Option{expr.Env(words{}), expr.AsBool(), expr.WarnOnAny(), expr.MaxNodes(maxNodes), expr.DisableAllBuiltins()}
	for _, name := range builtins() {
		o = append(o, expr.EnableBuiltin(name))
	}
	return o
}

// String is the expression.
func (r *Rule) String() string { return r.text }

// errNoRule means that a nil rule was asked.
var errNoRule = errors.New("there is no rule")

// True evaluates the rule. An error means no, and says where in the rule, but
// none of the values of e.
func (r *Rule) True(e Env) (bool, error) {
	if r == nil {
		return false, errNoRule
	}
	machine := vm.VM{MemoryBudget: maxList}
	v, err := machine.Run(r.program, wordsOf(e))
	if err != nil {
		return false, fmt.Errorf("evaluate rule: %w", failure(err))
	}
	yes, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("evaluate rule: it gives %T, not true or false", v)
	}
	return yes, nil
}
