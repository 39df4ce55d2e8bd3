package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"time"

	"etcha/go/pty"
	"etcha/go/wire"
)

// Versions of the socket's protocol. Receivers ignore unknown fields, answer
// unknown requests with codeInvalid and skip unknown other frames, so newest is
// raised, and oldest with it, only when something is removed.
const (
	protocolNewest = 1
	protocolOldest = 1
)

// hello is the first message of both sides.
type hello struct {
	Newest int `json:"newest"` // the newest protocol spoken
	Oldest int `json:"oldest"` // the oldest protocol understood
	PID    int `json:"pid"`

	// The keeper's, absent of an older one.
	Version string      `json:"version,omitempty"`
	Program programBody `json:"program,omitzero"`
}

// check reports whether two sides understand each other.
func (h hello) check() error {
	if h.Newest < protocolOldest || h.Oldest > protocolNewest {
		return fmt.Errorf("%w: it speaks %d to %d, this side %d to %d", ErrVersion,
			h.Oldest, h.Newest, protocolOldest, protocolNewest)
	}
	return nil
}

// startBody is a StartRequest. Strings of the system are bytes: they need not
// be UTF-8.
type startBody struct {
	ID         string        `json:"id"`
	Path       []byte        `json:"path"`
	Argv       [][]byte      `json:"argv"`
	Env        [][]byte      `json:"env"`
	Dir        []byte        `json:"dir"`
	Account    accountBody   `json:"account"`
	Terminal   bool          `json:"terminal"`
	Cols       uint16        `json:"cols"`
	Rows       uint16        `json:"rows"`
	Umask      uint32        `json:"umask"`
	Window     uint64        `json:"window"`
	Scrollback uint64        `json:"scrollback"`
	Resume     time.Duration `json:"resume"` // nanoseconds
	Discard    bool          `json:"discard"`
	Keep       bool          `json:"keep"`
	Meta       []byte        `json:"meta"`
	Flight     uint64        `json:"flight,omitempty"`
	ReportEcho bool          `json:"reportEcho,omitempty"`
}

// accountBody is a pty.Account.
type accountBody struct {
	Name   string   `json:"name"`
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups"`
	Home   []byte   `json:"home"`
	Shell  []byte   `json:"shell"`
}

type adoptBody struct {
	ID string `json:"id"`
}

type listQuery struct {
	After string `json:"after"` // IDs above this one
}

type listAnswer struct {
	Sessions []Info `json:"sessions"` // by ID
	More     bool   `json:"more"`
}

// body makes the message of a request.
func (r *StartRequest) body() *startBody {
	return &startBody{
		ID: r.ID, Path: []byte(r.Spec.Path), Argv: toBytes(r.Spec.Argv), Env: toBytes(r.Spec.Env), Dir: []byte(r.Spec.Dir),
		Account: accountBody{
			Name: r.Spec.Account.Name, UID: r.Spec.Account.UID, GID: r.Spec.Account.GID,
			Groups: r.Spec.Account.Groups, Home: []byte(r.Spec.Account.Home), Shell: []byte(r.Spec.Account.Shell),
		},
		Terminal: r.Spec.Terminal, Cols: r.Spec.Cols, Rows: r.Spec.Rows, Umask: r.Spec.Umask,
		Window: r.Window, Scrollback: r.Scrollback, Resume: r.Resume,
		Discard: r.Discard, Keep: r.Keep, Meta: r.Meta, Flight: r.Flight, ReportEcho: r.ReportEcho,
	}
}

// request is the checked request of a message.
func (b *startBody) request() (StartRequest, error) {
	r := StartRequest{
		ID: b.ID, Window: b.Window, Scrollback: b.Scrollback, Resume: b.Resume,
		Discard: b.Discard, Keep: b.Keep, Meta: b.Meta, Flight: b.Flight, ReportEcho: b.ReportEcho,
		Spec: pty.Spec{
			Path: string(b.Path), Argv: toStrings(b.Argv), Env: toStrings(b.Env), Dir: string(b.Dir),
			Account: pty.Account{
				Name: b.Account.Name, UID: b.Account.UID, GID: b.Account.GID,
				Groups: b.Account.Groups, Home: string(b.Account.Home), Shell: string(b.Account.Shell),
			},
			Terminal: b.Terminal, Cols: b.Cols, Rows: b.Rows, Umask: b.Umask,
		},
	}
	return r, r.check()
}

// check fills in defaults and refuses what is beyond a limit.
func (r *StartRequest) check() error {
	if r.Window == 0 {
		r.Window = wire.DefaultWindow
	}
	switch {
	case !validID(r.ID):
		return fmt.Errorf("%w: session ID of %d bytes", ErrInvalid, len(r.ID))
	case len(r.Spec.Argv) == 0:
		return fmt.Errorf("%w: no program", ErrInvalid)
	case max(r.Window, r.Scrollback, r.Flight) > wire.MaxWindow:
		return fmt.Errorf("%w: window %d, scrollback %d, flight %d, limit %d", ErrInvalid, r.Window, r.Scrollback, r.Flight, wire.MaxWindow)
	case len(r.Meta) > MaxMeta:
		return fmt.Errorf("%w: meta of %d bytes, limit %d", ErrInvalid, len(r.Meta), MaxMeta)
	case r.Resume < 0:
		return fmt.Errorf("%w: resume %s", ErrInvalid, r.Resume)
	}
	return nil
}

// validID reports whether id may name a session: it becomes a folder's name.
func validID(id string) bool {
	if id == "" || len(id) > MaxID {
		return false
	}
	for _, c := range []byte(id) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func toBytes(s []string) [][]byte {
	b := make([][]byte, len(s))
	for i := range s {
		b[i] = []byte(s[i])
	}
	return b
}

func toStrings(b [][]byte) []string {
	s := make([]string, len(b))
	for i := range b {
		s[i] = string(b[i])
	}
	return s
}

// failure is a refused request.
type failure struct {
	Code  string `json:"code"`
	Text  string `json:"text"`
	Errno int    `json:"errno,omitempty"` // of the system call that failed
	Step  string `json:"step,omitempty"`  // of a pty.StartError
	Item  string `json:"item,omitempty"`
}

// failureCodes are the errors that survive the socket.
func failureCodes() map[string]error {
	return map[string]error{
		"not_found": ErrNotFound, "exists": ErrExists, "invalid": ErrInvalid, "stopping": ErrStopping,
		"running": ErrRunning, "version": ErrVersion, "busy": ErrBusy, "unsettled": ErrUnsettled, "program": ErrProgram,
	}
}

// fail makes the message of an error.
func fail(err error) []byte {
	f := failure{Text: err.Error()}
	for code, is := range failureCodes() {
		if errors.Is(err, is) {
			f.Code = code
		}
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		f.Errno = int(no)
	}
	var start *pty.StartError
	if errors.As(err, &start) {
		f.Step, f.Item = start.Step, start.Item
	}
	b, _ := json.Marshal(f) // strings and a number cannot fail
	return b
}

// remoteError is an error of the other side.
type remoteError struct {
	text   string
	causes []error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.causes }

// failed is the error of a failure's message.
func failed(body []byte) error {
	var f failure
	if err := json.Unmarshal(body, &f); err != nil {
		return fmt.Errorf("%w: failure: %w", errFrame, err)
	}
	e := &remoteError{text: f.Text}
	if is, ok := failureCodes()[f.Code]; ok {
		e.causes = append(e.causes, is)
	}
	var cause error
	if f.Errno > 0 {
		cause = syscall.Errno(f.Errno)
		e.causes = append(e.causes, cause)
	}
	if f.Step != "" {
		if cause == nil {
			cause = errors.New(f.Text)
		}
		e.causes = append(e.causes, &pty.StartError{Step: f.Step, Item: f.Item, Err: cause})
	}
	return e
}
