package command

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// paths are the two ways that scripts run.
var paths = map[string]func(*testing.T) Runner{
	"process": func(*testing.T) Runner { return Process{} },
	"shells": func(t *testing.T) Runner {
		r := NewShells(Process{})
		t.Cleanup(func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
		return r
	},
}

func needBash(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/usr/bin/bash"); err != nil {
		t.Skip("NOT TESTED: no /usr/bin/bash")
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: not root")
	}
}

// checkScript is a check as the engine hands it to a runner.
func checkScript(text string) Script {
	return Script{
		Kind: KindCheck, Path: "test", Text: text, Argv: []string{"/usr/bin/bash", "-e", "-o", "pipefail", "-c"},
		Env:     []string{"HOME=/nowhere", "PATH=/usr/bin:/bin"},
		Program: []string{"PATH=" + os.Getenv("PATH")},
	}
}

func runScript(t testing.TB, r Runner, s Script) Output {
	t.Helper()
	out, err := r.Run(context.Background(), s)
	if err != nil {
		t.Fatalf("%q: %v", s.Text, err)
	}
	return out
}

func mustCompile(t testing.TB, list string) *List {
	t.Helper()
	cmds, err := Decode([]byte(list), nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Compile(cmds)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// alive counts processes whose arguments hold text.
func alive(t testing.TB, text string) int {
	t.Helper()
	out, err := exec.Command("/bin/sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").Output()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	return strings.Count(string(out), text)
}

func brief(o Output) string { return fmt.Sprintf("%d %q", o.Exit, o.Text) }
