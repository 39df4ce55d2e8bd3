package command

import "etcha/go/pty"

func lookupLogin(user, group string) (login, error) {
	a, err := pty.LookupAccount(user, group)
	if err != nil {
		return login{}, err
	}
	return login{name: a.Name, home: a.Home, shell: a.Shell, uid: a.UID, gid: a.GID, groups: a.Groups}, nil
}
