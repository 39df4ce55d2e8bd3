package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"time"

	"etcha/go/errs"
	"etcha/go/keeper"
	"etcha/go/wire"
)

// lockPoll is how often a lock is looked at while its owner goes away.
const lockPoll = 10 * time.Millisecond

// ErrNotRunning means that no daemon answers for a state folder.
var ErrNotRunning = errors.New("no node is running")

// StopNode ends the daemon of stateDir, all its sessions with a notice to their
// users, and the keeper. It returns when both processes have let go of the folder.
// Where only the keeper is left, it and the sessions are ended.
// Errors: [ErrNotRunning], the context's, or what went wrong as the node stopped.
func StopNode(ctx context.Context, stateDir string) error {
	var a stopAnswer
	err := callControl(ctx, stateDir, http.MethodPost, pathStop, &a)
	if errors.Is(err, ErrNotRunning) {
		err = stopKeeper(ctx, stateDir, err)
	}
	if err == nil {
		err = awaitUnlock(ctx, stateDir, lockName)
	}
	if err == nil && a.Error != "" {
		err = fmt.Errorf("it has stopped, but: %s", a.Error)
	}
	if err == nil {
		err = awaitUnlock(ctx, stateDir, keeperLock)
	}
	if err != nil {
		return fmt.Errorf("stop the node: %w", err)
	}
	return nil
}

// stopKeeper ends a keeper that its daemon has left; without one the error is none.
func stopKeeper(ctx context.Context, stateDir string, none error) error {
	k, err := keeper.Connect(ctx, keeper.ConnectOptions{StateDir: stateDir})
	if errors.Is(err, keeper.ErrNone) {
		return none
	}
	if err != nil {
		return err
	}
	return errors.Join(k.Shutdown(ctx), k.Close())
}

// NodeStatus asks the daemon of stateDir for its status. Errors: [ErrNotRunning],
// or the context's.
func NodeStatus(ctx context.Context, stateDir string) (Status, error) {
	var s Status
	if err := callControl(ctx, stateDir, http.MethodGet, pathStatus, &s); err != nil {
		return Status{}, fmt.Errorf("ask the node: %w", err)
	}
	return s, nil
}

func callControl(ctx context.Context, stateDir, method, path string, answer any) error {
	socket := filepath.Join(stateDir, controlName)
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialControl(ctx, socket) }}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return explainDial(err, stateDir)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", socket, resp.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, wire.MaxNodeAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("%s: %w", socket, err)
	}
	return nil
}

func dialControl(ctx context.Context, socket string) (net.Conn, error) {
	short, done, err := shortPath(socket)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", short)
}

func explainDial(err error, stateDir string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &errs.Error{
			Text: ErrNotRunning.Error() + " with the state folder " + stateDir,
			Hint: "give the node's configuration with -c, or its folder with -x run_stateDir=PATH",
			Err:  notRunning{},
		}
	case errors.Is(err, fs.ErrPermission):
		return &errs.Error{Text: "the node of " + stateDir + " answers only the user that runs it and root", Err: err}
	default:
		return err
	}
}

// notRunning is ErrNotRunning without its text, which the public text has already.
type notRunning struct{}

func (notRunning) Error() string   { return "nothing answers on its control socket" }
func (notRunning) Is(e error) bool { return e == ErrNotRunning }

// awaitUnlock waits until nobody holds a lock of the folder.
func awaitUnlock(ctx context.Context, stateDir, name string) error {
	t := time.NewTicker(lockPoll)
	defer t.Stop()
	for {
		held, err := locked(stateDir, name)
		if err != nil || !held {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
