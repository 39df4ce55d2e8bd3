package config

import (
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"time"

	"etcha/go/wire"
)

// Defaults that the reference page cannot show as they are.
const (
	workersPerCPU = 16
	defaultPort   = 4000
	rootStateDir  = "/var/lib/etcha"
)

// host is what defaults depend on.
type host struct {
	goos string
	root bool
	cpus int
	env  func(name string) string
	home func() string // of the user, when the environment does not say
}

func thisHost(env func(string) string) host {
	return host{
		goos: runtime.GOOS, root: os.Geteuid() == 0, cpus: runtime.NumCPU(), env: env,
		home: func() string {
			if u, err := user.Current(); err == nil {
				return u.HomeDir
			}
			return ""
		},
	}
}

// stateDir is the default of run.stateDir; empty when no home is known.
func (h host) stateDir() string {
	if h.root {
		return rootStateDir
	}
	if h.goos == "windows" {
		if dir := h.env("LOCALAPPDATA"); dir != "" {
			return filepath.Join(dir, "etcha")
		}
	}
	if dir := h.env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "etcha")
	}
	home := h.env("HOME")
	if home == "" {
		home = h.home()
	}
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".local", "state", "etcha")
}

// defaults is the lowest layer.
func (h host) defaults() map[string]any {
	return map[string]any{
		"build": map[string]any{"pushMaxWorkers": workersPerCPU * h.cpus},
		"cli":   map[string]any{"logFormat": "human", "logLevel": "info"},
		"exec": map[string]any{
			"allowOverride": true,
			"command":       "/usr/bin/bash -e -o pipefail -c",
		},
		"httpClient": map[string]any{"timeout": 30 * time.Second, "trust": "pin"},
		"httpServer": map[string]any{"listenAddress": ":4000", "rateLimit": "60/m"},
		"lint": map[string]any{
			"linters": map[string]any{"shellcheck": []any{"shellcheck", "-s", "bash", "-"}},
		},
		"run": map[string]any{
			"audit":             map[string]any{"maxSize": Size(1 << 30)},
			"maxSessions":       wire.MaxSessions,
			"maxSessionsPerKey": wire.MaxSessionsPerKey,
			"recordings": map[string]any{
				"format": "v3", "maxAge": 90 * 24 * time.Hour,
				"maxSessionSize": Size(1 << 30), "maxSize": Size(10 << 30),
			},
			"stateDir":       h.stateDir(),
			"timeoutPush":    10 * time.Minute,
			"timeoutWebhook": 10 * time.Minute,
		},
	}
}

// shellDefaults is below every source's shell that is set at all.
func shellDefaults() map[string]any {
	return map[string]any{
		"acceptEnv":    []any{"LANG", "LC_*", "TERM", "COLORTERM", "TZ"},
		"allowCommand": true,
		"detached":     "block",
		"idleTimeout":  30 * time.Minute,
		"obscure":      "chaff",
		"record":       "off",
		"resumeFor":    5 * time.Minute,
		"scrollback":   Size(wire.DefaultScrollback),
		"umask":        FileMode(0o022),
		"window":       Size(wire.DefaultWindow),
	}
}

// targetDefaults is below the target of that name.
func targetDefaults(name string) map[string]any {
	return map[string]any{"hostname": name, "port": defaultPort}
}

// withMembers is tree with the defaults of the sources and targets that any of
// the layers has.
func withMembers(tree map[string]any, layers []map[string]any) map[string]any {
	sources, targets := map[string]any{}, map[string]any{}
	for _, l := range layers {
		for name, source := range members(l["sources"]) {
			if _, ok := members(source)["shell"]; ok {
				sources[name] = map[string]any{"shell": shellDefaults()}
			}
		}
		for name := range members(l["targets"]) {
			targets[name] = targetDefaults(name)
		}
	}
	tree["sources"], tree["targets"] = sources, targets
	return tree
}

func members(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
