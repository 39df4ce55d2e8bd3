package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Process runs each script as a process in a session of its own.
type Process struct{}

// Run implements [Runner]. Output is read until nothing holds it any more, at
// most 500 ms after the script ended: what a script leaves in the background
// neither delays a run nor is it killed.
func (Process) Run(ctx context.Context, s Script) (Output, error) {
	out := Output{Started: time.Now()}
	if err := ctx.Err(); err != nil {
		return out, err
	}
	p, err := planFor(s, append(s.Argv[:len(s.Argv):len(s.Argv)], s.Text))
	if err != nil {
		return out, err
	}
	var t tail
	cmd, err := p.command(ctx)
	if err != nil {
		return out, err
	}
	cmd.Stdout, cmd.Stderr = &t, &t
	if s.Stdin != "" {
		cmd.Stdin = strings.NewReader(s.Stdin)
	}
	cmd.WaitDelay = drainGrace
	err = cmd.Run()
	out.Duration = time.Since(out.Started)
	out.Text = t.text()
	if cmd.ProcessState == nil {
		return out, fmt.Errorf("start %s: %w", p.argv[0], bare(err))
	}
	if cause := ctx.Err(); cause != nil && !cmd.ProcessState.Success() {
		return out, errors.Join(cause, p.killed)
	}
	out.Exit = exitOf(cmd.ProcessState)
	return out, nil
}

// text is the output as the rest of the package sees it.
func (t *tail) text() string {
	b := t.buf
	if len(b) > MaxOutput {
		b = b[len(b)-MaxOutput:]
	}
	return strings.TrimSpace(string(b))
}

// bare leaves out what the error of starting a program says twice.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// plan is a process to start.
type plan struct {
	argv      []string
	path      string // argv[0], found
	env       []string
	dir       string
	login     *login // to become; nil: stays
	sudo      bool
	container string   // its name, which goes with the process
	engine    []string // that removes it
	killed    error    // of ending it early
}

// planFor describes how argv is started as s says.
func planFor(s Script, argv []string) (*plan, error) {
	p := &plan{argv: argv, dir: s.Exec.WorkDir, env: append(s.Env[:len(s.Env):len(s.Env)], s.Vars...)}
	if s.Exec.ContainerImage != "" {
		if err := p.contain(s); err != nil {
			return nil, err
		}
	}
	if err := p.become(s); err != nil {
		return nil, err
	}
	path, err := findProgram(p.argv[0], searchPath(s), p.dir)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.argv[0], err)
	}
	p.path = path
	return p, nil
}

// become arranges the user and group: by itself as root, through sudo where the
// exec allows it.
func (p *plan) become(s Script) error {
	e := s.Exec
	if isTrue(e.Sudo) && !isRoot() {
		p.sudo = true
		words := []string{"sudo", "-E"}
		if e.User != "" {
			words = append(words, "-u", e.User)
		}
		if e.Group != "" {
			words = append(words, "-g", e.Group)
		}
		p.argv = append(append(words, "--"), p.argv...)
	}
	if e.User == "" && e.Group == "" {
		return nil
	}
	l, err := lookupLogin(e.User, e.Group)
	if err != nil {
		return err
	}
	if e.User != "" {
		p.env = l.environ(e, p.env)
	}
	if !p.sudo && !l.current() {
		p.login = &l
	}
	return nil
}

// login is an account as a script becomes it.
type login struct {
	name, home, shell string
	uid, gid          uint32
	groups            []uint32
}

// environ adds the account's variables to env, those of the exec's own stay.
// They stand first: of a name that occurs twice the last counts.
func (l *login) environ(e Exec, env []string) []string {
	var out []string
	set := map[string]bool{}
	for _, v := range [][2]string{{"HOME", l.home}, {"USER", l.name}, {"LOGNAME", l.name}, {"SHELL", l.shell}} {
		if _, own := e.Env[v[0]]; own {
			continue
		}
		set[v[0]] = true
		out = append(out, v[0]+"="+v[1])
	}
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if !set[name] {
			out = append(out, kv)
		}
	}
	return out
}

// command makes the process, which is not started yet. The end of ctx kills it
// with all that it started.
func (p *plan) command(ctx context.Context) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, p.path)
	cmd.Args, cmd.Env, cmd.Dir = p.argv, p.env, p.dir
	if err := setProcess(cmd, p.login); err != nil {
		return nil, err
	}
	cmd.Cancel = func() error {
		p.killed = p.kill(cmd.Process)
		return nil
	}
	return cmd, nil
}

// kill ends the process, what it started, and its container.
func (p *plan) kill(process *os.Process) error {
	err := killAll(process, p.sudo)
	if p.container != "" {
		err = errors.Join(err, p.removeContainer())
	}
	return err
}

var errNotFound = errors.New("no such program")

// findProgram looks a program up as a shell does: what has a slash is a file,
// from dir where it is relative.
func findProgram(name, path, dir string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) || strings.ContainsRune(name, '/') {
		return name, nil
	}
	for _, d := range filepath.SplitList(cmp.Or(path, defaultPath)) {
		if !filepath.IsAbs(d) {
			continue // whoever can write to a working directory would choose the program
		}
		if found, err := exec.LookPath(filepath.Join(d, name)); err == nil {
			return found, nil
		}
	}
	return "", errNotFound
}
