package cli

import (
	"os"
	"path/filepath"
	"strings"

	"etcha/go/errs"
)

// knownNodesDoc is where the known nodes are, as the help text says it.
const knownNodesDoc = "known-nodes in the user's etcha configuration folder"

// knownNodesPath is the file of known nodes: given, else in the folder where
// the user's configuration is.
func (a *app) knownNodesPath(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", errs.Usage("there is no folder for the known nodes: %s", err).
			WithHint("name a file with --known-nodes, or set HOME")
	}
	return filepath.Join(dir, "etcha", "known-nodes"), nil
}

// sentVariables are sent without being asked for, as nodes accept them unless
// told otherwise. TERM goes with the terminal.
var sentVariables = []string{"LANG", "COLORTERM", "TZ"}

// variables is what the program's environment gets from here.
func (s *shell) variables() (map[string]string, error) {
	vars := map[string]string{}
	for _, kv := range s.app.env.Environ {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "LC_") {
			vars[name] = value
		}
	}
	for _, name := range sentVariables {
		if value, ok := s.app.lookupEnv(name); ok {
			vars[name] = value
		}
	}
	for _, given := range s.env {
		name, value, ok := strings.Cut(given, "=")
		if !ok {
			value, ok = s.app.lookupEnv(name)
		}
		if !ok {
			return nil, errs.Usage("--env %s: the variable is not set here", name).
				WithHint("--env %s=VALUE gives it a value", name)
		}
		if name == "" || strings.ContainsAny(name, " \t\n\x00") {
			return nil, errs.Usage("--env %q: not the name of a variable", given)
		}
		vars[name] = value
	}
	return vars, nil
}
