package pty

import "golang.org/x/sys/unix"

// contained is the processes of a session with a cgroup: what is in it, and what
// systemd-logind took out of it for a login inside the session (su, sudo). What
// went to any other group was handed to another manager and is left alone.
type contained struct {
	group   *group
	closure *closure
	outside map[procKey]bool // were found in a login scope
	looked  bool
}

// live looks through all processes the first time and when all seem to have
// ended, and in between only at those it knows.
func (c *contained) live() ([]proc, error) {
	if c.looked {
		if live, err := c.known(); err != nil || len(live) > 0 {
			return live, err
		}
	}
	if err := c.look(); err != nil {
		return nil, err
	}
	c.looked = true
	return c.known()
}

func (c *contained) known() ([]proc, error) {
	live, err := c.group.live()
	if err != nil {
		return nil, err
	}
	for k := range c.outside {
		if p, err := readProc(k.pid); err == nil && p.start == k.start && p.alive() && !c.group.has(p.pid) {
			live = append(live, p)
		}
	}
	return live, nil
}

func (c *contained) look() error {
	all, err := c.closure.scan()
	if err != nil {
		return err
	}
	for _, p := range all {
		if !c.group.has(p.pid) && loginScope(p.pid) {
			c.outside[p.key()] = true
		}
	}
	return nil
}

func (c *contained) signal(p proc, sig unix.Signal) error {
	if c.outside[p.key()] {
		return c.closure.signal(p, sig)
	}
	return c.group.signal(p, sig)
}

func (c *contained) kill() error { return c.group.kill() }
