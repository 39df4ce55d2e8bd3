package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/record"
	"etcha/go/wire"
)

// What is recorded of a session, as authz.Shell.Record has it.
const recordFull = "full" // input too; otherwise output alone

const (
	// maxNotes bounds the markers and sizes that wait to be recorded.
	maxNotes = 256
	// maxTurn is the output after which the rest is looked at again, bytes.
	maxTurn = 1 << 20
)

// recording writes down a session: one more reader of its output, of which the
// keeper gives up nothing before it is in the file, so that the next daemon goes
// on where a dead one stopped. Its methods do nothing on a nil one.
type recording struct {
	s      *Session
	to     *record.Recorder
	note   recordingNote
	broken error         // why it failed before it began
	active atomic.Bool   // it is written
	poke   chan struct{} // cap 1: there is something to write
	done   chan struct{} // closed when nothing more is written
	next   uint64        // output offset to record next

	mu    sync.Mutex
	notes []remark
	input typed
}

// remark is what is recorded beside bytes, after the output up to at.
type remark struct {
	at   uint64
	size wire.Size
	text string // empty: size
}

// errNoRecordings means that the node has no folder for recordings.
var errNoRecordings = errors.New("the node records nothing")

// newRecording begins the recording of a session that is about to be started; nil
// where none is wanted, or it cannot be and need not.
func (r *Registry) newRecording(id string, g authz.Grant, rec memo) (*recording, error) {
	shell := g.Shell()
	if shell.Record == "" {
		return nil, nil //nolint:nilnil // none is wanted
	}
	c := &recording{note: recordingNote{Mode: shell.Record, Must: shell.MustRecord}}
	err := c.create(r, id, g.Source(), rec)
	if err == nil {
		return c, nil
	}
	if shell.MustRecord {
		return nil, errs.New(wire.CodeInternal, "the session has to be recorded, and cannot be").
			WithHint("whoever runs the node finds the reason in its log").Because(err)
	}
	c.abandon(err)
	return c, nil
}

// create makes the file.
func (c *recording) create(r *Registry, id, source string, rec memo) error {
	c.poke, c.done = make(chan struct{}, 1), make(chan struct{})
	if r.o.Recordings == nil {
		return errNoRecordings
	}
	k, err := rec.keys()
	if err != nil {
		return err
	}
	addr := ""
	if k.opener.Addr.IsValid() {
		addr = k.opener.Addr.String()
	}
	c.to, err = record.Create(*r.o.Recordings, record.Header{
		Session: id, Node: r.o.NodeID, Source: source, User: rec.User,
		Key: keyName(k.opener.Key), Subject: k.opener.Subject, Addr: addr,
		Title: rec.Title, Term: rec.Term, Cols: rec.Cols, Rows: rec.Rows,
		Started: r.o.Now(), Input: c.note.Mode == recordFull,
	})
	c.active.Store(err == nil)
	return err
}

// resumeRecording goes on with the recording of a session that an earlier daemon
// left, or begins another that says what it lacks.
func (s *Session) resumeRecording(rec memo) {
	if rec.Recording == nil {
		return
	}
	c := &recording{note: *rec.Recording, poke: make(chan struct{}, 1), done: make(chan struct{})}
	err := errNoRecordings
	if s.r.o.Recordings != nil {
		c.to, err = record.Resume(*s.r.o.Recordings, s.id)
	}
	c.active.Store(err == nil)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		err = c.create(s.r, s.id, s.source, rec)
	}
	if err != nil {
		c.abandon(err)
	}
	s.records(c)
	if missing && err == nil {
		c.mark("an earlier recording of this session is missing")
	}
}

// records makes c the session's recording, before the session is known.
func (s *Session) records(c *recording) {
	if c == nil {
		return
	}
	c.s, s.recording = s, c
	if c.active.Load() {
		c.next = c.to.Offset()
		s.recordedTo(c.next)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.regroup()
}

// abandon makes c one that failed before it began.
func (c *recording) abandon(err error) {
	c.active.Store(false)
	c.to, c.broken = nil, err
}

// discard ends the recording of a session whose program did not start.
func (c *recording) discard() error {
	if !c.on() {
		return nil
	}
	c.active.Store(false)
	err := c.to.Marker("the program was not started")
	_, late := c.to.Finish(wire.Exit{Code: exitKeeper, Reason: wire.ReasonClosed})
	return errors.Join(err, late)
}

// on reports whether the session is being recorded.
func (c *recording) on() bool { return c != nil && c.active.Load() }

// mode is what is recorded, for clients.
func (c *recording) mode() string {
	if !c.on() {
		return ""
	}
	return c.note.Mode
}

// ended is closed when nothing more is written.
func (c *recording) ended() <-chan struct{} {
	if c == nil {
		return closed()
	}
	return c.done
}

// over reports whether nothing more is written.
func (c *recording) over() bool {
	select {
	case <-c.ended():
		return true
	default:
		return false
	}
}

func closed() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// mark puts a marker into the recording, at the present end of the output.
func (c *recording) mark(text string) { c.remark(remark{text: text}) }

// resized puts the terminal's new size into the recording.
func (c *recording) resized(size wire.Size) { c.remark(remark{size: size}) }

func (c *recording) remark(n remark) {
	if !c.on() {
		return
	}
	n.at = c.s.state().Head
	c.mu.Lock()
	if len(c.notes) < maxNotes {
		c.notes = append(c.notes, n)
	}
	c.mu.Unlock()
	poke(c.poke)
}

// run records until the session's end, or until the daemon leaves.
func (c *recording) run() {
	defer poke(c.s.wake)
	defer close(c.done)
	if c.broken != nil {
		c.fail(c.broken)
		return
	}
	for {
		departed := c.s.departed.Load() || c.s.r.ctx.Err() != nil
		exit, idle, err := c.turn()
		switch {
		case err != nil:
			c.fail(err)
			return
		case exit != nil:
			c.finish(*exit)
			return
		case departed:
			c.leave()
			return
		case !idle:
			continue
		}
		// The end of the context is looked at above.
		_ = c.s.follow(c.s.r.ctx, c.poke)
	}
}

// turn writes what there is, all of it when idle; exit is set when that is all
// there will be.
func (c *recording) turn() (exit *wire.Exit, idle bool, err error) {
	st := c.s.state() // before the output: what was before an end is written
	if err := c.writeInput(); err != nil {
		return nil, false, err
	}
	for _, n := range c.takeNotes() {
		if _, err := c.output(min(n.at, st.Head)); err != nil {
			return nil, false, err
		}
		if err := c.writeNote(n); err != nil {
			return nil, false, err
		}
	}
	// Until nothing is found: only then the keeper tells of more.
	if idle, err = c.output(c.next + maxTurn); err != nil {
		return nil, false, err
	}
	if st.Exit == nil || c.next < st.Head {
		return nil, idle, nil
	}
	x := publicExit(st.Exit)
	return &x, true, nil
}

func (c *recording) takeNotes() []remark {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.notes
	c.notes = nil
	return all
}

func (c *recording) writeNote(n remark) error {
	if n.text != "" {
		return c.to.Marker(n.text)
	}
	return c.to.Resize(n.size.Cols, n.size.Rows)
}

// output records output up to an offset, and lets the keeper give up what is in
// the file; none when it found that there is not so much.
func (c *recording) output(upto uint64) (none bool, err error) {
	buf, _ := c.s.r.buffers.Get().(*[burst]byte)
	defer c.s.r.buffers.Put(buf)
	for c.next < upto {
		n, kind, err := c.s.read(buf[:min(uint64(len(buf)), upto-c.next)], c.next)
		switch {
		case errors.Is(err, keeper.ErrGone):
			err = c.skip()
		case errors.Is(err, keeper.ErrReleased), err == nil && n == 0:
			return true, nil
		case err != nil:
			err = fmt.Errorf("read output at %d: %w", c.next, err)
		default:
			err = c.to.Output(buf[:n], kind == keeper.Stderr)
		}
		if err != nil {
			return false, err
		}
		c.next = c.to.Offset()
		c.s.recordedTo(c.next)
		c.s.relieve()
	}
	return false, nil
}

// skip records that output was overwritten before it could be recorded.
func (c *recording) skip() error {
	tail := c.s.state().Tail
	lost := tail - min(tail, c.next)
	if lost == 0 {
		return nil // the search was only disturbed
	}
	c.s.log.Warn("output was not recorded", "bytes", lost)
	return c.to.Gap(lost)
}

// finish ends the recording with the session.
func (c *recording) finish(exit wire.Exit) {
	c.stop()
	sum, err := c.to.Finish(exit)
	if sum.File != "" {
		c.s.happen(Happening{Kind: Recorded, Recording: &sum, Err: err})
	}
	if err != nil {
		c.s.log.Error("recording was not finished", "err", err)
		c.s.happen(Happening{Kind: Unrecorded, Err: err})
	}
}

// leave hands the recording to the next daemon.
func (c *recording) leave() {
	c.active.Store(false)
	c.mu.Lock()
	c.input.wipe()
	c.mu.Unlock()
	if err := c.to.Close(); err != nil {
		c.s.log.Warn("recording was not closed", "err", err)
	}
}

// stop lets the session go on without a recording.
func (c *recording) stop() {
	s := c.s
	c.active.Store(false)
	c.mu.Lock()
	c.input.wipe()
	c.mu.Unlock()
	s.recordedTo(ungated)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.regroup()
}

// fail gives the recording up. A session that has to be recorded ends.
func (c *recording) fail(cause error) {
	s := c.s
	c.stop()
	s.log.Error("session is not recorded any more", "err", cause)
	if c.to != nil {
		sum, err := c.to.Finish(wire.Exit{Code: exitKeeper, Reason: wire.ReasonRecord})
		if sum.File != "" {
			s.happen(Happening{Kind: Recorded, Recording: &sum, Err: errors.Join(cause, err)})
		}
	}
	s.happen(Happening{Kind: Unrecorded, Err: cause})
	if c.note.Must {
		s.farewell(wire.NoticeRecording, "the session has to be recorded and cannot be any more: it ends")
		s.endFor(wire.ReasonRecord)
		return
	}
	s.announce(wire.NoticeRecording, "the session is not recorded any more")
	ctx, cancel := context.WithTimeout(s.r.ctx, adoptTime)
	defer cancel()
	if err := s.save(ctx, func(r *memo) { r.Recording = nil }); err != nil {
		s.log.Warn("end of a recording is not remembered", "err", err)
	}
	s.unattendIfAway()
}
