package cli

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// The test binary is the program too, under its names: "etcha" in the PATH of
// every test, and the helper that a session's program starts as.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"etcha":       program,
		"etcha-exec":  program,
		"etcha-panic": panicWhileRaw,
	})
}

func program() {
	os.Exit(Run(context.Background(), os.Args, Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Environ: os.Environ(), Version: "v0.0.0-test",
	}))
}

// leakChecked fails a run that leaves goroutines behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	status := l.m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}
