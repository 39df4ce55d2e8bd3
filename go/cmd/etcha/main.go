// Command etcha opens remote shells over HTTPS, and is the node they are opened on.
package main

import (
	"context"
	"os"

	"etcha/go/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(cli.Run(context.Background(), os.Args, cli.Env{
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Environ: os.Environ(),
		Version: version,
	}))
}
