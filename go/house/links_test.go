package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Names of configuration files and documents that the manual and the README
// mention exist.
func TestDocumentedFilesExist(t *testing.T) {
	mention := regexp.MustCompile("`((?:config|docs|hugo|go)/[a-zA-Z0-9_./-]+)`|\\]\\((docs/[a-zA-Z0-9_./-]+)\\)")
	root := filepath.Join("..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mention.FindAllStringSubmatch(string(text), -1) {
			name := m[1] + m[2]
			found++
			if strings.HasPrefix(name, "hugo/public") || strings.Contains(name, "...") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf("%s mentions %s, which does not exist", page, name)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d mentions found: the pattern is wrong", found)
	}
}
