package keeper

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"etcha/go/pty"
)

// groups is the cgroup in which pty makes those of the sessions; "" for none.
// pty names them after this process, so that what is left of a dead keeper is
// recognised. What may outlive its session is moved to a group of another name.
type groups string

// keptPrefix begins the name of a group for what outlived its session.
const keptPrefix = "etcha-kept-"

// newGroups finds the place and ends what a dead keeper left there. Without one
// sessions are found by other marks.
func newGroups(log *slog.Logger) groups {
	dir := pty.FindCgroup()
	if dir == "" {
		log.Info("sessions have no cgroups: no place for them was found")
		return ""
	}
	killed, err := pty.SweepCgroup(dir)
	if err != nil {
		log.Warn("cgroups of an earlier keeper are left", "err", err)
	}
	if killed > 0 {
		log.Warn("processes of an earlier keeper were ended", "survivors", killed)
	}
	g := groups(dir)
	g.prune()
	return g
}

// errSpare means that a session's processes could not be told to stay.
var errSpare = errors.New("processes multiply faster than they can be moved")

// spare moves what is left in a session's group to where no sweep finds it.
func spare(from, id string) error {
	if from == "" {
		return nil
	}
	to := filepath.Join(filepath.Dir(from), keptPrefix+id)
	for range spareRounds { // what was forked meanwhile is moved in the next
		pids, err := os.ReadFile(filepath.Join(from, "cgroup.procs"))
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		for pid := range bytes.Lines(pids) {
			// One that has ended meanwhile cannot be moved, nor need it.
			_ = os.WriteFile(filepath.Join(to, "cgroup.procs"), pid, 0)
		}
	}
	return errSpare
}

// prune removes the groups that nothing is left in; the system refuses others.
func (g groups) prune() {
	if g == "" {
		return
	}
	entries, _ := os.ReadDir(string(g))
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), keptPrefix) {
			_ = os.Remove(filepath.Join(string(g), e.Name()))
		}
	}
}
