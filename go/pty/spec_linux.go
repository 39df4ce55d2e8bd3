package pty

import (
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
)

// Marker is the environment variable that holds the session's name in each of
// its processes. A value given in [Spec.Env] is replaced.
const Marker = "ETCHA_SESSION"

// Spec says what to start, as whom and on what.
type Spec struct {
	// Path is the program's file; "" means Argv[0]. Without a slash it is
	// searched in the PATH of Env, of which only absolute folders count.
	Path string
	// Argv has at least one element. A login shell has "-bash" and the like as
	// the first, and its file as Path.
	Argv []string
	// Env is the whole environment, "name=value"; only [Marker] is added.
	Env []string
	// Dir is the working directory, absolute. When "" it is the account's home,
	// or "/" where that cannot be entered.
	Dir string
	// Account is the user to become; one that is not this process's own needs root.
	Account Account
	// Terminal chooses a terminal instead of three pipes.
	Terminal bool
	// Cols and Rows are the terminal's size; 0 means 80 and 24.
	Cols, Rows uint16
	// Umask is the file mode creation mask as it stands, 0022 by habit.
	Umask uint32
	// Session names the session: 1 to 64 letters, digits, "-" and "_".
	Session string
	// Cgroup is the cgroup v2 directory in which a group is made for the
	// session, from [FindCgroup]; "" for none.
	Cgroup string
}

// Reasons for which a Spec is refused.
var (
	errNoProgram   = errors.New("no program given")
	errNUL         = errors.New("contains a NUL byte")
	errSessionName = errors.New("is no session name")
	errRelative    = errors.New("is not absolute")
	errAccountID   = errors.New("is no user or group id")
)

// StartError says which step of a start went wrong, with what.
type StartError struct {
	Step string // what was done, as the text begins
	Item string // the path, the user or the like; "" where there is none
	Err  error  // the cause, a [syscall.Errno] where the system refused
}

// Reasons for which a start came to nothing without the system's refusal.
var (
	errHelper = errors.New("it ended before the program was executed")
	errSlow   = errors.New("not executed in time")
)

// Steps of a start.
const (
	stepSpec     = "session"
	stepTerminal = "terminal"
	stepPipes    = "pipes"
	stepHelper   = "start helper"
	stepOOM      = "out-of-memory score"
	stepGroups   = "groups of user"
	stepGroup    = "group"
	stepUser     = "user"
	stepCaps     = "capabilities of user"
	stepFiles    = "close descriptors"
	stepDir      = "work directory"
	stepExec     = "start"
)

func (e *StartError) Error() string {
	if e.Item == "" {
		return fmt.Sprintf("%s: %v", e.Step, e.Err)
	}
	return fmt.Sprintf("%s %q: %v", e.Step, e.Item, e.Err)
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

func (s *Spec) check() error {
	if err := checkSession(s.Session); err != nil {
		return &StartError{stepSpec, s.Session, err}
	}
	if s.file() == "" {
		return &StartError{stepExec, "", errNoProgram}
	}
	if s.Account.UID == math.MaxUint32 {
		return &StartError{stepUser, s.Account.Name, errAccountID}
	}
	if s.Account.GID == math.MaxUint32 {
		return &StartError{stepGroup, fmt.Sprint(s.Account.GID), errAccountID}
	}
	if s.Dir != "" && !path.IsAbs(s.Dir) {
		return &StartError{stepDir, s.Dir, errRelative}
	}
	return s.checkNUL()
}

func (s *Spec) checkNUL() error {
	for _, list := range [][]string{{s.Path, s.Dir, s.Account.Home}, s.Argv, s.Env} {
		for _, v := range list {
			if strings.IndexByte(v, 0) >= 0 {
				// Which one is not said: it could be a secret.
				return &StartError{stepExec, s.file(), errNUL}
			}
		}
	}
	return nil
}

// file is the program's file, "" when there is no argument vector.
func (s *Spec) file() string {
	switch {
	case len(s.Argv) == 0:
		return ""
	case s.Path != "":
		return s.Path
	}
	return s.Argv[0]
}

// environ is the program's environment: as given, with the marker.
func (s *Spec) environ() []string {
	env := make([]string, 0, len(s.Env)+1)
	for _, v := range s.Env {
		if !strings.HasPrefix(v, Marker+"=") {
			env = append(env, v)
		}
	}
	return append(env, Marker+"="+s.Session)
}

// checkSession keeps a name safe as part of a file name.
func checkSession(name string) error {
	if name == "" || len(name) > maxSession {
		return errSessionName
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return errSessionName
		}
	}
	return nil
}
