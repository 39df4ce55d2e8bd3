package house

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ranks: a package imports strictly lower ranks only.
// docs/explanations/architecture.md shows the same table.
var ranks = map[string]int{
	"etcha/go/wire":       0,
	"etcha/go/pty":        0,
	"etcha/go/sse":        0,
	"etcha/go/shellwords": 0,
	"etcha/go/errs":       1,
	"etcha/go/logs":       1,
	"etcha/go/metrics":    1,
	"etcha/go/token":      2,
	"etcha/go/jsonnet":    2,
	"etcha/go/resource":   1,
	"etcha/go/command":    2,
	"etcha/go/pattern":    3,
	"etcha/go/rule":       2,
	"etcha/go/record":     2,
	"etcha/go/audit":      2,
	"etcha/go/authz":      3,
	"etcha/go/config":     3,
	"etcha/go/keeper":     3,
	"etcha/go/client":     3,
	"etcha/go/ship":       3,
	"etcha/go/session":    4,
	"etcha":               4,
	"etcha/go/server":     5,
	"etcha/go/cli":        6,
	"etcha/go/cmd/etcha":  7,

	// Tests only.
	"etcha/go/house":       8,
	"etcha/go/e2e":         8,
	"etcha/config":         8,
	"etcha/hugo":           8,
	"etcha/go/e2e/testkit": 7,
}

// owners: a third-party module has one importing package. The longest prefix counts.
var owners = map[string][]string{
	"github.com/lestrrat-go/jwx/v2":       {"etcha/go/token"},
	"golang.org/x/crypto":                 {"etcha/go/token"},
	"github.com/creack/pty":               {"etcha/go/pty"},
	"github.com/r3labs/sse/v2":            {"etcha/go/sse"},
	"github.com/prometheus":               {"etcha/go/metrics"},
	"github.com/knadh/koanf":              {"etcha/go/config"},
	"github.com/go-viper/mapstructure/v2": {"etcha/go/config"},
	"github.com/google/go-jsonnet":        {"etcha/go/jsonnet"},
	"github.com/spf13":                    {"etcha/go/cli"},
	"golang.org/x/term":                   {"etcha/go/cli"},
	"github.com/coreos/go-systemd/v22":    {"etcha/go/server"},
	"github.com/expr-lang/expr":           {"etcha/go/rule"},
	"github.com/minio/minio-go/v7":        {"etcha/go/ship"},
	"golang.org/x/time":                   {"etcha/go/server"},
	"golang.org/x/net":                    {"etcha/go/client", "etcha/go/server"},
	"golang.org/x/sys":                    {"etcha/go/pty", "etcha/go/keeper", "etcha/go/cli", "etcha/go/server", "etcha/go/token"},
	"golang.org/x/sync":                   {"etcha/go/server", "etcha/go/cli"},
}

// reserved: packages of the standard library that only some may import.
var reserved = map[string][]string{
	"os/exec":  {"etcha/go/pty", "etcha/go/command", "etcha/go/keeper", "etcha/go/cli"},
	"net/http": {"etcha", "etcha/go/client", "etcha/go/server", "etcha/go/sse"}, // sse: for its library's Server
}

type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

// packages lists the module's packages as one platform builds them.
func packages(t *testing.T, goos string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "etcha/...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages for %s: %v", goos, err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("only %d packages listed for %s", len(all), goos)
	}
	return all
}

func TestRanks(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, p := range packages(t, goos) {
			rank, ok := ranks[p.ImportPath]
			if !ok {
				t.Errorf("package %s has no rank: add it to ranks and to docs/explanations/architecture.md", p.ImportPath)
				continue
			}
			for _, imp := range p.Imports {
				if imp != "etcha" && !strings.HasPrefix(imp, "etcha/") {
					continue
				}
				if r, ok := ranks[imp]; !ok || r >= rank {
					t.Errorf("%s (rank %d) imports %s (rank %d): only lower ranks may be imported", p.ImportPath, rank, imp, r)
				}
			}
		}
	}
}

func TestRankedPackagesExist(t *testing.T) {
	have := map[string]bool{}
	for _, p := range packages(t, "linux") {
		have[p.ImportPath] = true
	}
	for name, rank := range ranks {
		if !have[name] && rank < 8 {
			t.Errorf("ranks names %s, which does not exist", name)
		}
	}
}

func TestLibraryOwners(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, p := range packages(t, goos) {
			if p.ImportPath == "etcha/go/e2e/testkit" {
				continue // tests only: real parts of all kinds
			}
			for _, imp := range p.Imports {
				checkOwner(t, p.ImportPath, imp)
			}
		}
	}
}

func checkOwner(t *testing.T, importer, imp string) {
	t.Helper()
	if allowed, ok := reserved[imp]; ok && !slices.Contains(allowed, importer) {
		t.Errorf("%s imports %s, which only %v may", importer, imp, allowed)
	}
	first, _, _ := strings.Cut(imp, "/")
	if !strings.Contains(first, ".") {
		return
	}
	for prefix := imp; prefix != "."; prefix = path.Dir(prefix) {
		if allowed, ok := owners[prefix]; ok {
			if !slices.Contains(allowed, importer) {
				t.Errorf("%s imports %s, which belongs to %v", importer, imp, allowed)
			}
			return
		}
	}
	t.Errorf("%s imports %s, which has no owner: add it to owners", importer, imp)
}

// sources walks the module's Go files that are not tests.
func sources(t *testing.T, visit func(file string, fset *token.FileSet, f *ast.File)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && file != root || d.Name() == "testdata" || d.Name() == "node_modules") && d.Name() != ".." {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		visit(file, fset, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoInitNoExit(t *testing.T) {
	sources(t, func(file string, fset *token.FileSet, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					t.Errorf("%s: init function", fset.Position(n.Pos()))
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "os" && n.Sel.Name == "Exit" && f.Name.Name != "main" {
					t.Errorf("%s: os.Exit outside main", fset.Position(n.Pos()))
				}
			}
			return true
		})
	})
}

// Mutable state of a package would be shared by all nodes and clients of a process.
func TestNoPackageVariables(t *testing.T) {
	sources(t, func(file string, fset *token.FileSet, f *ast.File) {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if v.Names[0].Name == "_" || constantLike(v) {
					continue
				}
				t.Errorf("%s: package variable %s", fset.Position(v.Pos()), v.Names[0].Name)
			}
		}
	})
}

// constantLike accepts what Go cannot declare constant but nobody changes:
// error values, compiled patterns, embedded files and tables. What is declared
// to be filled later is refused.
func constantLike(v *ast.ValueSpec) bool {
	if len(v.Values) == 0 {
		if sel, ok := v.Type.(*ast.SelectorExpr); ok {
			return sel.Sel.Name == "FS"
		}
		if id, ok := v.Type.(*ast.Ident); ok {
			return id.Name == "string" // go:embed, or set by the linker
		}
		_, slice := v.Type.(*ast.ArrayType) // go:embed of bytes
		return slice
	}
	for _, val := range v.Values {
		switch val := val.(type) {
		case *ast.CompositeLit, *ast.BasicLit:
		case *ast.SelectorExpr: // an error of another package under a public name
			if !strings.HasPrefix(val.Sel.Name, "Err") {
				return false
			}
		case *ast.UnaryExpr:
			if _, ok := val.X.(*ast.CompositeLit); !ok {
				return false
			}
		case *ast.CallExpr:
			if id, ok := val.Fun.(*ast.Ident); ok && (id.Name == "make" || id.Name == "new") {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for _, p := range packages(t, "linux") {
		if len(p.GoFiles) == 0 {
			continue
		}
		documented := false
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || f.Doc != nil
		}
		if !documented {
			t.Errorf("package %s has no package comment", p.ImportPath)
		}
	}
}

// A file over the budget says why above its package clause, or is split.
func TestFileSize(t *testing.T) {
	const budget = 400
	sources(t, func(file string, fset *token.FileSet, f *ast.File) {
		lines := fset.File(f.Pos()).LineCount()
		if lines > budget && !strings.Contains(f.Doc.Text(), "one file because") {
			t.Errorf("%s has %d lines, over %d: split it, or say in its comment that it is \"one file because …\"", file, lines, budget)
		}
	})
}

func TestTopLevel(t *testing.T) {
	allowed := []string{
		".ci", ".git", ".gitignore", "Makefile", "README.md", "config", "docs", "etcha.jsonnet", "go", "go.mod", "go.sum",
		"hugo", "shell.go", "bin", "LICENSE",
		// The rest of package etcha, which shell.go leads.
		"example_test.go", "errors.go", "options.go", "session.go", "sessions.go",
	}
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(allowed, e.Name()) && !strings.HasSuffix(e.Name(), "_test.go") {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}
