package pty

import (
	"bytes"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// closure finds a session's processes where there is no cgroup: by what they
// inherit and, unlike a parent, do not lose.
//
//   - the leader's session, and each session begun by a member
//   - the audit session, which only a privileged process can leave
//   - the marker in the environment
//   - descent from any of these, and from what was a member when last looked
//
// While this process reaps orphans, all members descend from it. What does not
// was handed to another manager, as by at or systemd-run, and is left alone. An
// orphan without any mark is ended with the last session that it may have come
// from.
type closure struct {
	p      *Process
	seen   map[procKey]bool // were members once
	reaped bool             // the leader's number is not ours any more
}

func newClosure(p *Process) *closure {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &closure{p: p, seen: map[procKey]bool{}, reaped: p.gone}
}

// live lists the members that have not ended. It looks twice before it finds
// none: what is forked while the list is read may be where that was read already.
func (c *closure) live() ([]proc, error) {
	live, err := c.scan()
	if err == nil && len(live) == 0 {
		live, err = c.scan()
	}
	return live, err
}

func (c *closure) scan() ([]proc, error) {
	procs, err := readProcs()
	if err != nil {
		return nil, err
	}
	v, err := c.look(procs)
	if err != nil {
		return nil, err
	}
	var out []proc
	for _, m := range v.members() {
		c.seen[m.key()] = true
		if m.alive() {
			out = append(out, m)
		}
	}
	return out, nil
}

func (c *closure) signal(p proc, sig unix.Signal) error {
	return signalProc(p.pid, sig, func() bool {
		now, err := readProc(p.pid)
		return err == nil && now.start == p.start
	})
}

// kill has nothing that acts on all at once.
func (c *closure) kill() error { return nil }

// marked reports whether a process bears the session's own marks.
func (c *closure) marked(p proc) bool {
	l := c.p
	switch {
	case c.seen[p.key()], !c.reaped && (p.pid == l.pid || p.sid == l.pid):
		return true
	case l.audit != noAudit && auditSession(p.pid) == l.audit:
		return true
	}
	return p.start >= l.started && hasMarker(p.pid, l.session)
}

// view is one look at the system's processes.
type view struct {
	*closure
	self, sid int  // this process, and its session
	orphans   bool // come to this process
	others    []*Process
	procs     []proc // that may be members
}

func (c *closure) look(all []proc) (*view, error) {
	sid, err := unix.Getsid(0)
	if err != nil {
		return nil, err
	}
	v := &view{
		closure: c, self: os.Getpid(), sid: sid,
		orphans: c.p.parent.reaping.Load() > 0, others: c.p.parent.others(c.p),
	}
	v.procs = v.candidates(all)
	return v, nil
}

// candidates leaves out this process, the leaders of other sessions and, where
// orphans come to this process, all that does not descend from it.
func (v *view) candidates(all []proc) []proc {
	not := map[int]bool{v.self: true}
	for _, o := range v.others {
		not[o.pid] = true
	}
	parents := map[int]int{}
	for _, p := range all {
		parents[p.pid] = p.ppid
	}
	var out []proc
	for _, p := range all {
		if !not[p.pid] && (!v.orphans || descends(p.pid, v.self, parents)) {
			out = append(out, p)
		}
	}
	return out
}

// descends follows parents upwards; the list may have been read while it
// changed, so the way is bounded.
func descends(pid, from int, parents map[int]int) bool {
	for range len(parents) {
		parent, ok := parents[pid]
		if !ok || parent == 0 {
			return false
		}
		if parent == from {
			return true
		}
		pid = parent
	}
	return false
}

// members picks the session's processes, ended ones among them.
func (v *view) members() []proc {
	s := newSelection(v.procs, v.foreign())
	for _, p := range v.procs {
		if v.marked(p) {
			s.take(p)
		}
	}
	s.spread()
	for _, p := range v.strays() {
		s.take(p)
	}
	s.spread()
	return s.list()
}

// foreign are sessions that no member can be in: this process's own, and those
// led by other sessions' leaders.
func (v *view) foreign() map[int]bool {
	foreign := map[int]bool{0: true, v.sid: true}
	for _, o := range v.others {
		foreign[o.pid] = true
	}
	return foreign
}

// strays lists orphans without a mark, when this is the only session that they
// can have come from: the others have a cgroup. Not where some were allowed to
// stay, nor in process 1, which gets what was left behind elsewhere, too.
func (v *view) strays() []proc {
	contained := func(o *Process) bool { return o.group != nil }
	if !v.orphans || v.self == 1 || contained(v.p) || v.p.parent.spared.Load() {
		return nil
	}
	if slices.ContainsFunc(v.others, func(o *Process) bool { return !contained(o) }) {
		return nil
	}
	var out []proc
	for _, p := range v.procs {
		if p.ppid == v.self && p.sid != v.sid && stayed(p.pid) {
			out = append(out, p)
		}
	}
	return out
}

// stayed reports whether a process of a session without a cgroup is where it
// began: in this process's, and not in that of another session or manager.
func stayed(pid int) bool {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return true // a kernel without
	}
	its, err := os.ReadFile(procFile(pid, "cgroup"))
	return err == nil && (bytes.Equal(own, its) || loginScope(pid))
}

// selection grows from marked processes to their sessions and descendants.
type selection struct {
	all     []proc
	foreign map[int]bool // sessions that do not spread
	taken   map[int]bool // by pid
	sids    map[int]bool // sessions of those taken
}

func newSelection(all []proc, foreign map[int]bool) *selection {
	return &selection{all: all, foreign: foreign, taken: map[int]bool{}, sids: map[int]bool{}}
}

func (s *selection) take(p proc) {
	s.taken[p.pid] = true
	if !s.foreign[p.sid] {
		s.sids[p.sid] = true
	}
}

// spread takes until nothing is added: a process can begin sessions only of its
// own, and a session's number lives as long as any of its processes.
func (s *selection) spread() {
	for grown := true; grown; {
		grown = false
		for _, p := range s.all {
			if !s.taken[p.pid] && (s.taken[p.ppid] || s.sids[p.sid]) {
				s.take(p)
				grown = true
			}
		}
	}
}

func (s *selection) list() []proc {
	var out []proc
	for _, p := range s.all {
		if s.taken[p.pid] {
			out = append(out, p)
		}
	}
	return out
}
