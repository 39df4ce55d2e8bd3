package keeper

import (
	"errors"
	"time"

	"etcha/go/pty"
	"etcha/go/wire"
)

// Errors of this package. Operations wrap them with what they were about.
var (
	// ErrLost means that the connection to the keeper is gone: the keeper died,
	// or cut the connection. [Keeper.Done] tells the two apart.
	ErrLost = errors.New("the keeper is lost")
	// ErrReplaced means that another daemon adopted the session.
	ErrReplaced = errors.New("the session was adopted by another daemon")
	// ErrReleased means that the handle was released or closed before.
	ErrReleased = errors.New("the handle was released")
	// ErrNotFound means that the keeper holds no such session.
	ErrNotFound = errors.New("no such session")
	// ErrExists means that the keeper holds a session of this ID already.
	ErrExists = errors.New("the session exists already")
	// ErrInvalid means that a request makes no sense, or is beyond a limit.
	ErrInvalid = errors.New("invalid request")
	// ErrStopping means that the keeper ends and takes no more sessions.
	ErrStopping = errors.New("the keeper is stopping")
	// ErrRunning means that a session has not ended.
	ErrRunning = errors.New("the session has not ended")
	// ErrGap means that an input starts beyond the bytes accepted so far.
	ErrGap = errors.New("input starts beyond what was accepted")
	// ErrFull means that an input does not fit into [wire.InputWindow].
	ErrFull = errors.New("input window is full")
	// ErrInputClosed means that input follows its own end.
	ErrInputClosed = errors.New("input was closed")
	// ErrTerminal means that the input of a terminal cannot be closed.
	ErrTerminal = errors.New("input of a terminal has no end")
	// ErrGone means that output was overwritten before it was read.
	ErrGone = errors.New("output is no longer kept")
	// ErrAhead means that output beyond the head was asked for.
	ErrAhead = errors.New("output offset is beyond the head")
	// ErrVersion means that keeper and daemon do not understand each other.
	ErrVersion = errors.New("the keeper speaks another protocol")
	// ErrForeign means that the other side of the socket is another user's.
	ErrForeign = errors.New("the other side belongs to another user")
	// ErrBusy means that another keeper serves the state folder.
	ErrBusy = errors.New("another keeper serves this folder")
	// ErrProgram means that a program cannot take a keeper's place.
	ErrProgram = errors.New("the program cannot take the keeper's place")
	// ErrUnsettled means that a keeper cannot be upgraded at the moment.
	ErrUnsettled = errors.New("the keeper cannot be upgraded now")
	// ErrNone means that no keeper serves the state folder.
	ErrNone = errors.New("no keeper serves this folder")
)

// StartRequest is a session to be started.
type StartRequest struct {
	// ID names the session: 1 to [MaxID] letters, digits, "-" and "_".
	ID string
	// Spec is the program. Its Session and Cgroup are set by the keeper.
	Spec pty.Spec
	// Window is the output bytes kept unacknowledged, 1 to [wire.MaxWindow];
	// 0: [wire.DefaultWindow].
	Window uint64
	// Scrollback is the acknowledged output bytes kept, at most [wire.MaxWindow].
	Scrollback uint64
	// Flight is what [Session.SetFlight] begins with, bytes, so that not more is
	// read from the program before the first call; 0: Window.
	Flight uint64
	// ReportEcho makes the keeper look at the terminal's ECHO flag before and
	// after each write of input, for [Session.Echo]. It costs two system calls
	// for each input.
	ReportEcho bool
	// Resume is how long the session outlives the daemon's connection, and how
	// long its end is remembered.
	Resume time.Duration
	// Discard lets the oldest output go while nobody is attached. Otherwise the
	// program blocks when the window is full.
	Discard bool
	// Keep leaves background processes alone when the program ends by itself.
	Keep bool
	// Meta is the daemon's own record of the session, at most [MaxMeta] bytes.
	Meta []byte
}

// Info is what the keeper knows about a session.
type Info struct {
	ID         string
	Meta       []byte
	Started    time.Time
	Terminal   bool
	PID        int // of the program
	Window     uint64
	Scrollback uint64
	State      State
}

// State is where a session stands. Offsets count bytes from the session's start.
type State struct {
	// Accepted is the input bytes taken over, Written those of them that the
	// program's terminal or pipe has taken. Room is how many more may be given.
	Accepted, Written, Room uint64
	// Seq is the last control operation applied.
	Seq uint64
	// Head is the output bytes read from the program, Acked those consumed.
	// Tail is the oldest that can still be read.
	Head, Acked, Tail uint64
	// Dropped is the output bytes that were acknowledged by nobody (Discard).
	Dropped uint64
	// Activity is the time of the last new input or output; now, while the
	// program waits for its output to be consumed.
	Activity time.Time
	// Exit is set once the program has ended and all of its output is in Head.
	Exit *Exit
	// Ended is set once everything of the session is gone. It follows Exit.
	Ended bool
}

// EchoRange says what became of input bytes that were written to the program.
type EchoRange struct {
	From, To uint64 // offsets in the session's input, To not included
	// On is set when the terminal echoed what is typed both before and after the
	// bytes were written to it, or when there is no terminal. It is not set for
	// bytes that were dropped because nobody took input.
	On bool
}

// Exit is a session's end.
type Exit struct {
	Code   int    // exit status; 128+n when ended by signal n
	Signal string // name without "SIG" of the signal that ended the program
	Reason wire.ExitReason
	// Survivors counts processes that outlived the program and had to be
	// killed; final once State.Ended is set.
	Survivors int
}

// Kind is the stream that output belongs to.
type Kind uint8

// Kinds of output.
const (
	Output Kind = iota // terminal or stdout
	Stderr
)
