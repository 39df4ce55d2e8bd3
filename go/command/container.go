package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

// ErrNoEngine means that a container is wanted and there is nothing to run it.
var ErrNoEngine = errors.New("neither docker nor podman is in PATH")

// contain puts the plan's program into a container: docker's, else podman's.
func (p *plan) contain(s Script) error {
	path := lookup(s.Program, "PATH")
	engine := ""
	for _, name := range []string{"docker", "podman"} {
		if found, err := findProgram(name, path, ""); err == nil {
			engine = found
			break
		}
	}
	if engine == "" {
		return fmt.Errorf("run in container %s: %w", s.Exec.ContainerImage, ErrNoEngine)
	}
	p.container = "etcha-" + strings.ToLower(rand.Text())
	p.engine = []string{engine}
	if isTrue(s.Exec.Sudo) && !isRoot() {
		p.engine = []string{"sudo", "-n", engine}
	}
	flags, env := containerEnv(s, p.env)
	argv := append([]string{engine, "run", "-i", "--rm", "--name", p.container}, containerFlags(s.Exec)...)
	argv = append(append(argv, flags...), s.Exec.ContainerImage)
	p.argv, p.env = append(argv, p.argv...), env
	return nil
}

// containerFlags are the engine's flags for an exec. A value is joined to its
// flag, so that none is taken for another flag.
func containerFlags(e Exec) []string {
	var flags []string
	for _, f := range []struct{ name, value string }{
		{"entrypoint", e.ContainerEntrypoint},
		{"network", e.ContainerNetwork},
		{"pull", e.ContainerPull},
		{"user", e.ContainerUser},
		{"workdir", e.ContainerWorkDir},
	} {
		if f.value != "" {
			flags = append(flags, "--"+f.name+"="+f.value)
		}
	}
	if isTrue(e.ContainerPrivileged) {
		flags = append(flags, "--privileged")
	}
	for _, v := range e.ContainerVolumes {
		flags = append(flags, "--volume="+v)
	}
	return flags
}

// containerEnv splits the environment: the flags that pass it on, and the
// engine's own. Values go through the engine's environment, not its arguments,
// which others can read, but for the few names that mean something to the engine
// itself. PATH and HOME of this machine mean nothing in a container.
func containerEnv(s Script, env []string) (flags, own []string) {
	engine := map[string]string{}
	for _, kv := range s.Program {
		if name, value, _ := strings.Cut(kv, "="); forEngine(name) {
			engine[name] = value
		}
	}
	inner := map[string]string{}
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		_, explicit := s.Exec.Env[name]
		if explicit || name != "PATH" && name != "HOME" {
			inner[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(inner)) {
		if forEngine(name) {
			flags = append(flags, "--env="+name+"="+inner[name])
			continue
		}
		flags = append(flags, "--env="+name)
		engine[name] = inner[name]
	}
	return flags, list(engine)
}

// forEngine tells the variables that the client of an engine reads.
func forEngine(name string) bool {
	switch name {
	case "PATH", "HOME", "TMPDIR", "SSH_AUTH_SOCK":
		return true
	}
	for _, prefix := range []string{"DOCKER_", "CONTAINER", "XDG_", "BUILDAH_", "PODMAN_", "LD_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// removeContainer ends the container, which outlives its client. The engine
// removes what has ended by itself.
func (p *plan) removeContainer() error {
	ctx, cancel := context.WithTimeout(context.Background(), engineWait)
	defer cancel()
	argv := append(p.engine[:len(p.engine):len(p.engine)], "rm", "--force", p.container)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = p.env
	if err := setProcess(cmd, p.login); err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(strings.ToLower(string(out)), "no such container") {
		return fmt.Errorf("remove container %s: %w", p.container, err)
	}
	return nil
}
