package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// server is what a long-lived shell runs. It stands on one line, which makes the
// line numbers of a check its own.
//
// Orders come on descriptor 3 and end with NUL, which no script can hold: =NAME
// and a value, or ! and a script. Only builtins are used, whatever PATH is. The
// output goes to the pipe whose read end is descriptor 5, opened anew for each
// check, so that its end can be told. The status goes to descriptor 4; where
// that fails the shell ends, which is seen. The one
// variable begins with BASH, where no variable of a list can be, and is gone when
// the script begins.
const server = `while IFS= read -r -d "" -u 3 BASH_etcha; do case $BASH_etcha in ` +
	`=*) IFS= read -r -d "" -u 3 "${BASH_etcha#=}" && export "${BASH_etcha#=}";; ` +
	`*) ( eval "%sunset -v BASH_etcha;exec 3<&- 4>&- 5<&-;${BASH_etcha#!}" ) >/dev/fd/5 2>&1; printf '%%d\n' "$?" >&4 || exit;; esac; done`

// shell is one long-lived bash. It runs one check at a time.
type shell struct {
	plan *plan
	cmd  *exec.Cmd
	wire *wires

	dir  os.FileInfo // where it was started
	vars []string    // that it has
	size int         // of vars, bytes
	held bool        // something still holds the output of the last check
}

func startShell(s Script) (_ *shell, err error) {
	options, _ := shellOptions(s.Argv)
	set := ""
	if len(options) > 0 {
		set = "set " + strings.Join(options, " ") + ";"
	}
	sh := &shell{vars: s.Vars}
	if sh.plan, err = planFor(s, []string{s.Argv[0], "-c", fmt.Sprintf(server, set)}); err != nil {
		return nil, err
	}
	if sh.plan.dir != "" {
		if sh.dir, err = os.Stat(sh.plan.dir); err != nil {
			return nil, err
		}
	}
	// No context: a check's kills the shell itself, and close ends it.
	if sh.cmd, err = sh.plan.command(context.Background()); err != nil {
		return nil, err
	}
	w, theirs, err := newWires(sh.plan.login)
	if err != nil {
		return nil, err
	}
	sh.wire = w
	sh.cmd.Stderr, sh.cmd.ExtraFiles = theirs[0], theirs[1:]
	err = sh.cmd.Start()
	closeAll(theirs) // so that the end of the shell is the end of its pipes
	if err != nil {
		w.close()
		return nil, err
	}
	for _, kv := range s.Vars {
		sh.size += len(kv)
	}
	return sh, nil
}

// fits reports whether the shell can take a script now: it is where the script
// should run, and what changed in the environment since is little.
func (sh *shell) fits(s Script) bool {
	if !sameDir(sh.plan.dir, sh.dir) || len(s.Vars) < len(sh.vars) {
		return false
	}
	changed, size := 0, sh.size
	for i, kv := range s.Vars {
		name, _, _ := strings.Cut(kv, "=")
		if i < len(sh.vars) {
			if sh.vars[i] == kv {
				continue
			}
			if had, _, _ := strings.Cut(sh.vars[i], "="); had != name {
				return false
			}
			size -= len(sh.vars[i])
		}
		changed += len(kv)
		size += len(kv)
		if changed > maxShellDelta || size > maxShellVars || !plainVariable(name) {
			return false
		}
	}
	return true
}

// check runs one check. errShell means that it must be run as a process, and any
// error that the shell is to be ended.
func (sh *shell) check(ctx context.Context, s Script) (Output, error) {
	out := Output{Started: time.Now()}
	var killed error
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		killed = sh.plan.kill(sh.cmd.Process)
		close(stopped)
	})
	exit, err := sh.wire.exchange(sh.orders(s))
	if !stop() {
		<-stopped
		return out, errors.Join(ctx.Err(), killed)
	}
	out.Duration = time.Since(out.Started)
	sh.held = sh.wire.held
	if err != nil {
		return out, errShell
	}
	out.Exit, out.Text = exit, sh.wire.tail.text()
	if exit != 0 {
		complained := sh.wire.complaints()
		if exit == 1 && out.Text == "" && complained {
			return out, errShell // the shell itself failed, not the check
		}
		if strings.Contains(out.Text, "eval: line ") {
			return out, errShell // a mistake in the syntax names the builtin that read the script
		}
	}
	return out, nil
}

// orders are the changed variables and the script.
func (sh *shell) orders(s Script) string {
	var b strings.Builder
	for i, kv := range s.Vars {
		if i < len(sh.vars) && sh.vars[i] == kv {
			continue
		}
		if i < len(sh.vars) {
			sh.size -= len(sh.vars[i])
		}
		sh.size += len(kv)
		name, value, _ := strings.Cut(kv, "=")
		b.WriteString("=" + name + "\x00" + value + "\x00")
	}
	sh.vars = s.Vars
	b.WriteString("!" + s.Text + "\x00")
	return b.String()
}

// close ends the shell, which is idle or killed already.
func (sh *shell) close() {
	_ = sh.cmd.Process.Kill() // it may have ended
	_ = sh.cmd.Wait()         // its status tells nothing
	sh.wire.close()
}
