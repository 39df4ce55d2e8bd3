package keeper

import (
	"time"

	"etcha/go/wire"
)

// Limits of this package. What lies beyond one is refused.
const (
	// MaxID bounds a session's ID, bytes: it names a cgroup.
	MaxID = 64
	// MaxMeta bounds the daemon's record of a session, bytes.
	MaxMeta = 256 << 10

	// maxFrame bounds a frame's body where no smaller bound applies, bytes: a
	// start's arguments and environment, and a page of a list.
	maxFrame = 4 << 20
	// maxSmall bounds the body of a frame without bulk, bytes.
	maxSmall = 4 << 10
	// maxInputFrame bounds an input frame's body, bytes.
	maxInputFrame = wire.MaxInput + inputHeader
	// maxHeld bounds the sessions of one keeper. The daemon's own limit is lower.
	maxHeld = 16 << 10
	// maxFDs is how many descriptors come with one answer, and more than with any
	// request.
	maxFDs = 2
	// listPageSize is the answer size after which a list goes on in a next page, bytes.
	listPageSize = 1 << 20

	// maxRegion bounds the shared memory that a daemon maps, bytes.
	maxRegion = 2*wire.MaxWindow + 1<<20

	// runSlots is how many changes between stdout and stderr are remembered;
	// output waits when all of them are unacknowledged.
	runSlots = 4096
	// echoSlots is how many changes between typing that is echoed and typing that
	// is not are remembered for the daemon to take; part of the ring's layout.
	echoSlots = 256
	// runTries is how often a search in the table of runs, disturbed by the
	// keeper, is begun again.
	runTries = 1000
	// inputPiece is the input written at once while the program takes it slowly,
	// bytes.
	inputPiece = 32 << 10
	// discardStep is how much of the oldest output goes at a time, bytes.
	discardStep = 4 << 10
	// spareRounds bounds the moving of a session's processes to another cgroup.
	spareRounds = 100
	// fillMax is the output read in one turn under the lock, bytes.
	fillMax = 64 << 10
	// yields is how often in a row a flood is waited for by yielding.
	yields = 2
	// pokeEvery is the output after which the daemon is woken although more is
	// readable at once, bytes.
	pokeEvery = 32 << 10
	// pokeBelow is the size of a read below which the daemon is woken at once.
	pokeBelow = 1 << 10
	// drainMax is the output read at most after the program's end, bytes: more
	// than a pipe or a terminal can hold back.
	drainMax = 2 << 20
	// hangupPoll is how often a terminal that nobody has open is tried again,
	// while its program runs.
	hangupPoll = 250 * time.Millisecond

	// trimAfter is the quiet time after which memory of acknowledged output
	// beyond the scrollback is given back; it doubles up to trimMax while the
	// output stays unacknowledged.
	trimAfter = time.Second
	trimMax   = time.Minute
	// trimMin is the memory worth giving back, bytes.
	trimMin = 64 << 10

	// defaultLinger is how long a keeper without sessions and daemons stays.
	defaultLinger = 2 * time.Second
	// stall is how long a peer may leave its full socket unread.
	stall = 10 * time.Second
	// sessionTime bounds a start or an adoption where the context does not.
	sessionTime = 30 * time.Second
	// helloTime bounds the first exchange on a connection.
	helloTime = 5 * time.Second
	// takeoverTime bounds the wait for an earlier daemon's last input.
	takeoverTime = 5 * time.Second
	// probeTime bounds the question to a program that is to take the keeper's place.
	probeTime = 5 * time.Second
	// scopeTime bounds the wait for systemd to move the keeper into a scope.
	scopeTime = 3 * time.Second
	// stopTime bounds the ending of all sessions: hang-up, TERM, KILL, draining.
	stopTime = 3*wire.HangupGrace + wire.DrainGrace
	// farewell is how long a keeper that was shut down waits for its daemons to
	// leave first.
	farewell = time.Second
	// connectTime bounds finding or starting a keeper where the context does not.
	connectTime = 15 * time.Second
	// renewTime is how long a keeper that cannot be upgraded now is asked again,
	// and renewTries how often it may become another program without being the
	// one that was asked for.
	renewTime  = 3 * time.Second
	renewTries = 2
	// awayTime is how long a keeper that hangs up is tried again by those who may
	// not start one: it may be becoming another program.
	awayTime = 2 * time.Second
	// retryMin and retryMax bound the pause between two tries to connect.
	retryMin = 5 * time.Millisecond
	retryMax = 100 * time.Millisecond

	// gcPercent is the garbage that a keeper lets gather, per cent of what it
	// needs: little is made once a session has started.
	gcPercent = 25
	// logMax is the size above which a keeper's log is renamed at its start, bytes.
	logMax = 1 << 20
	// openFiles is how many descriptors wire.MaxSessions and their starts need.
	openFiles = 6 * wire.MaxSessions
)
