// Package rule is the language of policy: an expression over who asks, for
// what, where and when, that is true or false. It alone knows the expr library.
package rule

import (
	"fmt"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// Env is what a rule may ask about. The expr tags are its words.
type Env struct {
	Op      string            `expr:"op"`      // open, attach, list, watch, join, kill
	Key     Key               `expr:"key"`     // of who asks
	Sub     string            `expr:"sub"`     // who asks, by the own word
	Addr    string            `expr:"addr"`    // address of who asks
	Source  string            `expr:"source"`  //
	Process string            `expr:"process"` //
	Command string            `expr:"command"` // the client's command line, or its arguments joined by blanks; empty: the source's own
	Args    []string          `expr:"args"`    // the program and its arguments, the client's or the source's own
	PTY     bool              `expr:"pty"`
	Detach  bool              `expr:"detach"`
	Env     map[string]string `expr:"env"`    // the client's variables that passed the filter
	Labels  map[string]string `expr:"labels"` // of the node
	Own     bool              `expr:"own"`    // who asks opened the session
	Opener  Key               `expr:"opener"` // key that opened the session; who asks, for open
	Now     time.Time         `expr:"now"`    // the node's local time
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

// Compile checks an expression.
func Compile(text string) (*Rule, error) {
	p, err := expr.Compile(text, expr.Env(Env{}), expr.AsBool())
	if err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	return &Rule{text: text, program: p}, nil
}

// String is the expression.
func (r *Rule) String() string { return r.text }

// True evaluates the rule.
func (r *Rule) True(e Env) (bool, error) {
	v, err := expr.Run(r.program, e)
	if err != nil {
		return false, fmt.Errorf("rule: %w", err)
	}
	b, _ := v.(bool)
	return b, nil
}
