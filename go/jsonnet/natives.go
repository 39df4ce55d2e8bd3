package jsonnet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	gojsonnet "github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
)

// natives is the native functions of one evaluation.
type natives struct {
	ctx context.Context
	dir string // of the evaluated file
	im  *importer
	o   Options

	depth  int // how many render are under way around this evaluation
	memory *memory
}

// function is a native function: args are JSON values.
type function func(args []any) (any, error)

func (n natives) functions() []*gojsonnet.NativeFunction {
	return []*gojsonnet.NativeFunction{
		native("getArch", func([]any) (any, error) { return runtime.GOARCH, nil }),
		native("getCmd", n.kept("getCmd", 1, n.getCmd), "command", "fallback", "cache"),
		native("getEnv", n.kept("getEnv", 1, n.getEnv), "key", "fallback", "cache"),
		native("getFile", n.kept("getFile", 1, n.getFile), "path", "fallback", "cache"),
		native("getOS", func([]any) (any, error) { return runtime.GOOS, nil }),
		native("getPath", n.getPath),
		native("getRecord", n.kept("getRecord", 2, n.getRecord), "type", "name", "fallback", "cache"),
		native("randString", n.randString, "n"),
		native("regexMatch", regexMatch, "regex", "string"),
		native("getConfig", n.getConfig),
		native("get", get, "object", "filter", "default", "prefix"),
		native("jwtNew", n.kept("jwtNew", 1, n.jwtNew), "claims", "key", "cache"),
		native("jwtParse", n.jwtParse, "token", "keys", "fallback"),
		native("render", n.render, "string"),
		native(nativeNumber, formatNumber, "format", "number"),
		native(nativePad, formatPad, "format", "string"),
	}
}

func native(name string, f function, params ...ast.Identifier) *gojsonnet.NativeFunction {
	return &gojsonnet.NativeFunction{
		Name:   name,
		Params: params,
		Func: func(args []any) (any, error) {
			v, err := f(args)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return v, nil
		},
	}
}

// text is a string argument.
func text(what string, arg any) (string, error) {
	s, ok := arg.(string)
	if !ok {
		return "", fmt.Errorf("%s: a string is needed", what)
	}
	return s, nil
}

// orElse is the fallback when there is one, else err.
func orElse(fallback any, err error) (any, error) {
	if fallback == nil {
		return nil, err
	}
	return fallback, nil
}

func (n natives) getEnv(args []any) (any, error) {
	key, err := text("key", args[0])
	if err != nil {
		return nil, err
	}
	n.memory.askedFor(key)
	if value := lookup(n.o.Environ, key); value != nil {
		return *value, nil
	}
	return orElse(args[1], fmt.Errorf("%q is not set, and there is no fallback", key))
}

func (n natives) getPath([]any) (any, error) { return filepath.Abs(n.dir) }

func (n natives) getFile(args []any) (any, error) {
	path, err := text("path", args[0])
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://") {
		return n.fetch(path, args[1])
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(n.dir, path)
	}
	f := n.im.openDisk(path)
	if errors.Is(f.err, fs.ErrNotExist) || errors.Is(f.err, fs.ErrPermission) {
		return orElse(args[1], f.err)
	}
	if f.err != nil {
		return nil, f.err
	}
	return string(f.text), nil
}

// fetch reads a URL. Errors name it without its headers, user and query, which
// may hold secrets.
func (n natives) fetch(address string, fallback any) (any, error) {
	url, lines, _ := strings.Cut(address, "#")
	public := publicURL(url)
	n.memory.varies()
	if n.o.Fetch == nil {
		return nil, fmt.Errorf("%s: URLs cannot be read here", public)
	}
	var header []string
	for line := range strings.SplitSeq(lines, "\r\n") {
		if line != "" {
			header = append(header, line)
		}
	}
	body, err := n.o.Fetch(n.ctx, url, header)
	if err != nil {
		return orElse(fallback, fmt.Errorf("%s: %w", public, err))
	}
	if len(body) > MaxFile {
		return nil, fmt.Errorf("%s: %w", public, errTooLarge)
	}
	return string(body), nil
}

func publicURL(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	rest, _, _ = strings.Cut(rest, "?")
	host, path, _ := strings.Cut(rest, "/")
	host = host[strings.LastIndexByte(host, '@')+1:]
	return scheme + "://" + host + "/" + path
}

func (n natives) getCmd(args []any) (any, error) {
	command, err := text("command", args[0])
	if err != nil {
		return nil, err
	}
	n.memory.varies()
	if n.o.Run == nil {
		return nil, errors.New("commands cannot be run here")
	}
	out, err := n.o.Run(n.ctx, command)
	if err != nil {
		return orElse(args[1], err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(out, "\n"), "\r"), nil
}

// letters are what randString draws from.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func (n natives) randString(args []any) (any, error) {
	length, ok := args[0].(float64)
	if !ok || length != math.Trunc(length) || length < 0 || length > MaxRandString {
		return nil, fmt.Errorf("n: a whole number from 0 to %d is needed", MaxRandString)
	}
	n.memory.varies()
	source := n.o.Rand
	if source == nil {
		source = rand.Reader
	}
	out := make([]byte, 0, int(length))
	b := make([]byte, 1)
	for len(out) < int(length) {
		if _, err := source.Read(b); err != nil {
			return nil, err
		}
		// Bytes at and above the last multiple are drawn again: all are equally likely.
		if int(b[0]) < 256-256%len(letters) {
			out = append(out, letters[int(b[0])%len(letters)])
		}
	}
	return string(out), nil
}

func regexMatch(args []any) (any, error) {
	regex, err := text("regex", args[0])
	if err != nil {
		return nil, err
	}
	s, err := text("string", args[1])
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(regex)
	if err != nil {
		return nil, err
	}
	return re.MatchString(s), nil
}
