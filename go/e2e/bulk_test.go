//go:build linux

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"etcha/go/e2e/testkit"
)

// path is one way from a client to a node.
type path struct {
	name   string
	target func(t *testing.T, far *testkit.Node) testkit.Settings
	env    []string
}

func paths() []path {
	direct := func(t *testing.T, far *testkit.Node) testkit.Settings { return target(t, far.Addr) }
	return []path{
		{"HTTP/2", direct, nil},
		{"HTTP/1.1", direct, []string{"GODEBUG=http2client=0"}},
		{"nginx with a path prefix", func(t *testing.T, far *testkit.Node) testkit.Settings {
			s := target(t, testkit.Nginx(t, far.Addr))
			s["path"] = "/node1"
			return s
		}, nil},
	}
}

func target(t *testing.T, addr string) testkit.Settings {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	must(t, err)
	return testkit.Settings{"hostname": host, "port": atoi(t, port)}
}

// client writes a client's configuration and gives a maker of its commands.
func client(t *testing.T, key string, target testkit.Settings, env ...string) func(args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "etcha.json"), jsonOf(t, testkit.Settings{
		"build": testkit.Settings{"signingKey": key}, "targets": testkit.Settings{"myhost": target},
	}), 0o600))
	return func(args ...string) *exec.Cmd {
		cmd := exec.Command(bin, append([]string{"-c", filepath.Join(dir, "etcha.json")}, args...)...)
		cmd.Env = append(append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME=", "XDG_STATE_HOME="), env...)
		cmd.Dir = dir
		return cmd
	}
}

// What goes in and out arrives as it was, on every path.
func TestBulk(t *testing.T) {
	out, in := 50<<20, 10<<20
	if testing.Short() {
		out, in = out/10, in/10
	}
	key, public := testkit.Keys(t, bin)
	far := testkit.NewNode(t, bin, "127.0.0.1", testkit.Settings{
		"run":     testkit.Settings{"verifyKeys": []string{public}},
		"sources": testkit.Settings{"debug": testkit.Settings{"shell": "/bin/bash --norc"}},
	})
	random := filepath.Join(far.Dir, "random")
	text := filepath.Join(far.Dir, "text")
	rng := rand.NewChaCha8([32]byte{1})
	must(t, fillFile(random, io.LimitReader(rng, int64(out))))
	must(t, fillFile(text, io.LimitReader(&printable{rng}, int64(out))))

	for _, p := range paths() {
		t.Run(p.name, func(t *testing.T) {
			etcha := client(t, key, p.target(t, far), p.env...)
			checkOut(t, "random bytes without a terminal", etcha("shell", "-T", "debug", "myhost", "--", "cat", random), random)
			checkOut(t, "text on a terminal", etcha("shell", "-t", "debug", "myhost", "--", "sh", "-c", "stty raw -echo; cat "+text), text)

			sum := etcha("shell", "-T", "debug", "myhost", "--", "sha256sum")
			data := make([]byte, in)
			_, _ = rng.Read(data)
			sum.Stdin = bytes.NewReader(data)
			got, err := sum.Output()
			must(t, err)
			want := sha256.Sum256(data)
			if g, _, _ := strings.Cut(string(got), " "); g != hex.EncodeToString(want[:]) {
				t.Errorf("input arrived as %s, want %x", g, want)
			}
		})
	}
}

func checkOut(t *testing.T, what string, cmd *exec.Cmd, file string) {
	t.Helper()
	h := sha256.New()
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = h, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", what, err, &stderr)
	}
	want := sha256.New()
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	_, err = io.Copy(want, f)
	must(t, err)
	if !bytes.Equal(h.Sum(nil), want.Sum(nil)) {
		t.Errorf("%s: the output is not what was printed", what)
	}
}

func fillFile(name string, r io.Reader) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, r); err != nil {
		return err
	}
	return f.Close()
}

// printable turns random bytes into lines of text.
type printable struct{ r io.Reader }

func (p *printable) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	for i := range b[:n] {
		if b[i] = ' ' + b[i]%95; b[i] == '~' {
			b[i] = '\n'
		}
	}
	return n, err
}
