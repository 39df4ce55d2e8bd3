package pty

import "time"

const (
	// startWait is how long the helper may take until the program runs: longer
	// than a home on a slow network file system, shorter than a person waits.
	startWait = 30 * time.Second
	// killWait is how long processes may take to vanish after KILL. What is
	// still there hangs in the kernel and is reported as left.
	killWait = 5 * time.Second
	// pollMin and pollMax bound the steps at which a session is looked at while
	// it is ending.
	pollMin = time.Millisecond
	pollMax = 25 * time.Millisecond
	// removeWait is how long the removal of an empty group is tried again: the
	// kernel lets go of its last task shortly after it is gone.
	removeWait = time.Second
	// lookupWait bounds each run of getent or id, which may ask a network service.
	lookupWait = 10 * time.Second

	// maxOrder bounds what the helper reads, bytes; execve takes less.
	maxOrder = 8 << 20
	// maxAnswer bounds what the helper reports, bytes.
	maxAnswer = 64 << 10
	// maxEnviron is how much of a process's environment is searched for the marker, bytes.
	maxEnviron = 2 << 20
	// maxLookup bounds the output of getent and id, bytes.
	maxLookup = 1 << 20
	// maxSession bounds a session's name, bytes.
	maxSession = 64

	// defaultCols and defaultRows are the window of a session that gave none.
	defaultCols = 80
	defaultRows = 24

	// defaultPath is searched when the environment has no PATH.
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)
