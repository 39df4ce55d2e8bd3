package config

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"etcha/go/jsonnet"
)

// LoadOptions says where a configuration comes from.
type LoadOptions struct {
	Path      string   // the file; empty: looked for
	Dir       string   // where the search starts; empty: the working directory
	System    string   // the last place of the search; empty: SystemPath
	Environ   []string // "NAME=value"
	Overrides []string // -x, in the order given

	// KeyCheck checks one entry of verifyKeys; nil: they are not checked.
	KeyCheck func(key string) error
	// Jsonnet is what the native functions may use; its Environ is set by Load.
	Jsonnet jsonnet.Options
}

// Loaded is a configuration and where it came from.
type Loaded struct {
	Config *Config
	Path   string         // the file; empty: none was found
	Files  []jsonnet.File // every file that was read or looked for

	tree map[string]any // typed, see checker
	root *node
	from map[string]*layer
	opts LoadOptions
	lost bool // the search failed
}

// Load reads a configuration: defaults, file, environment, -x. Everything that is
// wrong is in one error, an [Invalid]. The result is never nil; after an error
// its Config is, and [Loaded.Changed] tells when to try again.
func Load(ctx context.Context, o LoadOptions) (*Loaded, error) {
	c := &checker{root: schema(), from: map[string]*layer{}}
	l := &Loaded{root: c.root, from: c.from, opts: o}
	l.opts.Jsonnet.Environ = o.Environ
	layers, broken := l.layers(ctx, c)
	if broken {
		return l, invalid(c.problems)
	}
	trees := make([]map[string]any, len(layers))
	for i, one := range layers {
		trees[i] = c.layer(one)
	}
	if err := l.merge(trees); err != nil {
		return l, err
	}
	config := new(Config)
	if err := l.decode(config); err != nil {
		return l, err
	}
	v := validator{l: l, c: config, found: c.problems}
	v.all()
	if err := invalid(v.found); err != nil {
		return l, err
	}
	l.Config = config
	return l, nil
}

// Check is everything that is wrong with the configuration that [Load] would
// read: nil when it would load.
func Check(ctx context.Context, o LoadOptions) []error {
	_, err := Load(ctx, o)
	return Problems(err)
}

// layers reads the layers above the defaults. A file or variable that cannot be
// evaluated is reported, and broken: what the others say means little without it.
func (l *Loaded) layers(ctx context.Context, c *checker) (all []*layer, broken bool) {
	file, whole := l.file(ctx, c), l.variable(ctx, c)
	broken = len(c.problems) > 0
	for _, one := range []*layer{file, whole} {
		if one != nil {
			all = append(all, one)
		}
	}
	for _, o := range append(c.environment(l.opts.Environ), c.flags(l.opts.Overrides)...) {
		one, err := o.layer()
		if err != nil {
			c.problems = append(c.problems, problemf(Origin{Kind: o.kind, Name: o.name}, nil, "%s", err))
			continue
		}
		all = append(all, one)
	}
	return all, broken
}

// file is the layer of the file, nil when there is none or it is broken.
func (l *Loaded) file(ctx context.Context, c *checker) *layer {
	path, err := l.opts.find()
	l.Path, l.lost = path, err != nil
	if err != nil {
		c.problems = append(c.problems, &Problem{Origin: Origin{Kind: FromFile, Name: FileName}, Err: err})
		return nil
	}
	if path == "" {
		return nil
	}
	r, err := jsonnet.Evaluate(ctx, path, l.opts.Jsonnet)
	return l.evaluated(c, &layer{kind: FromFile, name: path}, r, err)
}

// variable is the layer of etcha_config.
func (l *Loaded) variable(ctx context.Context, c *checker) *layer {
	text := getenv(l.opts.Environ, envWhole)
	if strings.TrimSpace(text) == "" {
		return nil
	}
	r, err := jsonnet.EvaluateText(ctx, filepath.Join(l.opts.Dir, envWhole), text, l.opts.Jsonnet)
	return l.evaluated(c, &layer{kind: FromEnvironment, name: envWhole}, r, err)
}

func (l *Loaded) evaluated(c *checker, from *layer, r *jsonnet.Result, err error) *layer {
	l.Files = append(l.Files, r.Files...)
	if err != nil {
		c.problems = append(c.problems, fileProblem(from, err))
		return nil
	}
	from.source = r
	value, err := decodeJSON(r.JSON)
	if err != nil {
		c.problems = append(c.problems, fileProblem(from, err))
		return nil
	}
	tree, ok := value.(map[string]any)
	if !ok {
		c.problems = append(c.problems, problemf(from.origin(nil), nil,
			"a configuration is an object, not %s", typeName(value)))
		return nil
	}
	from.tree = tree
	return from
}

// merge lays the trees over the defaults. Objects and maps merge by key, all else
// is replaced.
func (l *Loaded) merge(trees []map[string]any) error {
	h := thisHost(func(name string) string { return getenv(l.opts.Environ, name) })
	k := koanf.New(delimiter)
	for _, tree := range append([]map[string]any{withMembers(h.defaults(), trees)}, trees...) {
		if err := k.Load(confmap.Provider(tree, ""), nil); err != nil {
			return fmt.Errorf("merge the configuration: %w", err)
		}
	}
	l.tree = k.Raw()
	return nil
}

// decode fills config from the tree, in which each value has its key's type
// already; a value that has no place is a defect of the schema.
func (l *Loaded) decode(config *Config) error {
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		TagName:     "koanf",
		ErrorUnused: true,
		MatchName:   func(key, name string) bool { return key == name },
		Result:      config,
	})
	if err != nil {
		return fmt.Errorf("decode the configuration: %w", err)
	}
	if err := d.Decode(l.tree); err != nil {
		return fmt.Errorf("decode the configuration: %w", err)
	}
	return nil
}

// getenv is the last value of name.
func getenv(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if n, value, ok := strings.Cut(environ[i], "="); ok && n == name {
			return value
		}
	}
	return ""
}

// Changed reports whether a file that was read or looked for is another one now,
// or the search would find another. What native functions asked commands, the
// network or the environment is not looked at.
func (l *Loaded) Changed() bool {
	path, err := l.opts.find()
	if path != l.Path || (err != nil) != l.lost {
		return true
	}
	for _, f := range l.Files {
		if f.Changed() {
			return true
		}
	}
	return false
}
