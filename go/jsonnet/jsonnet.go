package jsonnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	gojsonnet "github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
)

// Limits of one evaluation. What lies beyond one is an error.
const (
	// MaxFile bounds each file that is read or fetched, bytes.
	MaxFile = 8 << 20
	// MaxTotal bounds all files of one evaluation together, bytes.
	MaxTotal = 64 << 20
	// MaxFiles bounds the number of files of one evaluation.
	MaxFiles = 4096
	// MaxStack bounds the depth of calls.
	MaxStack = 500
	// MaxNesting bounds how much of an expression may be open around a place,
	// weighed as nesting.go says: 4,000 brackets, or a sum of 12,000 numbers.
	MaxNesting = 64_000
	// MaxRandString bounds the argument of randString.
	MaxRandString = 4096
	// DefaultTimeout bounds the time of one evaluation.
	DefaultTimeout = 30 * time.Second
)

// Options is what an evaluation may use. The zero value reads files and nothing
// else.
type Options struct {
	// Environ is what getEnv sees, "NAME=value"; the last of a name counts.
	Environ []string
	// Fetch reads a URL for getFile; header lines are "Name: value".
	Fetch func(ctx context.Context, url string, header []string) ([]byte, error)
	// Lookup answers getRecord; kind is A, AAAA, CNAME or TXT.
	Lookup func(ctx context.Context, kind, name string) ([]string, error)
	// Run runs a command for getCmd and gives its output.
	Run func(ctx context.Context, command string) (string, error)
	// Rand is where randString's randomness is from; nil: crypto/rand.
	Rand io.Reader
	// Trace gets what std.trace prints; nil: nobody.
	Trace io.Writer
	// Timeout of the evaluation; 0: DefaultTimeout.
	Timeout time.Duration
}

// Result is what an evaluation gave.
type Result struct {
	JSON  []byte // the value; numbers are IEEE 754 doubles
	Files []File // every file that was read or looked for, in that order

	vm   *gojsonnet.VM
	root ast.Node
}

// Evaluate evaluates the file at path. The result is never nil; after an error
// it has its Files alone. The error is an [Error] where a file is to blame.
func Evaluate(ctx context.Context, path string, o Options) (*Result, error) {
	return evaluate(ctx, path, newImporter(), o)
}

// EvaluateText evaluates text as if it stood in a file at path, which need not
// exist: imports and getFile are relative to it, and errors name it.
func EvaluateText(ctx context.Context, path, text string, o Options) (*Result, error) {
	im := newImporter()
	im.add(path, text)
	return evaluate(ctx, path, im, o)
}

func evaluate(ctx context.Context, path string, im *importer, o Options) (*Result, error) {
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	im.ctx = ctx
	vm := newVM(ctx, path, im, o)
	done := make(chan outcome, 1)
	go func() { done <- run(vm, im, path) }()
	select {
	case r := <-done:
		if r.err != nil {
			return &Result{Files: im.read()}, explain(path, r.err)
		}
		return &Result{JSON: []byte(r.json), Files: im.read(), vm: vm, root: r.root}, nil
	case <-ctx.Done():
		err := ctx.Err()
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("not finished after %s", timeout)
		}
		return &Result{Files: im.read()}, &Error{File: path, Text: "evaluation", Err: err}
	}
}

func newVM(ctx context.Context, path string, im *importer, o Options) *gojsonnet.VM {
	vm := gojsonnet.MakeVM()
	vm.MaxStack = MaxStack
	vm.Importer(im)
	trace := o.Trace
	if trace == nil {
		trace = io.Discard
	}
	vm.SetTraceOut(trace)
	n := natives{ctx: ctx, dir: filepath.Dir(path), im: im, o: o}
	for _, f := range n.functions() {
		vm.NativeFunction(f)
	}
	return vm
}

type outcome struct {
	json string
	root ast.Node
	err  error
}

// run turns the parser's panics into errors, as the evaluator does with its own.
func run(vm *gojsonnet.VM, im *importer, path string) (r outcome) {
	defer func() {
		if p := recover(); p != nil {
			r = outcome{err: fmt.Errorf("the Jsonnet parser crashed: %v", p)}
		}
	}()
	if err := im.checkCode(path); err != nil {
		return outcome{err: err}
	}
	root, _, err := vm.ImportAST("", path)
	if err != nil {
		return outcome{err: err}
	}
	im.checkImports(vm, root, map[string]bool{path: true})
	json, err := vm.Evaluate(root)
	return outcome{json: json, root: root, err: err}
}
