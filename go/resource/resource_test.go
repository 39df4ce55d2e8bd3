package resource

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func content(s string) *[]byte { b := []byte(s); return &b }

func put(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func wantDifference(t *testing.T, what string, err error, part string) {
	t.Helper()
	var d *Difference
	if !errors.As(err, &d) || !strings.Contains(err.Error(), part) {
		t.Errorf("%s: %v, want a difference with %q", what, err, part)
	}
}

func wantOK(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func wantError(t *testing.T, what string, err error, part string) {
	t.Helper()
	var d *Difference
	if err == nil || errors.As(err, &d) || !strings.Contains(err.Error(), part) {
		t.Errorf("%s: %v, want an error with %q", what, err, part)
	}
}

// tree is everything below a folder, as text.
func tree(t interface{ Fatal(...any) }, dir string) string {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		switch {
		case info.Mode().IsRegular():
			b, _ := os.ReadFile(path)
			text = string(b)
		case info.Mode()&fs.ModeSymlink != 0:
			text, _ = os.Readlink(path)
		}
		rel, _ := filepath.Rel(dir, path)
		out = append(out, fmt.Sprintf("%s %s %q", rel, info.Mode(), text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	r := File{Path: path, Content: content("a\n"), Access: Access{Mode: "640"}}
	wantDifference(t, "missing", r.Check(), "is missing")
	wantOK(t, "change", r.Change())
	wantOK(t, "check", r.Check())
	before, _ := os.Stat(path)
	wantOK(t, "change again", r.Change())
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("an unchanged file was written again")
	}
	r.Access.Mode = "0600"
	wantDifference(t, "mode", r.Check(), "has mode 0640, not 0600")
	wantOK(t, "mode", r.Change())
	if after, _ := os.Stat(path); !os.SameFile(before, after) || after.Mode().Perm() != 0o600 {
		t.Error("a mode was not set in place")
	}
	r.Content = content("bb")
	wantDifference(t, "size", r.Check(), "another content")
	r.Content = content("b\n")
	wantDifference(t, "content", r.Check(), "another content")
	r.Access = Access{}
	wantOK(t, "content", r.Change())
	if after, _ := os.Stat(path); after.Mode().Perm() != 0o600 {
		t.Errorf("the mode %v was not kept", after.Mode())
	}
	wantOK(t, "remove", r.Remove())
	wantOK(t, "remove again", r.Remove())
	wantDifference(t, "removed", r.Check(), "is missing")
	if got := tree(t, dir); strings.Contains(got, "\n") {
		t.Errorf("left behind: %s", got)
	}
}

func TestFileWithoutContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	r := File{Path: path}
	wantOK(t, "change", r.Change())
	put(t, path, "kept", 0o644)
	wantOK(t, "check", r.Check())
	wantOK(t, "change", r.Change())
	if b, _ := os.ReadFile(path); string(b) != "kept" {
		t.Errorf("content %q", b)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	secret, link := filepath.Join(dir, "secret"), filepath.Join(dir, "link")
	put(t, secret, "secret", 0o600)
	again := func() {
		t.Helper()
		_ = os.Remove(link)
		if err := os.Symlink(secret, link); err != nil {
			t.Fatal(err)
		}
	}
	again()
	file := File{Path: link, Content: content("secret")}
	wantDifference(t, "file", file.Check(), "is a symbolic link, not a file")
	wantError(t, "remove", file.Remove(), "it is a symbolic link")
	line := Line{Path: link, Regex: "x", Text: "y"}
	wantError(t, "line", line.Check(), "it is a symbolic link")
	wantError(t, "line", line.Change(), "it is a symbolic link")
	wantDifference(t, "dir", Dir{Path: link}.Check(), "is a symbolic link, not a folder")
	wantError(t, "dir", Dir{Path: link}.Change(), "no folder")
	wantError(t, "dir", Dir{Path: link}.Remove(), "it is a symbolic link")
	file.Content = content("new")
	wantOK(t, "file", file.Change())
	wantOK(t, "file", file.Check())
	again()
	put(t, filepath.Join(dir, "source"), "copied", 0o644)
	wantOK(t, "copy", Copy{Source: filepath.Join(dir, "source"), Path: link}.Change())
	if b, _ := os.ReadFile(secret); string(b) != "secret" {
		t.Errorf("the link's target was written: %q", b)
	}
	if b, _ := os.ReadFile(link); string(b) != "copied" {
		t.Errorf("the link holds %q", b)
	}
}

func TestDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	r := Dir{Path: path, Access: Access{Mode: "2750"}}
	wantDifference(t, "missing", r.Check(), "is missing")
	wantOK(t, "change", r.Change())
	wantOK(t, "check", r.Check())
	r.Access.Mode = "0700"
	wantDifference(t, "mode", r.Check(), "has mode 2750, not 0700")
	wantOK(t, "change", r.Change())
	wantOK(t, "check", r.Check())
	put(t, filepath.Join(path, "f"), "", 0o600)
	wantError(t, "not empty", r.Remove(), "it has something in it: f")
	wantOK(t, "file", File{Path: filepath.Join(path, "f")}.Remove())
	wantOK(t, "remove", r.Remove())
	wantOK(t, "remove", r.Remove())
	wantDifference(t, "removed", r.Check(), "is missing")
	wantError(t, "no parent", Dir{Path: filepath.Join(path, "x")}.Change(), "no such file")
	put(t, path, "", 0o600)
	wantDifference(t, "file", r.Check(), "is a file, not a folder")
	wantError(t, "file", r.Change(), "no folder")
	wantError(t, "file", File{Path: t.TempDir()}.Change(), "it is a folder")
}

func TestLink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "l")
	r := Link{Target: "nowhere", Path: path}
	wantDifference(t, "missing", r.Check(), "is missing")
	wantOK(t, "change", r.Change())
	wantOK(t, "check", r.Check())
	wantOK(t, "again", r.Change())
	other := Link{Target: "/elsewhere", Path: path}
	wantDifference(t, "other", other.Check(), "leads to nowhere, not to /elsewhere")
	wantError(t, "other", other.Remove(), "it leads to nowhere")
	wantOK(t, "other", other.Change())
	wantOK(t, "other", other.Check())
	wantOK(t, "remove", other.Remove())
	wantOK(t, "remove", other.Remove())
	if got := tree(t, dir); strings.Contains(got, "\n") {
		t.Errorf("left behind: %s", got)
	}
	put(t, path, "data", 0o600)
	wantDifference(t, "file", r.Check(), "is a file")
	wantError(t, "file", r.Change(), "it is a file")
	wantError(t, "file", r.Remove(), "it is a file")
	wantError(t, "no target", Link{Path: path + "2"}.Change(), "a target is needed")
}

func TestLine(t *testing.T) {
	for _, c := range []struct{ regex, text, has, want string }{
		{"^Port ", "Port 22", "Port 1\nx\n", "Port 22\nx\n"},
		{"^Port ", "Port 22", "x\n", "x\nPort 22\n"},
		{"^Port ", "Port 22", "x", "x\nPort 22\n"},
		{"^Port ", "Port 22", "", "Port 22\n"},
		{"^Port ", "Port 22", "x\r\nPort 1\r\n", "x\r\nPort 22\r\n"},
		{"^Port ", "Port 22", "x\r\ny\r\n", "x\r\ny\r\nPort 22\r\n"},
		{"^#x$", "x", "#x\n", "x\n"},
		{"^#x$", "x", "x\n", "x\n"},
		{`^(\s*)Port .*`, "${1}Port 22", "  Port 1\n", "  Port 22\n"},
		{`^(\s*)Port .*`, "${1}Port 22", "x\n", "x\nPort 22\n"},
		{`^#\s*(?P<n>\w+) yes$`, "${n} no", "# A yes\nB\n", "A no\nB\n"},
		{`^#\s*(\w+) yes$`, "${1} no", "A no\n", "A no\n"},
		{"^PATH=", "PATH=$HOME/${USER}:$1 ${2}", "PATH=x\n", "PATH=$HOME/${USER}:$1 ${2}\n"},
		{"^a", "b", "a\na\n", "b\nb\n"},
		{"^a", "b", "a", "b"},
		{"^$", "b", "\n", "b\n"},
		{"${", "b", "", ""},
		{"a", "x${", "", "x${\n"},
	} {
		r := Line{Path: filepath.Join(t.TempDir(), "f"), Regex: c.regex, Text: c.text}
		put(t, r.Path, c.has, 0o600)
		if c.regex == "${" {
			wantError(t, c.regex, Line{Path: r.Path, Regex: "(", Text: ""}.Change(), "missing closing )")
			continue
		}
		if err := r.Check(); (err == nil) != (c.has == c.want) {
			t.Errorf("%+v: check before: %v", c, err)
		}
		wantOK(t, c.regex, r.Change())
		if b, _ := os.ReadFile(r.Path); string(b) != c.want {
			t.Errorf("%+v gives %q", c, b)
		}
		wantOK(t, c.regex, r.Check())
		if info, _ := os.Stat(r.Path); info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v", info.Mode())
		}
	}
	r := Line{Path: filepath.Join(t.TempDir(), "f"), Regex: "^a=(.*)", Text: "a=x${1}"}
	put(t, r.Path, "a=1\n", 0o600)
	if err := r.Change(); !errors.Is(err, ErrUnsettled) {
		t.Errorf("a text that does not settle: %v", err)
	}
	wantError(t, "two lines", Line{Path: r.Path, Text: "a\nb"}.Change(), "more than one line")
	missing := Line{Path: r.Path + "2", Regex: "a", Text: "a"}
	wantDifference(t, "missing", missing.Check(), "is missing")
	wantOK(t, "missing", missing.Change())
	wantOK(t, "missing", missing.Check())
}

func TestCopyOfFolders(t *testing.T) {
	dir := t.TempDir()
	source, path := filepath.Join(dir, "s"), filepath.Join(dir, "d")
	for _, d := range []string{source, filepath.Join(source, "sub")} {
		if err := os.Mkdir(d, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(source, "a"), "a", 0o640)
	put(t, filepath.Join(source, "sub", "b"), strings.Repeat("b", 3*compareChunk), 0o755)
	if err := os.Symlink("../a", filepath.Join(source, "sub", "l")); err != nil {
		t.Fatal(err)
	}
	r := Copy{Source: source, Path: path}
	wantDifference(t, "missing", r.Check(), "d is missing")
	wantOK(t, "change", r.Change())
	wantOK(t, "check", r.Check())
	if a, b := tree(t, source), tree(t, path); a != b {
		t.Errorf("copy\n%s\nof\n%s", b, a)
	}
	put(t, filepath.Join(path, "own"), "kept", 0o600)
	put(t, filepath.Join(path, "sub", "b"), strings.Repeat("b", 3*compareChunk-1)+"c", 0o755)
	wantDifference(t, "content", r.Check(), "has another content")
	wantOK(t, "change", r.Change())
	wantOK(t, "check", r.Check())
	put(t, filepath.Join(path, "a"), "a", 0o600)
	wantDifference(t, "mode", r.Check(), "has mode 0600, not 0640")
	wantOK(t, "change", r.Change())
	wantOK(t, "check", r.Check())
	wantError(t, "inside", Copy{Source: source, Path: filepath.Join(source, "sub", "x")}.Change(), "in its own source")
	wantError(t, "itself", Copy{Source: filepath.Join(source, "a"), Path: filepath.Join(source, "a")}.Change(), "its own source")
	wantError(t, "no source", Copy{Source: path + "x", Path: path}.Check(), "the source: no such file")
	wantError(t, "empty", Copy{Path: path}.Check(), "is needed")
}

func TestAccessIsChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, mode := range []string{"9", "64", "07777x", "00644", "-644", "088"} {
		wantError(t, mode, File{Path: path, Access: Access{Mode: mode}}.Change(), "octal digits")
	}
	wantError(t, "user", File{Path: path, Access: Access{Owner: "no such user"}}.Check(), "there is none of this name")
	wantError(t, "group", File{Path: path, Access: Access{Group: "4294967295"}}.Change(), "there is none of this name")
	for _, path := range []string{"", ".", "/", "..", "a\x00b"} {
		wantError(t, path, File{Path: path}.Change(), "a path to a file or folder is needed")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a refused change made the file")
	}
}

func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	path := filepath.Join(t.TempDir(), "f")
	r := File{Path: path, Content: content("a"), Access: Access{Owner: "12345", Group: "23456", Mode: "4755"}}
	wantOK(t, "change", r.Change())
	wantOK(t, "check", r.Check())
	next := File{Path: path, Content: content("b")}
	wantOK(t, "change", next.Change())
	r.Content = next.Content
	wantOK(t, "owner, group and mode are kept", r.Check())
	r.Access.Owner = "0"
	wantDifference(t, "owner", r.Check(), "belongs to user 12345, not 0")
	wantOK(t, "owner", r.Change())
	wantOK(t, "setuid survives a change of owner", r.Check())
	d := Dir{Path: path + "d", Access: Access{Group: "23456"}}
	wantOK(t, "dir", d.Change())
	wantOK(t, "dir", d.Check())
}

// After a change check passes, a second one changes nothing, and after a removal
// of what was not there before all is as it was.
func TestProperties(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(dir, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "name"))
		if err := os.RemoveAll(path); err != nil {
			rt.Fatal(err)
		}
		start := tree(rt, dir)
		mode := rapid.SampledFrom([]string{"", "600", "0644", "0755"}).Draw(rt, "mode")
		body := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "content")
		var r interface{ Check() error }
		var change, remove func() error
		switch rapid.IntRange(0, 2).Draw(rt, "kind") {
		case 0:
			f := File{Path: path, Content: &body, Access: Access{Mode: mode}}
			r, change, remove = f, f.Change, f.Remove
		case 1:
			d := Dir{Path: path, Access: Access{Mode: mode}}
			r, change, remove = d, d.Change, d.Remove
		default:
			l := Link{Target: "t" + mode, Path: path}
			r, change, remove = l, l.Change, l.Remove
		}
		if !isDifference(r.Check()) {
			rt.Fatalf("%+v before", r)
		}
		for range 2 {
			if err := errors.Join(change(), r.Check()); err != nil {
				rt.Fatalf("%+v: %v", r, err)
			}
		}
		if err := remove(); err != nil || !isDifference(r.Check()) {
			rt.Fatalf("%+v after the removal: %v", r, err)
		}
		if end := tree(rt, dir); end != start {
			rt.Fatalf("%+v leaves\n%s\nof\n%s", r, end, start)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add("^(a)=.*", "${1}=b", []byte("a=1\nb\r\n"))
	f.Add("x", "${", []byte("y"))
	f.Add("^#?(.*)$", "${1}${1}", []byte(""))
	f.Fuzz(func(t *testing.T, regex, text string, has []byte) {
		r := Line{Regex: regex, Text: text}
		once, err := r.Apply(has)
		if err != nil {
			return
		}
		again, err := r.Apply(once)
		if err != nil || string(again) != string(once) {
			t.Errorf("%q, %q on %q: %q, then %q, %v", regex, text, has, once, again, err)
		}
	})
}
