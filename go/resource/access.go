package resource

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
)

// Access is who may do what. The zero value leaves all as it is, and gives new
// files 0666 and new folders 0777 less the umask.
type Access struct {
	Mode  string // octal, three or four digits: "644", "0755", "4755"; empty: any
	Owner string // name or number; empty: any
	Group string // name or number; empty: any
}

// wanted is an Access with names looked up. -1 is any.
type wanted struct {
	mode     fs.FileMode
	any      bool // of mode
	uid, gid int
}

// modeBits is what an Access may set.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

func (a Access) resolve() (wanted, error) {
	w := wanted{any: a.Mode == "", uid: -1, gid: -1}
	var err error
	if !w.any {
		if w.mode, err = ParseMode(a.Mode); err != nil {
			return w, err
		}
	}
	if a.Owner != "" {
		if w.uid, err = userID(a.Owner); err != nil {
			return w, err
		}
	}
	if a.Group != "" {
		if w.gid, err = groupID(a.Group); err != nil {
			return w, err
		}
	}
	return w, nil
}

// ParseMode reads an octal mode of three or four digits.
func ParseMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 16)
	if err != nil || len(s) < 3 || len(s) > 4 {
		return 0, fmt.Errorf("mode %q: three or four octal digits are needed", s)
	}
	mode := fs.FileMode(n) & fs.ModePerm
	for bit, m := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n&bit != 0 {
			mode |= m
		}
	}
	return mode, nil
}

// formatMode is the inverse of ParseMode.
func formatMode(m fs.FileMode) string {
	n := uint32(m.Perm())
	for bit, f := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&f != 0 {
			n |= bit
		}
	}
	return fmt.Sprintf("%04o", n)
}

func userID(name string) (int, error) {
	if u, err := user.Lookup(name); err == nil {
		return strconv.Atoi(u.Uid)
	}
	return number("user", name)
}

func groupID(name string) (int, error) {
	if g, err := user.LookupGroup(name); err == nil {
		return strconv.Atoi(g.Gid)
	}
	return number("group", name)
}

// maxID is the last number that is not the system's word for none.
const maxID = 1<<32 - 2

func number(what, name string) (int, error) {
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil || n > maxID {
		return 0, fmt.Errorf("%s %q: there is none of this name", what, name)
	}
	return int(n), nil
}

// differs says what a file's access is instead of the wanted, or "".
func (w wanted) differs(info fs.FileInfo) string {
	if has := info.Mode() & modeBits; !w.any && has != w.mode {
		return fmt.Sprintf("has mode %s, not %s", formatMode(has), formatMode(w.mode))
	}
	uid, gid := owner(info)
	if w.uid >= 0 && uid != w.uid {
		return fmt.Sprintf("belongs to user %d, not %d", uid, w.uid)
	}
	if w.gid >= 0 && gid != w.gid {
		return fmt.Sprintf("belongs to group %d, not %d", gid, w.gid)
	}
	return ""
}

// set gives an open file what is wanted and is not so yet: the owner first,
// since a change of owner clears setuid.
func (w wanted) set(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := info.Mode() & modeBits
	uid, gid := owner(info)
	if w.uid >= 0 && uid != w.uid || w.gid >= 0 && gid != w.gid {
		if err := f.Chown(w.uid, w.gid); err != nil {
			return err
		}
		if info, err = f.Stat(); err != nil {
			return err
		}
		if w.any {
			w.mode, w.any = mode, false
		}
	}
	if !w.any && info.Mode()&modeBits != w.mode {
		return f.Chmod(w.mode)
	}
	return nil
}

// Difference is how something is not as wanted.
type Difference struct {
	Path string
	Text string // "is missing", "has mode 0600, not 0644"
}

// Error is the path and how it differs.
func (d *Difference) Error() string { return d.Path + " " + d.Text }

func differ(path, format string, args ...any) error {
	return &Difference{Path: path, Text: fmt.Sprintf(format, args...)}
}

// isDifference tells a Difference from a failure.
func isDifference(err error) bool {
	var d *Difference
	return errors.As(err, &d)
}
