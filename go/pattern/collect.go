package pattern

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"etcha/go/command"
	"etcha/go/jsonnet"
)

// Bounds of an artifact's files.
const (
	maxFiles = jsonnet.MaxFiles
	maxPath  = 1024 // bytes of one file's path
)

// collect is the files that a rendering's files name, below their common folder.
func collect(r *jsonnet.Result) (Source, error) {
	sources := r.Sources()
	if len(sources) == 0 {
		return Source{}, errors.New("collect files: nothing was evaluated")
	}
	root := filepath.Dir(sources[0].Path)
	var problems command.Problems
	for _, s := range sources {
		at := command.Position{File: s.From.File, Line: s.From.Line}
		switch {
		case s.Absolute:
			problems = append(problems, command.Problem{At: at, Text: "an artifact cannot carry " + s.Path, Fix: "import it by a path relative to the importing file"})
		case !utf8.ValidString(s.Text):
			problems = append(problems, command.Problem{At: at, Text: "an artifact cannot carry " + s.Path + ", which is not UTF-8", Fix: "store it as base64"})
		}
		for !below(root, s.Path) {
			root = filepath.Dir(root)
		}
	}
	if len(problems) > 0 {
		return Source{}, problems
	}
	out := Source{Files: make(map[string]string, len(sources)), Kept: r.Kept}
	for i, s := range sources {
		rel, err := filepath.Rel(root, s.Path)
		if err != nil {
			return Source{}, fmt.Errorf("collect files: %w", err)
		}
		rel = filepath.ToSlash(rel)
		out.Files[rel] = s.Text
		if i == 0 {
			out.Entrypoint = rel
		}
	}
	return out, nil
}

// below reports whether path is below root, or root has nothing above it.
func below(root, path string) bool {
	if filepath.Dir(root) == root {
		return true
	}
	return strings.HasPrefix(path, root+string(filepath.Separator))
}

// check refuses a source whose paths could leave its folder.
func (s Source) check() error {
	if len(s.Files) == 0 || len(s.Files) > maxFiles {
		return fmt.Errorf("etchaPattern has %d files: 1 to %d are needed", len(s.Files), maxFiles)
	}
	for name := range s.Files {
		if len(name) > maxPath || name == "." || !fs.ValidPath(name) || strings.ContainsAny(name, "\\:\x00") {
			return fmt.Errorf("etchaPattern: %.64q is not a path below its folder", name)
		}
	}
	if _, ok := s.Files[s.Entrypoint]; !ok {
		return fmt.Errorf("etchaPattern: the entrypoint %.64q is not among the files", s.Entrypoint)
	}
	return nil
}
