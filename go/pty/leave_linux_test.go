package pty

import (
	"slices"
	"testing"
)

// TestHierarchies finds a process's groups in the layouts that there are.
func TestHierarchies(t *testing.T) {
	const hybrid = `30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
32 30 0:28 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd
33 30 0:29 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu
`
	const own = "12:cpu:/limits\n1:name=systemd:/system.slice/etcha.service\n0::/system.slice/etcha.service\n"
	for name, c := range map[string]struct {
		in           hierarchy
		mounts, self string
		want         []string
	}{
		"second":     {unified(), hybrid, own, []string{"/sys/fs/cgroup/unified/system.slice/etcha.service"}},
		"named":      {named(), hybrid, own, []string{"/sys/fs/cgroup/systemd/system.slice/etcha.service"}},
		"none":       {named(), hybrid, "0::/x\n", nil},
		"outside":    {unified(), hybrid, "0::/../x\n", nil},
		"misleading": {unified(), hybrid, "1:name=systemd:/a0::/b\n", nil},
		"below":      {unified(), "31 30 0:27 /pod /c rw - cgroup2 c rw\n", "0::/pod/x\n", []string{"/c/x"}},
	} {
		if got := c.in.dirs([]byte(c.mounts), []byte(c.self)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestOwnGroupsAreNoSessions keeps the sweep of sessions' groups away from those
// of keepers.
func TestOwnGroupsAreNoSessions(t *testing.T) {
	for _, name := range []string{"etcha-keeper-999999-1", "etcha-keeper-999999-1.scope", "etcha-kept-x"} {
		if abandoned(name) {
			t.Errorf("%s would be swept", name)
		}
	}
	if !abandoned("etcha-999999999-1-x") {
		t.Error("a dead one's is kept")
	}
}
