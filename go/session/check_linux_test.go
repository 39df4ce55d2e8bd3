package session

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etcha/go/authz"
)

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	plain, tool := filepath.Join(dir, "plain"), filepath.Join(dir, "tool")
	for file, mode := range map[string]os.FileMode{plain: 0o600, tool: 0o700} {
		if err := os.WriteFile(file, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		exec authz.Exec
		want string // "": nothing is wrong
	}{
		{"login shell", authz.Exec{}, ""},
		{"absolute", authz.Exec{Argv: []string{"/bin/sh"}, WorkDir: dir}, ""},
		{"by PATH", authz.Exec{Argv: []string{"sh"}}, ""},
		{"by its own PATH", authz.Exec{Argv: []string{"tool"}, Env: map[string]string{"PATH": "/nowhere:" + dir}}, ""},
		{"not in its own PATH", authz.Exec{Argv: []string{"sh"}, Env: map[string]string{"PATH": dir}}, `program "sh" is not found in PATH`},
		{"missing", authz.Exec{Argv: []string{"/no/such/shell"}}, "/no/such/shell: no such file"},
		{"not executable", authz.Exec{Argv: []string{plain}}, "not an executable file"},
		{"a folder", authz.Exec{Argv: []string{dir}}, "not an executable file"},
		{"no such folder", authz.Exec{WorkDir: "/no/such/dir"}, "work directory: "},
		{"folder is a file", authz.Exec{WorkDir: plain}, "is not a directory"},
		{"no such user", authz.Exec{User: "nobody-here"}, `user "nobody-here": no such user`},
	} {
		err := Check(c.exec)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if err := Check(authz.Exec{Argv: []string{plain}}); !errors.Is(err, errNotProgram) {
		t.Errorf("got %v", err)
	}
}
