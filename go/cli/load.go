package cli

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

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

// loadConfig reads the configuration for use. A relative state folder is taken
// from the working directory, once: the keeper's may be another.
func (a *app) loadConfig(ctx context.Context) (*config.Loaded, error) {
	loaded, err := config.Load(ctx, a.loadOptions())
	if err != nil {
		return nil, err
	}
	if dir := &loaded.Config.Run.StateDir; *dir != "" {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return nil, fmt.Errorf("run.stateDir: %w", err)
		}
	}
	return loaded, nil
}

// load reads the configuration and makes the log, which goes to stderr.
func (a *app) load(ctx context.Context) (*settings, error) {
	loaded, err := a.loadConfig(ctx)
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
