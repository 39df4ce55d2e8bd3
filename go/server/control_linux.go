package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"etcha/go/wire"
)

// Routes of the control socket.
const (
	pathStop   = "/stop"
	pathStatus = "/status"
)

// maxSocketPath is what fits into a Unix socket's address, bytes.
const maxSocketPath = 104

// Status is what a running daemon says of itself.
type Status struct {
	ID       string    `json:"id"`       // node ID
	Addr     string    `json:"addr"`     // host:port that it listens on
	URL      string    `json:"url"`      // how this machine reaches it
	Version  string    `json:"version"`  // of the daemon, not of the asking program
	PID      int       `json:"pid"`      // process ID
	Sessions int       `json:"sessions"` // open ones
	Started  time.Time `json:"started"`
	Draining bool      `json:"draining"` // it is about to stop
}

// stopAnswer is what the daemon says last when it was told to stop.
type stopAnswer struct {
	Error string `json:"error,omitempty"` // what went wrong while it stopped
}

// control is the daemon's own socket, for the user that runs it and for root.
type control struct {
	status func() Status
	stop   func(context.Context) error // returns when the sessions have ended
	path   string
	ln     net.Listener
	srv    *http.Server
	served chan struct{} // closed when Serve has returned; nil: not serving
}

// listenControl binds the socket; the caller holds the folder's lock, so what
// lies there already is a dead daemon's.
func listenControl(state *stateDir, log *slog.Logger, status func() Status, stop func(context.Context) error) (*control, error) {
	path := state.file(controlName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	ln, err := bindUnix(path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	c := &control{status: status, stop: stop, path: path, ln: &ownersOnly{Listener: ln, uid: uint32(os.Geteuid())}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathStatus, c.handleStatus)
	mux.HandleFunc("POST "+pathStop, c.handleStop)
	c.srv = &http.Server{
		Handler: mux, ReadHeaderTimeout: wire.RequestRead, MaxHeaderBytes: wire.MaxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return c, nil
}

// bindUnix listens on a private socket, however long its path is.
func bindUnix(path string) (net.Listener, error) {
	short, done, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// shortPath gives a name for a socket that fits into its address: the path, or
// one by way of its folder's descriptor, valid until done.
func shortPath(path string) (short string, done func(), err error) {
	if len(path) < maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}

// serve starts the goroutine that close ends.
func (c *control) serve() {
	c.served = make(chan struct{})
	go func() {
		defer close(c.served)
		// Always http.ErrServerClosed or the listener's error after close.
		_ = c.srv.Serve(c.ln)
	}()
}

// close answers what is under way, for as long as ctx lasts, and removes the socket.
func (c *control) close(ctx context.Context) {
	if c.served == nil {
		c.ln.Close()
	} else {
		if c.srv.Shutdown(ctx) != nil {
			c.srv.Close()
		}
		<-c.served
	}
	os.Remove(c.path)
}

func (c *control) handleStatus(w http.ResponseWriter, _ *http.Request) { reply(w, c.status()) }

func (c *control) handleStop(w http.ResponseWriter, r *http.Request) {
	var a stopAnswer
	if err := c.stop(r.Context()); err != nil {
		a.Error = err.Error()
	}
	reply(w, a)
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", wire.TypeJSON)
	// An error is the asking program's going away.
	_ = json.NewEncoder(w).Encode(body)
}

// ownersOnly hands out connections of one user and of root.
type ownersOnly struct {
	net.Listener
	uid uint32
}

func (l *ownersOnly) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(c)
		if err == nil && (uid == l.uid || uid == 0) {
			return c, nil
		}
		c.Close()
	}
}

// peerUID is the user that connected (SO_PEERCRED, unix(7)).
func peerUID(c net.Conn) (uint32, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}
