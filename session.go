package etcha

import (
	"io"
	"time"

	"etcha/go/client"
	"etcha/go/wire"
)

// Request says what to start.
type Request struct {
	Source  string            // what to use on the node; required
	Process string            // one of the source's processes; empty: its shell
	Command string            // a command line, split as a shell would; replaces the shell where the source allows it
	Args    []string          // a program and its arguments, run directly; excludes Command
	Env     map[string]string // variables; the node takes those that the source accepts
	Title   string            // for lists of sessions
	Detach  bool              // it may be left for longer than others: where the source allows it

	PTY        bool   // run on a terminal; without one stdout and stderr are kept apart
	Term       string // the terminal's type, for TERM
	Cols, Rows uint16 // its size, characters

	// Stdout and Stderr get the program's output in order; nil: it is dropped.
	// They are used by one goroutine, until Wait returns. On a terminal there is
	// only Stdout.
	Stdout, Stderr io.Writer
}

func (r Request) shell() wire.Shell {
	return wire.Shell{
		Process: r.Process, Command: r.Command, Args: r.Args, Env: r.Env, Title: r.Title, Detach: r.Detach,
		PTY: r.PTY, Term: r.Term, Cols: r.Cols, Rows: r.Rows,
	}
}

// Session is one program on a node. It is safe for concurrent use.
type Session struct{ s *client.Session }

// Info is what the node said about a session when it confirmed it, the last time.
type Info struct {
	Session     string        // session ID
	Node        string        // node ID
	Source      string        // as asked for
	User        string        // the user that the program runs as
	Started     time.Time     // milliseconds
	ResumeFor   time.Duration // how long the program outlives its client
	IdleTimeout time.Duration // 0: none
	EndsAt      time.Time     // of the latest end; zero: none
	Cols, Rows  uint16        // the terminal's size, characters; zeros: none, or not told
	Recording   string        // what is recorded: "output", "full"; empty: nothing
}

// ID is the session's ID on the node.
func (s *Session) ID() string { return s.s.ID() }

// Info is what the node said about the session.
func (s *Session) Info() Info {
	i := s.s.Info()
	info := Info{
		Session: i.Session, Node: i.Node, Source: i.Source, User: i.User,
		Started:   time.UnixMilli(i.Started),
		ResumeFor: seconds(i.ResumeFor), IdleTimeout: seconds(i.IdleTimeout),
		Cols: i.Cols, Rows: i.Rows, Recording: i.Recording,
	}
	info.EndsAt = milliseconds(i.EndsAt)
	return info
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// Write sends input. It returns when p is queued and blocks while the program
// does not read, or the node is lost, and the queue is full. Writes arrive once
// and in order; those of several goroutines are not mixed. After the session's end
// it fails, and in one that is watched.
func (s *Session) Write(p []byte) (int, error) {
	n, err := s.s.Write(p)
	return n, public(err)
}

// CloseWrite closes the program's stdin behind everything written. On a
// terminal it is an error: write its end-of-file key, usually \x04.
func (s *Session) CloseWrite() error { return public(s.s.CloseWrite()) }

// Resize tells the program its terminal's size, in characters. It returns at
// once; of several sizes in a row only the last may arrive.
func (s *Session) Resize(cols, rows uint16) error { return public(s.s.Resize(cols, rows)) }

// Signal sends a signal to the program's foreground processes and returns when
// the node has done so; while the node is lost it waits. name is INT, TERM, HUP, QUIT, KILL, USR1, USR2, WINCH,
// TSTP or CONT.
func (s *Session) Signal(name string) error { return public(s.s.Signal(name)) }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.s.Done() }

// Wait returns when the session has ended, or was left, and its output was
// written: nil when the program ended by itself with status 0, else an
// [ExitError], a [LossError], [ErrDetached], or the error of a writer. It may be
// called several times.
func (s *Session) Wait() error {
	exit, err := s.s.Wait()
	if err != nil {
		return public(err)
	}
	if exit.Code == 0 && exit.Reason == wire.ReasonExited {
		return nil
	}
	return &ExitError{Code: exit.Code, Signal: exit.Signal, Reason: string(exit.Reason)}
}

// Close ends the program and everything it started, now; output that was not
// yet written is dropped. It takes a bounded time. Closing twice, or after the
// end, is harmless. The error is that of telling the node; it then ends the
// session by itself after Info.ResumeFor. A session that is watched or was joined
// is left instead.
func (s *Session) Close() error { return public(s.s.Close()) }

// Detach leaves the program running on the node, for up to Info.ResumeFor, and
// returns within a bounded time, after the last input was delivered; the error
// says how much of it was not. [Client.Attach] goes on with the session.
func (s *Session) Detach() error { return public(s.s.Detach()) }
