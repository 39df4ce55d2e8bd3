package jsonnet

import (
	"path/filepath"

	"github.com/google/go-jsonnet/ast"
	"github.com/google/go-jsonnet/toolutils"
)

// Source is a file that an evaluation's files name.
type Source struct {
	Path     string // absolute
	Text     string
	From     Place // of the import; the zero value for the first file
	Absolute bool  // the import names it by an absolute path
}

// Sources is the first file and all that it and its imports name in import,
// importstr and importbin, whether the evaluation came there or not. Files that
// cannot be read are left out: the evaluation passed them by.
func (r *Result) Sources() []Source {
	if r.tree == nil {
		return nil
	}
	r.tree.mu.Lock()
	defer r.tree.mu.Unlock()
	w := walker{tree: r.tree, seen: map[string]bool{}, visited: map[ast.Node]bool{}}
	w.add(r.tree.path, Place{}, false)
	w.look(r.tree.root)
	return w.found
}

type walker struct {
	tree  *tree
	seen  map[string]bool
	found []Source

	visited map[ast.Node]bool
}

// add takes a file up and reports whether it is a new one.
func (w *walker) add(path string, from Place, absolute bool) bool {
	if w.seen[path] {
		return false
	}
	w.seen[path] = true
	f := w.tree.im.open(path, from == Place{})
	abs, err := filepath.Abs(path)
	if f.err != nil || err != nil {
		return false
	}
	w.found = append(w.found, Source{Path: abs, Text: string(f.text), From: from, Absolute: absolute})
	return true
}

func (w *walker) look(n ast.Node) {
	if w.visited[n] { // a replaced format shares its parts
		return
	}
	w.visited[n] = true
	switch n := n.(type) {
	case *ast.Import:
		if path, isNew := w.file(n, n.File.Value); isNew {
			if root, _, err := w.tree.vm.ImportAST(n.Loc().FileName, n.File.Value); err == nil && path != "" {
				w.look(root)
			}
		}
		return
	case *ast.ImportStr:
		w.file(n, n.File.Value)
		return
	case *ast.ImportBin:
		w.file(n, n.File.Value)
		return
	}
	for _, child := range toolutils.Children(n) {
		w.look(child)
	}
}

func (w *walker) file(n ast.Node, name string) (path string, isNew bool) {
	_, path, err := w.tree.im.Import(n.Loc().FileName, name)
	if err != nil {
		return "", false
	}
	at := *n.Loc()
	from := Place{File: at.FileName, Line: at.Begin.Line, Column: at.Begin.Column}
	return path, w.add(path, from, filepath.IsAbs(name))
}
