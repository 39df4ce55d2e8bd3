package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"etcha/go/wire"
)

// endOfFile is what a terminal takes for the end of the input, at the start of
// a line: Ctrl-D (VEOF of termios).
const endOfFile = 0x04

// viewerLeaves are the keys that end watching: q, Ctrl-C, Ctrl-D.
const viewerLeaves = "q\x03\x04"

// input reads stdin for the session. It is the goroutine that may stay behind,
// blocked in a read.
func (r *remote) input() {
	if r.tty == nil {
		r.pipe()
		return
	}
	defer r.tty.guard()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.tty.in.Read(buf)
		if r.finished.Load() {
			return
		}
		if n > 0 && !r.keys(buf[:n]) {
			return
		}
		if err != nil { // the terminal hung up
			r.finish(signalled(hangup))
			return
		}
	}
}

// keys takes what was typed. It reports false when no more is to be read.
func (r *remote) keys(typed []byte) bool {
	for len(typed) > 0 {
		var out []byte
		var act escapeAction
		out, act, typed = r.esc.scan(nil, typed)
		switch {
		case r.viewer() && bytes.ContainsAny(out, viewerLeaves):
			r.finish(errDetached)
			return false
		case !r.viewer() && len(out) > 0 && !r.typed.put(out):
			return false
		}
		switch act {
		case escapeEnd:
			r.finish(r.ended())
			return false
		case escapeDetach:
			if r.detaches() {
				r.finish(errDetached)
				return false
			}
		case escapeSuspend:
			r.suspendAndWait()
		case escapeInfo:
			r.info()
		case escapeHelp:
			r.note("escape sequences, at the start of a line:\n%s", r.escapeTable())
		case escapeNone:
		}
	}
	return true
}

// send gives the session what was typed, as much at once as has gathered.
func (r *remote) send() {
	var p []byte
	for {
		var ok bool
		if p, ok = r.typed.take(p); !ok {
			return
		}
		n, err := r.sess.Write(p)
		r.sent.Add(uint64(n))
		if err != nil { // the session is over; Wait says why
			return
		}
	}
}

// pipe gives the session what comes from stdin, and its end.
func (r *remote) pipe() {
	var last byte = '\n'
	if r.viewer() {
		return
	}
	if !r.noStdin {
		var ok bool
		if last, ok = r.copyInput(r.app.env.Stdin); !ok {
			return
		}
	}
	if r.pty {
		r.endTerminalInput(last)
		return
	}
	if err := r.sess.CloseWrite(); err != nil {
		r.log.Debug("close the session's stdin", "err", err)
	}
}

// copyInput copies stdin to its end and returns the last byte of it; false when
// the session ended first.
func (r *remote) copyInput(in *os.File) (last byte, ok bool) {
	last = '\n'
	buf := make([]byte, wire.MaxInput)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			last = buf[n-1]
			sent, err := r.sess.Write(buf[:n])
			r.sent.Add(uint64(sent))
			if err != nil { // the session is over; Wait says why
				return last, false
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				r.note("stdin ends here: %s", err)
			}
			return last, true
		}
	}
}

// endTerminalInput types the end of the input. In the middle of a line the
// first one only ends the line's waiting.
func (r *remote) endTerminalInput(last byte) {
	end := []byte{endOfFile}
	if last != '\n' {
		end = []byte{endOfFile, endOfFile}
	}
	if _, err := r.sess.Write(end); err != nil {
		r.log.Debug("end the terminal's input", "err", err)
	}
}

// ended is what the escape sequence for the end does: a guest only leaves.
func (r *remote) ended() error {
	if r.guest() {
		return errDetached
	}
	return errEnded
}

// detaches reports whether there is something to come back to.
func (r *remote) detaches() bool {
	if r.noDetach {
		r.note("the node goes with this session: there would be nothing to come back to")
		return false
	}
	if r.guest() || r.sess.Info().ResumeFor > 0 {
		return true
	}
	r.note("the node keeps no session without its client (resumeFor is 0)")
	return false
}

// info answers the escape sequence for it.
func (r *remote) info() {
	i := r.sess.Info()
	text := fmt.Sprintf("session %s\n  node    %s (%s)\n  source  %s, as %s\n  since   %s\n  bytes   %d typed, %d shown",
		i.Session, r.where, i.Node, i.Source, i.User,
		time.UnixMilli(i.Started).Local().Format(time.DateTime), r.sent.Load(), r.output.bytes.Load())
	if i.Recording != "" {
		text += "\n  record  " + i.Recording
	}
	if i.ResumeFor > 0 && !r.guest() {
		text += "\n  keeps   " + lasting(i.ResumeFor) + " without a client"
	}
	r.note("%s", text)
}

// escapeTable lists the escape sequences that begin with char.
func escapeTable(char string) string {
	return "  " + char + ".   end the session\n" +
		"  " + char + "d   detach: leave the session running\n" +
		"  " + char + "^Z  suspend etcha\n" +
		"  " + char + "#   show the session\n" +
		"  " + char + "?   show this list\n" +
		"  " + char + char + "   type " + char
}

// escapeTable lists what there is for one's part in the session.
func (r *remote) escapeTable() string {
	table := escapeTable(r.esc.name())
	if !r.guest() && !r.noDetach {
		return table
	}
	lines := slices.Delete(strings.Split(table, "\n"), 1, 2) // ~d
	if !r.guest() {
		return strings.Join(lines, "\n")
	}
	lines[0] = strings.Replace(lines[0], "end the session", "leave the session", 1)
	return strings.Join(lines, "\n")
}
