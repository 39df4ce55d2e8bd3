package jsonnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
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
	// Config is what getConfig gives, as JSON; nil: there is none.
	Config json.RawMessage
	// SignJWT makes the token of jwtNew: claims as JSON, key a private key's text.
	SignJWT func(ctx context.Context, claims json.RawMessage, key string) (string, error)
	// ParseJWT gives the claims of a token for jwtParse that one of the keys, at
	// least one, has signed, as JSON; keys are public keys' texts.
	ParseJWT func(ctx context.Context, token string, keys []string) (json.RawMessage, error)
	// Kept is the values of native functions with cache: true that an earlier
	// evaluation found; see [Result.Kept].
	Kept map[string]json.RawMessage
	// Files, when not nil, is all files there are, in place of the disk's, by
	// their paths relative to the folder Root. Nothing else is read.
	Files map[string]string
	Root  string
	// Cache keeps results; nil: each evaluation begins anew.
	Cache *Cache
}

// Result is what an evaluation gave.
type Result struct {
	JSON  []byte // the value; numbers are IEEE 754 doubles
	Files []File // every file that was read or looked for, in that order
	// Kept is the values that native functions called with cache: true gave, by
	// function and arguments. With [Options.Kept] another machine gets the same.
	Kept map[string]json.RawMessage

	tree *tree
}

// tree is the parsed files of a result. A cached result has several users, and
// the evaluator's machine allows one at a time.
type tree struct {
	mu   sync.Mutex
	vm   *gojsonnet.VM
	im   *importer
	root ast.Node
	path string // of the first file
}

// Evaluate evaluates the file at path. The result is never nil; after an error
// it has its Files alone. The error is an [Error] where a file is to blame.
func Evaluate(ctx context.Context, path string, o Options) (*Result, error) {
	return evaluate(ctx, path, "", newImporter(o), o)
}

// EvaluateText evaluates text as if it stood in a file at path, which need not
// exist: imports and getFile are relative to it, and errors name it.
func EvaluateText(ctx context.Context, path, text string, o Options) (*Result, error) {
	im := newImporter(o)
	im.add(path, text)
	return evaluate(ctx, path, text, im, o)
}

func evaluate(ctx context.Context, path, text string, im *importer, o Options) (*Result, error) {
	if o.Cache == nil {
		return evaluateAnew(ctx, path, im, o, newMemory(o.Kept))
	}
	key := o.Cache.key(path, text, o)
	if r := o.Cache.find(key, o.Environ); r != nil {
		return r, nil
	}
	m := newMemory(o.Kept)
	r, err := evaluateAnew(ctx, path, im, o, m)
	if err == nil {
		o.Cache.add(key, r, o.Environ, im.size(), m)
	}
	return r, err
}

func evaluateAnew(ctx context.Context, path string, im *importer, o Options, m *memory) (*Result, error) {
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	im.ctx = ctx
	vm := newVM(natives{ctx: ctx, dir: filepath.Dir(path), im: im, o: o, memory: m})
	done := make(chan outcome, 1)
	go func() { done <- run(vm, im, path) }()
	select {
	case r := <-done:
		if r.err != nil {
			return &Result{Files: im.read()}, explain(path, r.err)
		}
		t := &tree{vm: vm, im: im, root: r.root, path: path}
		return &Result{JSON: []byte(r.json), Files: im.read(), Kept: m.found(), tree: t}, nil
	case <-ctx.Done():
		err := ctx.Err()
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("not finished after %s", timeout)
		}
		return &Result{Files: im.read()}, &Error{File: path, Text: "evaluation", Err: err}
	}
}

func newVM(n natives) *gojsonnet.VM {
	vm := gojsonnet.MakeVM()
	vm.MaxStack = MaxStack
	vm.Importer(n.im)
	trace := n.o.Trace
	if trace == nil {
		trace = io.Discard
	}
	vm.SetTraceOut(trace)
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
	im.prepare(vm, root, map[string]bool{path: true})
	rewrite(&root)
	text, err := vm.Evaluate(root)
	return outcome{json: text, root: root, err: err}
}
