package session

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/pty"
	"etcha/go/wire"
)

// idBytes is the random bytes of a session's ID; more than 128 bits.
const idBytes = 18

// Open starts the session that g grants. tok is the whole request token with the
// claims c, which may name the session's own key. When the session has started
// and the context has not ended, the caller goes on with [Session.Stream];
// nobody else knows the session's name yet.
//
// Refusals are of the codes limited, draining, denied (the account may not log
// in), bad_request (the client's program cannot be started, the key is none),
// internal with a public text (a configured program, user or folder cannot be
// used) and unready (no keeper).
func (r *Registry) Open(ctx context.Context, g authz.Grant, c wire.Claims, tok []byte) (*Session, error) {
	if !g.Starts() {
		return nil, errs.New(wire.CodeInternal, "internal error").Because(errNoGrant)
	}
	where, err := r.reserve(g)
	if err != nil {
		return nil, err
	}
	s, err := r.start(ctx, g, c, tok)
	if err != nil {
		r.release(where)
		return nil, fmt.Errorf("open session of source %q: %w", g.Source(), err)
	}
	s.place = where
	s.meter = r.o.Metrics.Open(s.metric(false))
	s.log.Info("session opened", "user", s.user, "process", g.Record().Process, "terminal", g.Terminal().On)
	s.happen(Happening{Kind: Opened, By: g.Identity(), Grant: g})
	if !r.add(s) {
		r.giveUp(ctx, s)
		return nil, errDraining()
	}
	if r.o.Event != nil {
		r.o.Event(EventShell, s.Info())
	}
	// The policy may have changed since it granted.
	if err := r.permits(g.Record()); err != nil {
		s.endByPolicy(err)
	}
	return s, nil
}

// errNoGrant is a defect of the caller.
var errNoGrant = errors.New("the grant starts nothing")

// giveUp ends a session that nobody will know.
func (r *Registry) giveUp(ctx context.Context, s *Session) {
	r.release(s.place)
	if err := s.held.End(ctx, wire.ReasonStopped); err != nil {
		s.log.Warn("session is left to the keeper", "err", err)
	}
	s.meter.End(wire.ReasonStopped, 0)
	if err := s.recording.discard(); err != nil {
		s.log.Warn("recording was not finished", "err", err)
	}
	s.happen(Happening{Kind: Ended, Exit: &wire.Exit{Code: exitKeeper, Reason: wire.ReasonStopped}})
	s.held.Release()
}

// start starts the program, without making the session known.
func (r *Registry) start(ctx context.Context, g authz.Grant, c wire.Claims, tok []byte) (*Session, error) {
	t := g.Terminal()
	rec := memo{Grant: g.Record(), Confirm: c.Confirm, Title: title(c), Term: t.Term, Cols: t.Cols, Rows: t.Rows}
	if _, err := rec.keys(); err != nil {
		return nil, err
	}
	account, err := login(g.Exec())
	if err != nil {
		return nil, err
	}
	rec.User = account.Name
	id := newID()
	proof, err := r.prove(id, tok, 0)
	if err != nil {
		return nil, err
	}
	recording, err := r.newRecording(id, g, rec)
	if err != nil {
		return nil, err
	}
	if recording.on() {
		rec.Recording = &recording.note
	}
	held, err := r.execute(ctx, id, g, account, rec)
	if err != nil {
		return nil, errors.Join(err, recording.discard())
	}
	s, err := newSession(r, held, rec, settings(g))
	if err != nil {
		return nil, err // not reached: the keys were looked at
	}
	s.breakGlass, s.opening = g.BreakGlass(), proof
	s.records(recording)
	return s, nil
}

// execute has the keeper start the program.
func (r *Registry) execute(ctx context.Context, id string, g authz.Grant, a pty.Account, rec memo) (*keeper.Session, error) {
	req, err := r.request(id, g, a, rec)
	if err != nil {
		return nil, err
	}
	held, err := r.o.Keeper.Start(ctx, req)
	if err != nil {
		return nil, startError(g, err)
	}
	return held, nil
}

// maxTitle bounds the opener's own label, bytes.
const maxTitle = 256

// title is the opener's own label, as far as it can be shown.
func title(c wire.Claims) string {
	if c.Shell == nil {
		return ""
	}
	return clean(c.Shell.Title[:min(len(c.Shell.Title), maxTitle)])
}

// newID never begins with a dash: people write it on command lines.
func newID() string {
	var b [idBytes]byte
	for {
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		if id := base64.RawURLEncoding.EncodeToString(b[:]); id[0] != '-' {
			return id
		}
	}
}

// request is what the keeper is asked to start.
func (r *Registry) request(id string, g authz.Grant, a pty.Account, rec memo) (keeper.StartRequest, error) {
	meta, err := rec.encode()
	if err != nil {
		return keeper.StartRequest{}, err
	}
	exec, shell, t := g.Exec(), g.Shell(), g.Terminal()
	spec := pty.Spec{
		Argv: exec.Argv, Env: system{}.environ(g, a, r.o.Environ), Dir: exec.WorkDir, Account: a,
		Terminal: t.On, Cols: t.Cols, Rows: t.Rows, Umask: shell.Umask,
	}
	if len(spec.Argv) == 0 {
		spec.Path, spec.Argv = a.Shell, []string{"-" + path.Base(a.Shell)}
	}
	return keeper.StartRequest{
		ID: id, Spec: spec, Window: shell.Window, Scrollback: shell.Scrollback,
		// Until a stream measures the path.
		Flight: wire.InitialFlight, ReportEcho: rec.Recording != nil && rec.Recording.Mode == recordFull,
		Resume: shell.ResumeFor, Discard: shell.Discard, Keep: shell.Keep, Meta: meta,
	}, nil
}

// login finds the account that a program runs as and refuses one that may not
// log in, or that this process cannot become.
func login(e authz.Exec) (pty.Account, error) {
	a, err := pty.LookupAccount(e.User, e.Group)
	if err != nil {
		return pty.Account{}, public(wire.CodeInternal, err)
	}
	if err := a.CheckLogin(); err != nil {
		return pty.Account{}, public(wire.CodeDenied, err)
	}
	return a, mayBecome(a, os.Geteuid(), os.Getegid())
}

// mayBecome refuses what only root can do.
func mayBecome(a pty.Account, euid, egid int) error {
	if euid == 0 || int64(a.UID) == int64(euid) && int64(a.GID) == int64(egid) {
		return nil
	}
	return errs.New(wire.CodeInternal, "user %q: only a node that runs as root can start programs as another user or group", a.Name).
		WithHint("run the node as root, or leave exec.user and exec.group out")
}

// public makes an error's text public.
func public(code wire.Code, err error) error {
	return errs.New(code, "%s", err)
}

// Exit statuses of a program that cannot be started, as shells have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// startError says why a program did not start. Its name is the client's own or
// the configuration's, and no argument is in it.
func startError(g authz.Grant, err error) error {
	var se *pty.StartError
	if !errors.As(err, &se) {
		return keeperError(err)
	}
	switch {
	case g.Record().Command && se.Item == g.Exec().Argv[0]:
		refused := errs.New(wire.CodeBadRequest, "%s", se)
		refused.Exit = exitNotExecutable
		if errors.Is(se, fs.ErrNotExist) {
			refused.Exit = exitNotFound
		}
		return refused
	case errors.Is(se, syscall.EPERM):
		return errs.New(wire.CodeInternal, "%s", se).WithHint("the node needs to run as root for this")
	default:
		return public(wire.CodeInternal, se)
	}
}

// keeperError is what a client is told when the keeper does not do its part.
func keeperError(err error) error {
	switch {
	case errors.Is(err, keeper.ErrLost), errors.Is(err, keeper.ErrNone):
		return errs.New(wire.CodeUnready, "the process that holds the sessions is not available").Because(err)
	case errors.Is(err, keeper.ErrReleased), errors.Is(err, keeper.ErrReplaced), errors.Is(err, keeper.ErrStopping):
		return errs.New(wire.CodeDraining, "the node is about to stop").Because(err)
	default:
		return err
	}
}
