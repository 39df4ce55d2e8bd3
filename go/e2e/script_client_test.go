//go:build linux

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"etcha/go/e2e/testkit"
)

// The script in the manual is a client as it stands there.
func TestScriptClientOfTheManual(t *testing.T) {
	for _, program := range []string{"curl", "openssl", "bash"} {
		testkit.Need(t, program)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", "script-client.md"))
	must(t, err)
	m := regexp.MustCompile("(?s)```bash\n(.*?)```").FindSubmatch(page)
	if m == nil {
		t.Fatal("the page has no script")
	}
	script := filepath.Join(t.TempDir(), "run-on")
	must(t, os.WriteFile(script, m[1], 0o700))

	key, public := testkit.Keys(t, bin)
	far := testkit.NewNode(t, bin, "127.0.0.1", testkit.Settings{
		"run":     testkit.Settings{"verifyKeys": []string{public}},
		"sources": testkit.Settings{"debug": testkit.Settings{"shell": "/bin/bash"}},
	})
	cmd := exec.Command(script, far.Addr, "debug", `sh -c 'echo "to stdout"; echo to stderr >&2; exit 7'`)
	cmd.Env = append(os.Environ(), "KEY="+key)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 7 || stdout.String() != "to stdout\n" || stderr.String() != "to stderr\n" {
		t.Errorf("exit status %d, stdout %q, stderr %q", code, &stdout, &stderr)
	}
}
