package pty

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// directory is where users and groups are looked up.
type directory struct {
	root string // stands before each path; "" for the system's own files
	uid  int    // of this process
	now  func() time.Time
	// run runs a program of the system and returns its output.
	run func(name string, args ...string) ([]byte, error)
}

func system() directory {
	return directory{uid: os.Getuid(), now: time.Now, run: runTool}
}

// find returns an entry, split at its colons, and whether it is in the local
// file; nil when there is none. An entry of that name goes before one of that
// id; either may be "".
func (d directory) find(database, name, id string) (entry []string, local bool) {
	var byID []string
	for f := range d.lines(database) {
		switch {
		case name != "" && f[0] == name:
			return f, true
		case id != "" && byID == nil && len(f) > 2 && f[2] == id:
			byID = f
		}
	}
	if byID != nil {
		return byID, true
	}
	if !d.elsewhere(database) {
		return nil, false
	}
	return d.ask(database, cmp.Or(name, id)), false
}

// ask looks in every service that the system knows. Not found and not reachable
// are the same: there is no entry to go by.
func (d directory) ask(database, key string) []string {
	out, err := d.run("getent", database, key)
	line, _, _ := bytes.Cut(out, []byte("\n"))
	if err != nil || len(line) == 0 {
		return nil
	}
	return strings.Split(string(line), ":")
}

// lines walks a local file's entries, split at their colons. A file that is
// missing has none; lines of NIS's compat syntax are not entries.
func (d directory) lines(database string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		f, err := os.Open(filepath.Join(d.root, "/etc", database))
		if err != nil {
			return
		}
		defer f.Close()
		s := bufio.NewScanner(f)
		s.Buffer(nil, maxLookup) // groups with many members
		for s.Scan() {
			line := strings.TrimSpace(s.Text())
			if line == "" || strings.ContainsAny(line[:1], "#+-") {
				continue
			}
			if !yield(strings.Split(line, ":")) {
				return
			}
		}
	}
}

// elsewhere reports whether the system looks further than the local file.
func (d directory) elsewhere(database string) bool {
	return slices.ContainsFunc(d.services(database), func(s string) bool { return s != "files" })
}

// remote reports whether users of the local file may have groups elsewhere.
// The service "systemd" makes up users and groups of its own.
func (d directory) remote(database string) bool {
	return slices.ContainsFunc(d.services(database), func(s string) bool { return s != "files" && s != "systemd" })
}

// services lists the services of a database in nsswitch.conf(5), without the
// actions in brackets.
func (d directory) services(database string) []string {
	b, err := os.ReadFile(filepath.Join(d.root, "/etc/nsswitch.conf"))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		name, list, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) != database {
			continue
		}
		var out []string
		for _, f := range strings.Fields(list) {
			if !strings.ContainsAny(f, "[]=") {
				out = append(out, f)
			}
		}
		return out
	}
	return nil
}

var errNoTool = errors.New("not found in the system's folders")

// runTool runs a program from the system's folders, with an environment that
// cannot change what it does.
func runTool(name string, args ...string) ([]byte, error) {
	file, err := findTool(name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Env = []string{"PATH=" + defaultPath, "LC_ALL=C"}
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", name, err)
	}
	b, readErr := io.ReadAll(io.LimitReader(out, maxLookup))
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("run %s: %w", name, err)
	}
	return b, readErr
}

func findTool(name string) (string, error) {
	for _, dir := range append(strings.Split(defaultPath, ":"), "/run/current-system/sw/bin") {
		file := filepath.Join(dir, name)
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, errNoTool)
}
