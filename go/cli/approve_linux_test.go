package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"etcha/go/token"
)

// TestApproveAsks: on a terminal somebody is asked, and only yes is yes.
func TestApproveAsks(t *testing.T) {
	dir := t.TempDir()
	key, err := token.Generate(token.KindEd25519, "bob")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "bob")
	if err := token.WritePrivate(path, key.Secret(), false); err != nil {
		t.Fatal(err)
	}
	request := func(own bool) *exec.Cmd {
		req := someRequest()
		if own {
			req.Opener = key.Public().Thumbprint()
		}
		text, err := requestText(req)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("etcha", "approve", "-i", path, text)
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir)
		cmd.Dir = dir
		return cmd
	}
	s := onScreen(t, request(false))
	s.sees("Sign it, for one session within 10m? Type yes:")
	s.sees(`program   id ""`)
	s.types("yes\r")
	s.sees("eyJ")
	s.ends(0)

	s = onScreen(t, request(false))
	s.sees("Type yes:")
	s.types("y\r")
	s.sees("not signed")
	s.ends(1)
	if w := s.written(); strings.Contains(w, "eyJ") {
		t.Errorf("%s", w)
	}

	s = onScreen(t, request(true))
	s.sees("the request is by your own key")
	s.ends(2)
}

// TestAskFromFIFO: it is waited for, through several writers, and no longer than
// the context lasts.
func TestAskFromFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	req := someRequest()
	first, second := signed(t, req.Digest()), signed(t, req.Digest())
	p, _ := askingFrom(t, path)
	wrote := make(chan error, 1)
	go func() {
		// Each is a writer of its own, as of two people.
		err := os.WriteFile(path, []byte(first+"\n"), 0)
		wrote <- errors.Join(err, os.WriteFile(path, []byte(second+"\n"), 0))
	}()
	got, err := p.ask(context.Background(), req, 2, 0, "")
	if err := errors.Join(err, <-wrote); err != nil || !slices.Equal(got, []string{first, second}) {
		t.Fatalf("%q, %v", got, err)
	}
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	if _, err := p.ask(ctx, req, 1, 0, ""); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}
