package command

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// benchCommands is a list with nothing to do.
const benchCommands = 1000

func benchFiles(b *testing.B) (files []string) {
	b.Helper()
	needBash(b)
	dir := b.TempDir()
	for i := range benchCommands {
		file := filepath.Join(dir, fmt.Sprint("f", i))
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			b.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// BenchmarkNothingToDo runs a thousand checks that pass. Its baselines are the
// same checks as a bash each, started by a shell's loop, and as subshells of one bash.
func BenchmarkNothingToDo(b *testing.B) {
	files := benchFiles(b)
	var cmds []Command
	for i, f := range files {
		cmds = append(cmds, Command{ID: fmt.Sprint("c", i), Check: "[[ -f " + f + " ]]", Change: "touch " + f})
	}
	l, err := Compile(cmds)
	if err != nil {
		b.Fatal(err)
	}
	for name, runner := range map[string]Runner{"engine": nil, "engine-processes": Process{}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if r, err := l.Run(context.Background(), ModeChange, Options{Runner: runner}); err != nil || len(r.Changed) > 0 {
					b.Fatal(err, r.Changed)
				}
			}
		})
	}
	list := strings.Join(files, "\n")
	for name, script := range map[string]string{
		"a-bash-each":     `while read -r f; do /usr/bin/bash -e -o pipefail -c "[[ -f $f ]]"; done`,
		"subshells-alone": `while read -r f; do ( eval "set -e -o pipefail; [[ -f $f ]]" ); done`,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command("/usr/bin/bash", "-c", script)
				cmd.Stdin = strings.NewReader(list + "\n")
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatal(err, string(out))
				}
			}
		})
	}
}
