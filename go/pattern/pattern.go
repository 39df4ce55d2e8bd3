package pattern

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"time"

	"etcha/go/command"
	"etcha/go/jsonnet"
)

// Pattern is a rendered Pattern.
type Pattern struct {
	Audience    []string
	Build       []command.Command
	BuildExec   command.Exec
	BuildOutput string        // path of the artifact; empty: the caller's choice
	ExpiresIn   time.Duration // from the build; 0: never
	ID          string        // jti; empty: a random one
	Issuer      string
	Run         []command.Command
	RunExec     command.Exec
	RunVars     map[string]json.RawMessage
	Subject     string

	// Files is what was read or looked for, also by getFile.
	Files []jsonnet.File
	// Source is what an artifact carries.
	Source Source
}

// Source is a Pattern's text: etchaPattern in an artifact.
type Source struct {
	// Entrypoint is the path of the file to render, one of Files.
	Entrypoint string `json:"entrypoint"`
	// Files is the text of each file by its path, with slashes, relative to a
	// folder that all are below.
	Files map[string]string `json:"files"`
	// Kept is the values of native functions with cache: true, found at build.
	Kept map[string]json.RawMessage `json:"kept,omitempty"`
}

// Options is what a rendering may use.
type Options struct {
	// Jsonnet is the native functions' means, and the cache of results. Its
	// Config, Kept, Files and Root are set here.
	Jsonnet jsonnet.Options
	// Config is the configuration as JSON, an object, as getConfig gives it:
	// without secrets. Its vars are replaced. nil: {}.
	Config json.RawMessage
	Vars   Vars
}

// RenderFile renders the Pattern in the file at path. The error is a
// [jsonnet.Error] or [command.Problems] where a file is to blame.
func RenderFile(ctx context.Context, path string, o Options) (*Pattern, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("render Pattern: %w", err)
	}
	jo, err := o.jsonnet(filepath.Dir(path), path)
	if err != nil {
		return nil, err
	}
	r, err := jsonnet.Evaluate(ctx, path, jo)
	if err != nil {
		return nil, fmt.Errorf("render Pattern: %w", err)
	}
	return finish(r, path)
}

// RenderText renders text as if it stood in a file at path, which need not exist.
func RenderText(ctx context.Context, path, text string, o Options) (*Pattern, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("render Pattern: %w", err)
	}
	jo, err := o.jsonnet(filepath.Dir(path), path)
	if err != nil {
		return nil, err
	}
	r, err := jsonnet.EvaluateText(ctx, path, text, jo)
	if err != nil {
		return nil, fmt.Errorf("render Pattern: %w", err)
	}
	return finish(r, path)
}

func finish(r *jsonnet.Result, path string) (*Pattern, error) {
	p, err := decode(r, path)
	if err != nil {
		return nil, err
	}
	p.Files = r.Files
	p.Source, err = collect(r)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Render renders a Pattern whose files are given. dir, absolute, is where native
// functions and errors see the files' folder; it need not exist.
func (s Source) Render(ctx context.Context, dir string, o Options) (*Pattern, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("render Pattern: %w", err)
	}
	entrypoint := filepath.Join(dir, filepath.FromSlash(s.Entrypoint))
	jo, err := o.jsonnet(filepath.Join(dir, filepath.FromSlash(path.Dir(s.Entrypoint))), entrypoint)
	if err != nil {
		return nil, err
	}
	jo.Files, jo.Root, jo.Kept = s.Files, dir, s.Kept
	r, err := jsonnet.Evaluate(ctx, entrypoint, jo)
	if err != nil {
		return nil, fmt.Errorf("render Pattern: %w", err)
	}
	p, err := decode(r, entrypoint)
	if err != nil {
		return nil, err
	}
	p.Files, p.Source = r.Files, s
	return p, nil
}

// jsonnet is the options of the evaluation; srcDir and srcPath are for vars.
func (o Options) jsonnet(srcDir, srcPath string) (jsonnet.Options, error) {
	config := map[string]json.RawMessage{}
	if o.Config != nil {
		if err := json.Unmarshal(o.Config, &config); err != nil {
			return jsonnet.Options{}, fmt.Errorf("render Pattern: configuration: %w", err)
		}
	}
	vars, err := o.Vars.merge(srcDir, srcPath)
	if err != nil {
		return jsonnet.Options{}, fmt.Errorf("render Pattern: vars: %w", err)
	}
	config["vars"] = vars
	out := o.Jsonnet
	out.Config, err = json.Marshal(config)
	if err != nil {
		return jsonnet.Options{}, fmt.Errorf("render Pattern: configuration: %w", err)
	}
	return out, nil
}
