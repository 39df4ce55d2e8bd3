package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"etcha/go/client"
)

const (
	idA = "SHA256:LGsBLHhZDXMP5I7hjbmdSdpcYcaQtDGLPy3WjFuSHFo"
	idB = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
)

func TestParseKnown(t *testing.T) {
	text := "# nodes\n\nmyhost " + idA + "\n  web-1.example.com:4000\t" + idB + " tls=" + idA + " since=2026 \r\n   # end\n[::1]:4000 " + idA
	got, written, err := client.ParseKnown("known", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []client.KnownNode{
		{Target: "myhost", ID: idA, Line: 3},
		{Target: "web-1.example.com:4000", ID: idB, TLSKey: idA, Line: 4},
		{Target: "[::1]:4000", ID: idA, Line: 6},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if string(written) != strings.ReplaceAll(text, "\r", "")+"\n" {
		t.Errorf("written %q", written)
	}
}

func TestParseKnownErrors(t *testing.T) {
	for name, line := range map[string]string{
		"target alone":    "myhost",
		"short ID":        "myhost SHA256:AAAA",
		"no prefix":       "myhost " + idA[7:],
		"other hash":      "myhost MD5:" + idA[7:],
		"padding":         "myhost " + idA + "=",
		"not canonical":   "myhost " + idA[:len(idA)-1] + "p",
		"not base64":      "myhost " + idA[:len(idA)-1] + "*",
		"stray word":      "myhost " + idA + " tls",
		"empty tls":       "myhost " + idA + " tls=",
		"tls twice":       "myhost " + idA + " tls=" + idA + " tls=" + idB,
		"nameless":        "myhost " + idA + " =x",
		"escape sequence": "my\x1bhost " + idA,
		"not UTF-8":       "my\xffhost " + idA,
		"long line":       "#" + strings.Repeat("x", 5000),
		"long target":     strings.Repeat("x", 1025) + " " + idA,
		"twice":           "other " + idB,
	} {
		_, _, err := client.ParseKnown("known", []byte("other "+idA+"\n\n"+line+"\n"))
		if err == nil || !strings.HasPrefix(err.Error(), "known:3: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, _, err := client.ParseKnown("known", make([]byte, 17<<20)); err == nil {
		t.Error("a file beyond the limit")
	}
}

func FuzzParseKnown(f *testing.F) {
	f.Add([]byte("# x\nmyhost " + idA + " tls=" + idB + " a=b\n\n"))
	f.Add([]byte("a " + idA + "\r\nb " + idB))
	f.Fuzz(func(t *testing.T, text []byte) {
		nodes, written, err := client.ParseKnown("known", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "known:") {
				t.Fatalf("error without its place: %v", err)
			}
			return
		}
		again, rewritten, err := client.ParseKnown("known", written)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(nodes) || !bytes.Equal(written, rewritten) {
			t.Fatalf("written %q reads as %v, %v; was %v", written, again, err, nodes)
		}
	})
}

func TestKnownNodes(t *testing.T) {
	k := knownFile(t)
	if _, ok, err := k.Find("myhost"); ok || err != nil {
		t.Fatalf("missing file: %v, %v", ok, err)
	}
	if found, err := k.Forget("myhost"); found || err != nil {
		t.Fatalf("missing file: %v, %v", found, err)
	}
	write(t, k.Path(), "# mine\nother "+idB+" since=2026\n")
	line, err := k.Remember(client.KnownNode{Target: "myhost", ID: idA}, false)
	if err != nil || line != 3 {
		t.Fatalf("line %d, %v", line, err)
	}
	if line, err = k.Remember(client.KnownNode{Target: "myhost", ID: idA, TLSKey: idB}, false); err != nil || line != 3 {
		t.Fatalf("line %d, %v", line, err)
	}
	var conflict *client.ConflictError
	if _, err = k.Remember(client.KnownNode{Target: "myhost", ID: idB}, false); !errors.As(err, &conflict) || conflict.Known.Line != 3 {
		t.Fatalf("another ID: %v", err)
	}
	if want := "# mine\nother " + idB + " since=2026\nmyhost " + idA + " tls=" + idB + "\n"; read(t, k) != want {
		t.Errorf("file %q", read(t, k))
	}
	if _, err = k.Remember(client.KnownNode{Target: "myhost", ID: idB}, true); err != nil {
		t.Fatal(err)
	}
	all, err := k.All()
	if err != nil || len(all) != 2 || all[1] != (client.KnownNode{Target: "myhost", ID: idB, Line: 3}) {
		t.Errorf("all %+v, %v", all, err)
	}
	if found, err := k.Forget("other"); !found || err != nil {
		t.Fatalf("forget: %v, %v", found, err)
	}
	if want := "# mine\nmyhost " + idB + "\n"; read(t, k) != want {
		t.Errorf("file %q", read(t, k))
	}
	if info, err := os.Stat(k.Path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestKnownNodesRefuses(t *testing.T) {
	k := knownFile(t)
	for name, n := range map[string]client.KnownNode{
		"no target": {ID: idA}, "space": {Target: "a b", ID: idA}, "comment": {Target: "#a", ID: idA},
		"line end": {Target: "a\nb", ID: idA}, "control": {Target: "a\x1b", ID: idA}, "no ID": {Target: "a"},
		"ID with a line end": {Target: "a", ID: idA[:20] + "\n" + idA[20:]},
		"ID":                 {Target: "a", ID: "SHA256:x"}, "TLS key": {Target: "a", ID: idA, TLSKey: "x"},
	} {
		if _, err := k.Remember(n, true); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	write(t, k.Path(), "broken\n")
	if _, err := k.Remember(client.KnownNode{Target: "a", ID: idA}, true); err == nil || !strings.Contains(err.Error(), k.Path()+":1") {
		t.Errorf("broken file: %v", err)
	}
	if _, err := k.Forget("a"); err == nil {
		t.Error("forget in a broken file")
	}
	if read(t, k) != "broken\n" {
		t.Error("a broken file was written")
	}
}

// Several programs share the file.
func TestKnownNodesTogether(t *testing.T) {
	path := knownFile(t).Path()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			k := client.OpenKnownNodes(path)
			if _, err := k.Remember(client.KnownNode{Target: fmt.Sprintf("host-%d", i), ID: idA}, false); err != nil {
				t.Error(err)
			}
			if _, _, err := k.Find("host-0"); err != nil { // never half a file
				t.Error(err)
			}
		})
	}
	all.Wait()
	nodes, err := client.OpenKnownNodes(path).All()
	if err != nil || len(nodes) != 20 {
		t.Errorf("%d nodes, %v", len(nodes), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 { // the file and its lock
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A link to the file stays a link.
func TestKnownNodesThroughALink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	write(t, real, "# x\n")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if _, err := client.OpenKnownNodes(link).Remember(client.KnownNode{Target: "a", ID: idA}, false); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
	if text, err := os.ReadFile(real); err != nil || !strings.Contains(string(text), idA) {
		t.Errorf("file %q, %v", text, err)
	}
}
