package pty

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"time"
)

// Reasons for which an account gets no session.
var (
	ErrExpired  = errors.New("account has expired")
	ErrInactive = errors.New("account is inactive: its password expired too long ago")
	ErrNoShell  = errors.New("permits no login")
	ErrNoLogins = errors.New("logins are disabled by the system")
)

// CheckLogin refuses an account that has expired, whose login shell is nologin
// or false, or, unless it is root, while the system permits no logins
// (nologin(5)). A locked password alone is no reason. What shadow(5) says counts
// where it can be read.
func (a Account) CheckLogin() error { return system().checkLogin(a) }

func (d directory) checkLogin(a Account) error {
	if base := path.Base(a.Shell); base == "nologin" || base == "false" {
		return fmt.Errorf("user %q: login shell %q %w", a.Name, a.Shell, ErrNoShell)
	}
	if a.UID != 0 {
		for _, name := range []string{"/run/nologin", "/etc/nologin"} {
			if _, err := os.Stat(filepath.Join(d.root, name)); err == nil {
				return fmt.Errorf("user %q: %w (%s)", a.Name, ErrNoLogins, name)
			}
		}
	}
	if validName(a.Name) {
		if err := d.checkExpiry(a.Name); err != nil {
			return fmt.Errorf("user %q: %w", a.Name, err)
		}
	}
	return nil
}

// checkExpiry reads the entry as pam_unix does: the eighth field is the day
// from which on the account is closed; an account is inactive when its password
// is older than its longest life (5) and the days of grace (7) together.
func (d directory) checkExpiry(name string) error {
	f, _ := d.find("shadow", name, "")
	if len(f) < 8 {
		return nil
	}
	today := d.now().Unix() / int64((24 * time.Hour).Seconds())
	if expire, ok := parseDay(f[7]); ok && today >= expire {
		return fmt.Errorf("%w on %s", ErrExpired, dayText(expire))
	}
	changed, ok := parseDay(f[2])
	longest, ok2 := parseDay(f[4])
	grace, ok3 := parseDay(f[6])
	if ok && ok2 && ok3 && changed > 0 && today-changed > longest+grace {
		return ErrInactive
	}
	return nil
}

// parseDay reads a day or a number of days; an empty or negative field is none.
func parseDay(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 32)
	return n, err == nil && n >= 0
}

func dayText(day int64) string {
	return time.Unix(day*24*60*60, 0).UTC().Format(time.DateOnly)
}
