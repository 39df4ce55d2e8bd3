package keeper

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"etcha/go/pty"
	"etcha/go/wire"
)

// Versions of the state that a keeper hands over to the next program in its
// process. Decoding is strict, so a new field, like any other change, raises
// stateNewest; stateOldest is the oldest that is understood. A change to the
// memory of a session (ringLayout) raises both.
const (
	stateNewest = 1
	stateOldest = 1
)

// stateMagic begins the state; the version follows (4 bytes, little endian), then
// JSON.
const stateMagic = "etchaKST"

// stateHeader is the length of what comes before the JSON, bytes.
const stateHeader = len(stateMagic) + 4

// maxState bounds the state, bytes: every session with all of its input waiting
// and the largest record would need less than half.
const maxState = 1 << 30

// keeperState is everything that the next program in this process goes on with.
// Numbers of descriptors are as of the process.
type keeperState struct {
	Parent   pty.ParentState `json:"parent"`
	Lock     int             `json:"lock"`
	Listener int             `json:"listener"`
	Sessions []sessionState  `json:"sessions"`
}

// sessionState is a session. What its memory file tells is not repeated.
type sessionState struct {
	ID         string            `json:"id"`
	Meta       []byte            `json:"meta"`
	Started    time.Time         `json:"started"`
	PID        int               `json:"pid"`
	Terminal   bool              `json:"terminal"`
	Window     uint64            `json:"window"`
	Scrollback uint64            `json:"scrollback"`
	Resume     time.Duration     `json:"resume"` // nanoseconds
	Left       time.Duration     `json:"left"`   // of it; -1: it has not begun
	Discard    bool              `json:"discard"`
	Keep       bool              `json:"keep"`
	Flight     uint64            `json:"flight"`
	ReportEcho bool              `json:"reportEcho"`
	Ring       int               `json:"ring"`
	Trimmed    uint64            `json:"trimmed"`
	Accepted   uint64            `json:"accepted"`
	Written    uint64            `json:"written"`
	Queue      []byte            `json:"queue"` // accepted and not written
	EOF        bool              `json:"eof"`
	Void       bool              `json:"void"`
	EchoOn     bool              `json:"echoOn"`
	Reason     wire.ExitReason   `json:"reason"` // of an end that was asked for
	Taken      bool              `json:"taken"`
	Forgotten  bool              `json:"forgotten"`
	Process    *pty.ProcessState `json:"process"` // nil: everything of it has ended
}

// errState means that a state cannot be gone on with.
var errState = errors.New("unusable state of an earlier program")

// encode makes the bytes of a state.
func (st keeperState) encode() ([]byte, error) {
	body, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	b := binary.LittleEndian.AppendUint32([]byte(stateMagic), stateNewest)
	if b = append(b, body...); len(b) > maxState {
		return nil, fmt.Errorf("%w: state of %d bytes, limit %d", ErrInvalid, len(b), maxState)
	}
	return b, nil
}

// decodeState reads what encode wrote. It is strict: what it does not understand
// it must not go on with. The errors are errState.
func decodeState(b []byte) (keeperState, error) {
	var st keeperState
	if len(b) < stateHeader || string(b[:len(stateMagic)]) != stateMagic || len(b) > maxState {
		return st, fmt.Errorf("%w: %d bytes of something else", errState, len(b))
	}
	if v := binary.LittleEndian.Uint32(b[len(stateMagic):]); v < stateOldest || v > stateNewest {
		return st, fmt.Errorf("%w: version %d, known %d to %d", errState, v, stateOldest, stateNewest)
	}
	dec := json.NewDecoder(bytes.NewReader(b[stateHeader:]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&st); err != nil {
		return st, fmt.Errorf("%w: %w", errState, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return st, fmt.Errorf("%w: something follows it", errState)
	}
	return st, st.check()
}

// check refuses what no keeper wrote.
func (st keeperState) check() error {
	if len(st.Sessions) > maxHeld {
		return fmt.Errorf("%w: %d sessions", errState, len(st.Sessions))
	}
	fds, ids := map[int]bool{}, map[string]bool{}
	for _, fd := range st.descriptors() {
		if fd < firstOther || fds[fd] {
			return fmt.Errorf("%w: descriptor %d", errState, fd)
		}
		fds[fd] = true
	}
	for _, s := range st.Sessions {
		if err := s.check(); err != nil {
			return err
		}
		if ids[s.ID] {
			return fmt.Errorf("%w: session %q twice", errState, s.ID)
		}
		ids[s.ID] = true
	}
	return nil
}

// check refuses a session that does not make sense.
func (s sessionState) check() error {
	waiting := s.Accepted - s.Written
	switch {
	case !validID(s.ID):
		return fmt.Errorf("%w: session ID of %d bytes", errState, len(s.ID))
	case s.Window == 0, max(s.Window, s.Scrollback, s.Flight) > wire.MaxWindow, len(s.Meta) > MaxMeta, s.Resume < 0, s.Left < -1:
		return fmt.Errorf("%w: session %q is beyond a limit", errState, s.ID)
	case s.Written > s.Accepted, uint64(len(s.Queue)) != waiting, waiting > wire.InputWindow:
		return fmt.Errorf("%w: session %q has %d of %d bytes of input", errState, s.ID, len(s.Queue), waiting)
	case s.Process != nil && (s.Process.Session != s.ID || s.Process.PID != s.PID || s.Process.Terminal != s.Terminal):
		return fmt.Errorf("%w: session %q has another's program", errState, s.ID)
	}
	return nil
}

// descriptors are those that must survive execve(2).
func (st keeperState) descriptors() []int {
	fds := []int{st.Lock, st.Listener}
	for _, s := range st.Sessions {
		fds = append(fds, s.Ring)
		if s.Process != nil {
			fds = append(fds, s.Process.Descriptors()...)
		}
	}
	return fds
}

// stateSeals are on a state that nobody can change any more.
const stateSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// writeState puts a state into a sealed memory file, closed on execve.
func writeState(b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("etcha-state", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("etcha-state", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("make state file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "state")
	if _, err := f.Write(b); err != nil {
		return nil, errors.Join(fmt.Errorf("write state: %w", err), f.Close())
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, stateSeals); err != nil {
		return nil, errors.Join(fmt.Errorf("seal state: %w", err), f.Close())
	}
	return f, nil
}

// readState reads such a file, and closes it.
func readState(fd int) ([]byte, error) {
	f := os.NewFile(uintptr(fd), "state")
	if f == nil {
		return nil, fmt.Errorf("%w: descriptor %d", errState, fd)
	}
	defer f.Close()
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil || seals&stateSeals != stateSeals {
		return nil, fmt.Errorf("%w: seals %#x", errState, seals)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxState+1))
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return b, nil
}
