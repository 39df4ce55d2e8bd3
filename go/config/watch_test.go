package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestWatch(t *testing.T) {
	dir := write(t, map[string]string{
		FileName:          "import 'lib/l.libsonnet'",
		"lib/l.libsonnet": "{ cli: { defaultSource: 'first' } }",
		"sub/x":           "",
	})
	ctx := context.Background()
	lib := filepath.Join(dir, "lib", "l.libsonnet")
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := load(t, LoadOptions{Dir: filepath.Join(dir, "sub"), System: filepath.Join(dir, "none"), Environ: []string{"HOME=/h"}}).Watch()
	same := func(why string) {
		t.Helper()
		if l, err := w.Poll(ctx); l != nil || err != nil {
			t.Errorf("%s: polled %v, %v; want nothing", why, l, err)
		}
	}
	changed := func(why, want string) {
		t.Helper()
		l, err := w.Poll(ctx)
		if err != nil || l == nil || l.Config.CLI.DefaultSource != want {
			t.Errorf("%s: polled %+v, %v; want %q", why, l, err, want)
		}
		same("after " + why)
	}
	same("at the start")
	put(lib, "{ cli: { defaultSource: 'second' } }")
	changed("an import was rewritten", "second")

	put(lib, "{ cli: { nothing: 1 } }")
	if l, err := w.Poll(ctx); err == nil || l == nil || l.Config != nil {
		t.Errorf("a broken file: polled %+v, %v; want an error and no Config", l, err)
	}
	same("the broken file was reported")
	put(lib, "{ cli: {")
	if _, err := w.Poll(ctx); err == nil {
		t.Error("a file broken otherwise was not reported")
	}
	same("the file broken otherwise was reported")
	if err := os.Remove(lib); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Poll(ctx); err == nil {
		t.Error("a removed import was not reported")
	}
	same("the removed import was reported")
	put(lib, "{ cli: { defaultSource: 'third' } }")
	changed("the import came back", "third")

	put(filepath.Join(dir, "sub", FileName), "{ cli: { defaultSource: 'nearer' } }")
	changed("a nearer file was made", "nearer")
	if err := os.Remove(filepath.Join(dir, "sub", FileName)); err != nil {
		t.Fatal(err)
	}
	changed("the nearer file was removed", "third")

	if l, err := w.Reload(ctx); err != nil || l.Config.CLI.DefaultSource != "third" {
		t.Errorf("reloaded %+v, %v", l, err)
	}
}
