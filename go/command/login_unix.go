//go:build unix && !linux

package command

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// lookupLogin finds a user and a group by name or id; "" is this process's own.
// The system does not tell a user's shell through this way: /bin/sh stands in.
func lookupLogin(name, group string) (login, error) {
	u, err := user.Current()
	if name != "" {
		if u, err = user.Lookup(name); err != nil {
			u, err = user.LookupId(name)
		}
	}
	if err != nil {
		return login{}, fmt.Errorf("user %q: %w", name, err)
	}
	l := login{name: u.Username, home: u.HomeDir, shell: "/bin/sh"}
	ids, groupsErr := u.GroupIds()
	gid := u.Gid
	if group != "" {
		g, groupErr := user.LookupGroup(group)
		if groupErr != nil {
			g, groupErr = user.LookupGroupId(group)
		}
		if groupErr != nil {
			return login{}, fmt.Errorf("group %q: %w", group, groupErr)
		}
		gid = g.Gid
	}
	l.uid, err = number(u.Uid)
	l.gid, groupsErr = join(gid, groupsErr)
	l.groups = []uint32{l.gid}
	for _, id := range ids {
		n, idErr := number(id)
		groupsErr = errors.Join(groupsErr, idErr)
		if n != l.gid {
			l.groups = append(l.groups, n)
		}
	}
	if err := errors.Join(err, groupsErr); err != nil {
		return login{}, fmt.Errorf("user %q: %w", name, err)
	}
	return l, nil
}

func join(id string, before error) (uint32, error) {
	n, err := number(id)
	return n, errors.Join(before, err)
}

func number(id string) (uint32, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	return uint32(n), err
}

// killAll kills the process group of a script.
func killAll(p *os.Process, sudo bool) error { return killGroup(p.Pid, sudo) }
