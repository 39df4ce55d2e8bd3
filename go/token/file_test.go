package token

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"etcha/go/errs"
)

func TestWritePrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	first, second := mustGenerate(t, KindEd25519, ""), mustGenerate(t, KindEd25519, "")
	if err := WritePrivate(path, first.Secret(), false); err != nil {
		t.Fatal(err)
	}
	wantKey(t, path, first)
	if err := WritePrivate(path, second.Secret(), false); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("over one that exists: %v", err)
	}
	wantKey(t, path, first)
	if err := WritePrivate(path, second.Secret(), true); err != nil {
		t.Fatal(err)
	}
	wantKey(t, path, second)
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := WritePrivate(filepath.Join(dir, "link"), first.Secret(), false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a dangling link: %v", err)
	}
	wantFiles(t, dir, "key", "link")
}

func TestWritePublic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pub")
	if err := WritePublic(path, publishedPublic, false); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o133 != 0 {
		t.Errorf("mode %v", info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != publishedPublic+"\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestWriteErrors(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none", "key")
	for _, replace := range []bool{false, true} {
		err := WritePrivate(missing, publishedPrivate, replace)
		if !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), missing) != 1 {
			t.Errorf("replace %v: %v", replace, err)
		}
		if strings.Contains(err.Error(), "MC4CAQ") {
			t.Error("the error shows the key")
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WritePrivate(filepath.Join(dir, "folder"), publishedPrivate, true); err == nil {
		t.Error("a folder was replaced")
	}
	wantFiles(t, dir, "folder")
}

// Of many writers at once one wins, and its file is whole.
func TestWriteOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	var wg sync.WaitGroup
	won := make(chan PrivateKey, 8)
	for range cap(won) {
		wg.Go(func() {
			key := mustGenerate(t, KindEd25519, "")
			switch err := WritePrivate(path, key.Secret(), false); {
			case err == nil:
				won <- key
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(won)
	if len(won) != 1 {
		t.Fatalf("%d writers won", len(won))
	}
	wantKey(t, path, <-won)
	wantFiles(t, dir, "key")
}

// Where there are no hard links a file is still never replaced.
func TestMoveNewWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	// A temporary file that is not there cannot be linked either.
	gone := filepath.Join(dir, "gone")
	if err := moveNew(gone, path, "text", modePrivate); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove of the temporary file: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	if err := moveNew(gone, path, "other", modePrivate); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over one that exists: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestReadPrivateModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := WritePrivate(path, publishedPrivate, false); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true,
		0o640: false, 0o604: false, 0o644: false, 0o620: false, 0o602: false, 0o601: false, 0o666: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadPrivate(path, nil)
		if (err == nil) != ok {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if !ok && errs.HintOf(err) != "chmod 600 "+path {
			t.Errorf("mode %04o: hint %q", mode, errs.HintOf(err))
		}
	}
}

func TestReadPrivateErrors(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none")
	if _, err := ReadPrivate(missing, nil); !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), missing) != 1 {
		t.Errorf("missing: %v", err)
	}
	if _, err := ReadPrivate(dir, nil); err == nil {
		t.Error("a folder was read")
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, []byte(publishedPrivate+strings.Repeat(" ", maxKeyText)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPrivate(big, nil); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("too long: %v", err)
	}
	// What goes wrong while asking is not mistaken for the file's own error.
	enc := filepath.Join(dir, "enc")
	key := mustGenerate(t, KindEd25519, "")
	if err := WritePrivate(enc, cheap(t, key, "x"), false); err != nil {
		t.Fatal(err)
	}
	ask := func() ([]byte, error) { return os.ReadFile(missing) }
	if _, err := ReadPrivate(enc, ask); err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("asking: %v", err)
	}
}

func wantKey(t *testing.T, path string, want PrivateKey) {
	t.Helper()
	got, err := ReadPrivate(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Secret() != want.Secret() {
		t.Error("another key")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range list {
		have = append(have, e.Name())
	}
	if strings.Join(have, " ") != strings.Join(want, " ") {
		t.Errorf("files %q, want %q", have, want)
	}
}

// A file that is no private key is not one whose mode should be changed.
func TestModeOfWhatIsNoPrivateKey(t *testing.T) {
	for _, text := range []string{
		"ed25519public:MCowBQYDK2VwAyEAw7eTEuEH0+TfgtX3zB+JZVnYD0eskY6qn3n7ZCA7wWM=:reqYEklgP4\n", "root:x:0:0:root:/root:/bin/bash\n",
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := ReadPrivate(path, nil)
		if err == nil || strings.Contains(errs.HintOf(err), "chmod") {
			t.Errorf("%v, hint %q", err, errs.HintOf(err))
		}
	}
}
