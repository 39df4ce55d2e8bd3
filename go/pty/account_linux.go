package pty

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Account is a user as a session becomes it.
type Account struct {
	Name     string
	UID, GID uint32
	// Groups are the supplementary groups; the primary one may be among them.
	Groups []uint32
	Home   string
	Shell  string // "/bin/sh" where the entry has none
}

// Errors of [LookupAccount].
var (
	ErrUnknownUser  = errors.New("no such user")
	ErrUnknownGroup = errors.New("no such group")
	errNumericGroup = errors.New("a user id without an entry needs a group")
)

// LookupAccount finds a user, by name or id; "" is the user this process runs
// as. A group, by name or id, replaces the primary one.
//
// The local files are read first. What they do not have, and the supplementary
// groups on a system that has other sources, is asked of getent and id.
func LookupAccount(user, group string) (Account, error) {
	return system().account(user, group)
}

func (d directory) account(user, group string) (Account, error) {
	a, err := d.user(user)
	if err == nil && group != "" {
		a.GID, err = d.group(group)
		a.Groups = append([]uint32{a.GID}, slices.DeleteFunc(a.Groups, func(g uint32) bool { return g == a.GID })...)
	}
	if err == nil && a.GID == math.MaxUint32 {
		err = fmt.Errorf("user %q: %w", user, errNumericGroup)
	}
	if err != nil {
		return Account{}, err
	}
	return a, nil
}

// user finds everything but the overriding group. GID is MaxUint32 for an id
// without an entry.
func (d directory) user(name string) (Account, error) {
	id := name
	if name == "" {
		id = strconv.Itoa(d.uid)
	}
	if !validName(id) {
		return Account{}, fmt.Errorf("user %q: %w", id, ErrUnknownUser)
	}
	if _, numeric := parseID(id); !numeric {
		id = ""
	}
	line, local := d.find("passwd", name, id)
	if line == nil {
		return d.bare(cmp.Or(id, name))
	}
	a, err := parsePasswd(line)
	if err != nil {
		return Account{}, fmt.Errorf("user %q: %w", name, err)
	}
	if d.mine(&a) {
		return a, nil
	}
	a.Groups, err = d.groups(a, local)
	if err != nil {
		return Account{}, fmt.Errorf("groups of user %q: %w", name, err)
	}
	return a, nil
}

// bare is the account of an id without an entry, as containers have them.
func (d directory) bare(name string) (Account, error) {
	uid, ok := parseID(name)
	if !ok {
		return Account{}, fmt.Errorf("user %q: %w", name, ErrUnknownUser)
	}
	a := Account{Name: name, UID: uid, GID: math.MaxUint32, Home: "/", Shell: defaultShell}
	d.mine(&a)
	return a, nil
}

// mine gives an account that is this process's own, and not root's, the groups
// that the process has: it cannot take on others.
func (d directory) mine(a *Account) bool {
	if d.uid == 0 || uint32(d.uid) != a.UID {
		return false
	}
	groups, err := os.Getgroups()
	if err != nil {
		return false
	}
	a.GID, a.Groups = uint32(os.Getgid()), nil
	for _, g := range groups {
		a.Groups = append(a.Groups, uint32(g))
	}
	return true
}

func (d directory) group(name string) (uint32, error) {
	if validName(name) {
		if line, _ := d.find("group", name, name); len(line) >= 3 {
			if gid, ok := parseID(line[2]); ok {
				return gid, nil
			}
		}
		if gid, ok := parseID(name); ok {
			return gid, nil
		}
	}
	return 0, fmt.Errorf("group %q: %w", name, ErrUnknownGroup)
}

// groups lists the primary and the supplementary groups.
func (d directory) groups(a Account, local bool) ([]uint32, error) {
	if !local || d.remote("group") {
		return d.askGroups(a.Name)
	}
	groups := []uint32{a.GID}
	for line := range d.lines("group") {
		if len(line) < 4 || !slices.Contains(strings.Split(line[3], ","), a.Name) {
			continue
		}
		if gid, ok := parseID(line[2]); ok && !slices.Contains(groups, gid) {
			groups = append(groups, gid)
		}
	}
	return groups, nil
}

func (d directory) askGroups(name string) ([]uint32, error) {
	out, err := d.run("id", "-G", "--", name)
	if err != nil {
		return nil, err
	}
	var groups []uint32
	for _, f := range strings.Fields(string(out)) {
		gid, ok := parseID(f)
		if !ok {
			return nil, fmt.Errorf("id -G: %w", errAccountID)
		}
		groups = append(groups, gid)
	}
	return groups, nil
}

const defaultShell = "/bin/sh"

// parsePasswd reads an entry of passwd(5), split at its colons.
func parsePasswd(f []string) (Account, error) {
	if len(f) < 7 {
		return Account{}, ErrUnknownUser
	}
	uid, ok := parseID(f[2])
	gid, ok2 := parseID(f[3])
	if !ok || !ok2 {
		return Account{}, errAccountID
	}
	a := Account{Name: f[0], UID: uid, GID: gid, Home: f[5], Shell: f[6]}
	if a.Home == "" {
		a.Home = "/"
	}
	if a.Shell == "" {
		a.Shell = defaultShell
	}
	return a, nil
}

// parseID reads a user or group id. The highest means "leave it" to the system
// calls and is none.
func parseID(s string) (uint32, bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != math.MaxUint32
}

// validName refuses what would mean something else in a file or a command line.
func validName(s string) bool {
	return s != "" && s[0] != '-' && s[0] != '+' && !strings.ContainsAny(s, ":\n\x00,")
}
