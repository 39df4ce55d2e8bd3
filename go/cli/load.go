package cli

import (
	"context"
	"log/slog"

	"etcha/go/config"
	"etcha/go/logs"
	"etcha/go/token"
)

// settings is the configuration that a command works with, and its log.
type settings struct {
	*config.Loaded
	log   *slog.Logger
	level *logs.Level
}

// loadOptions says where the configuration is: the flags of the root count more
// than everything else.
func (a *app) loadOptions() config.LoadOptions {
	overrides := a.overrides
	if a.logLevel != "" {
		overrides = append(overrides[:len(overrides):len(overrides)], "cli_logLevel="+a.logLevel)
	}
	if a.logFormat != "" {
		overrides = append(overrides[:len(overrides):len(overrides)], "cli_logFormat="+a.logFormat)
	}
	return config.LoadOptions{
		Path:      a.configPath,
		Environ:   a.env.Environ,
		Overrides: overrides,
		KeyCheck:  checkVerifyKey,
	}
}

// checkVerifyKey is what the configuration's verifyKeys must pass.
func checkVerifyKey(text string) error {
	_, err := token.ParsePublic(text)
	return err
}

// load reads the configuration and makes the log, which goes to stderr.
func (a *app) load(ctx context.Context) (*settings, error) {
	loaded, err := config.Load(ctx, a.loadOptions())
	if err != nil {
		return nil, err
	}
	if loaded.Config.CLI.NoColor {
		a.colour = false
	}
	level, err := logs.NewLevel(loaded.Config.CLI.LogLevel)
	if err != nil {
		return nil, err
	}
	log, err := logs.NewDynamic(a.stderr, loaded.Config.CLI.LogFormat, level, a.colour)
	if err != nil {
		return nil, err
	}
	return &settings{loaded, log, level}, nil
}
