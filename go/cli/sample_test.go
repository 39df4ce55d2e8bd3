package cli

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"etcha/go/config"
)

// The embedded configuration is the repository's own, and loads.
func TestSampleConfig(t *testing.T) {
	const path = "../../etcha.jsonnet"
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != sampleConfig {
		t.Error("go/cli/etcha.jsonnet differs from etcha.jsonnet at the top of the repository: copy the one over the other")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := config.Load(context.Background(), config.LoadOptions{Path: abs, KeyCheck: checkVerifyKey})
	if err != nil {
		t.Fatal(err)
	}
	c := loaded.Config
	if s := c.Sources[c.CLI.DefaultSource]; s.Shell == nil || s.Shell.User != "" {
		t.Errorf("the default source %q has the shell %+v: it must be one that any user can start", c.CLI.DefaultSource, s.Shell)
	}
	if _, ok := c.Targets[c.CLI.DefaultTarget]; !ok {
		t.Errorf("the default target %q is not a target", c.CLI.DefaultTarget)
	}
	if c.Build.SigningKey != "" {
		t.Error("the sample has a private key in it")
	}
}
