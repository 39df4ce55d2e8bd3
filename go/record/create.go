package record

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"etcha/go/wire"
)

// Create begins the recording of a session. The error is fs.ErrExist when there
// is one of the same second, and of the file system otherwise.
func Create(o Options, h Header) (*Recorder, error) {
	o = o.filled()
	if h.Started.IsZero() {
		h.Started = o.Now()
	}
	name, err := castName(h)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	m := Meta{Header: h, Pipes: h.Term == ""}
	line, err := m.encode(o.Format)
	if err != nil {
		return nil, err
	}
	if err := makeDir(o.Dir); err != nil {
		return nil, fmt.Errorf("folder of recordings: %w", err)
	}
	r := &Recorder{o: o, dir: o.Dir, name: name, format: o.Format, sum: sha256.New()}
	r.st = state{started: h.Started, cols: h.Cols, rows: h.Rows}
	if err := r.room(lookEvery); err != nil {
		return nil, fmt.Errorf("record session %q: %w", h.Session, err)
	}
	if err := r.create(line); err != nil {
		return nil, fmt.Errorf("record session %q: %w", h.Session, err)
	}
	return r, nil
}

// create makes the files, the state first: a cast without one counts as finished.
func (r *Recorder) create(header []byte) (err error) {
	path := filepath.Join(r.dir, r.name)
	made := os.O_RDWR | os.O_CREATE | os.O_EXCL
	side, err := openFile(path+stateSuffix, made)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, side.Close(), os.Remove(path+stateSuffix))
		}
	}()
	cast, err := openFile(path, made)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, cast.Close(), os.Remove(path))
		}
	}()
	if err := lock(cast); err != nil {
		return err
	}
	r.cast, r.side = cast, side
	r.startClock(r.o.Now())
	if _, err := side.WriteAt(make([]byte, sideSize), 0); err != nil { // the disk has room for both slots now
		return err
	}
	return r.commit(header, r.st)
}

// startClock makes elapsed go on from now, never backwards.
func (r *Recorder) startClock(now time.Time) {
	r.anchor, r.base = now, max(now.Sub(r.st.started), r.st.last)
}

func (o Options) filled() Options {
	o.Format = cmp.Or(o.Format, V3)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Resume goes on with the recording that an earlier daemon began. The error is
// fs.ErrNotExist when there is none, [ErrBusy] when somebody writes it, and
// [ErrDamaged] when it cannot be trusted; a damaged one is left as it is. The
// format is the recording's own.
//
// Where the machine lost power Offset may be below what an earlier process was
// told. [Recorder.Gap] is for output that is not there any more to be fed again.
func Resume(o Options, session string) (*Recorder, error) {
	o = o.filled()
	name, err := unfinished(o.Dir, session)
	if err != nil {
		return nil, fmt.Errorf("resume the recording of session %.40q: %w", session, err)
	}
	r := &Recorder{o: o, dir: o.Dir, name: name}
	if err := r.reopen(); err != nil {
		return nil, fmt.Errorf("resume recording %s: %w", name, err)
	}
	return r, nil
}

// FinishLost ends the recordings whose sessions are gone, as after a power cut
// or the death of what held the sessions, with a marker that the end is missing
// and the exit that is given. It is for the start of a daemon, when live knows
// all sessions that go on. One that is being written or that is damaged stays as
// it is; the damaged are in the error, as [ErrDamaged].
func FinishLost(o Options, live func(session string) bool, exit wire.Exit) ([]Summary, error) {
	all, err := List(o.Dir)
	if err != nil {
		return nil, err
	}
	var ended []Summary
	var failed []error
	for _, e := range slices.Backward(all) {
		if e.Finished || live(e.Session) {
			continue
		}
		switch s, err := finishLost(o, e.File, exit); {
		case err == nil:
			ended = append(ended, s)
		case !errors.Is(err, ErrBusy) && !errors.Is(err, fs.ErrNotExist):
			failed = append(failed, fmt.Errorf("recording %s: %w", e.File, err))
		}
	}
	return ended, errors.Join(failed...)
}

func finishLost(o Options, name string, exit wire.Exit) (Summary, error) {
	o = o.filled()
	r := &Recorder{o: o, dir: o.Dir, name: name}
	if err := r.reopen(); err != nil {
		return Summary{}, err
	}
	if err := r.Marker("the end of the session is missing"); err != nil && !errors.Is(err, ErrLimit) {
		return Summary{}, errors.Join(err, r.Close())
	}
	return r.Finish(exit)
}

// unfinished is the name of the session's newest recording that has a state.
func unfinished(dir, session string) (string, error) {
	if err := checkSession(session); err != nil {
		return "", err
	}
	all, err := List(dir)
	if err != nil {
		return "", err
	}
	for _, e := range all {
		if e.Session == session && !e.Finished {
			return e.File, nil
		}
	}
	return "", fs.ErrNotExist
}

func (r *Recorder) reopen() (err error) {
	path := filepath.Join(r.dir, r.name)
	cast, err := openFile(path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, cast.Close())
		}
	}()
	if err := lock(cast); err != nil {
		return err
	}
	side, err := openFile(path+stateSuffix, os.O_RDWR)
	if err != nil {
		return err
	}
	if err := r.restore(cast, side); err != nil {
		return errors.Join(err, side.Close())
	}
	r.cast, r.side = cast, side
	return nil
}

// restore takes the newest state that the cast has the bytes of, and cuts off
// the rest.
func (r *Recorder) restore(cast, side *os.File) error {
	b := make([]byte, sideSize)
	n, err := side.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, s := range decodeStates(b[:n]) {
		sum := sha256.New()
		n, err := io.Copy(sum, io.NewSectionReader(cast, 0, s.size))
		if err != nil {
			return err
		}
		if n != s.size || [sha256.Size]byte(sum.Sum(nil)) != s.digest {
			continue
		}
		reader, err := NewReader(io.NewSectionReader(cast, 0, s.size))
		if err != nil {
			return errors.Join(ErrDamaged, err)
		}
		r.st, r.sum, r.format = s, sum, reader.Meta().Format
		r.startClock(r.o.Now())
		return cast.Truncate(s.size)
	}
	return ErrDamaged
}
