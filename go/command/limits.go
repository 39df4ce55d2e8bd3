package command

import "time"

const (
	// MaxOutput is how much of a script's output is kept, bytes; of more, the
	// end. One variable of an environment holds 128 KiB on Linux.
	MaxOutput = 64 << 10
	// maxErrorLines and maxErrorText bound what of a script's output an error
	// shows, lines and bytes.
	maxErrorLines = 10
	maxErrorText  = 2 << 10
	// maxDepth bounds how deep lists and groups nest.
	maxDepth = 100
	// maxName bounds names that are compared with known ones, bytes.
	maxName = 64
	// maxShellText and maxShellDelta bound the script and the changed variables
	// that a long-lived shell is given, bytes: it reads them one at a time, and
	// beyond this a new process is faster.
	maxShellText  = 4 << 10
	maxShellDelta = 2 << 10
	// maxShellVars bounds the variables of a long-lived shell, bytes: the kernel
	// bounds the environment of a process, which a shell does not notice.
	maxShellVars = 512 << 10
	// drainGrace is how long output is read after a script ended while something
	// that it started still holds it.
	drainGrace = 500 * time.Millisecond
	// killWait is how long processes may take to vanish after KILL, and pollMin
	// the step at which they are looked for.
	killWait = 5 * time.Second
	pollMin  = time.Millisecond
	// engineWait bounds the removal of a container.
	engineWait = 30 * time.Second
	// shellStart bounds how long a long-lived shell may take to answer first.
	shellStart = 10 * time.Second
)
