package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"etcha/go/config"
	"etcha/go/metrics"
	"etcha/go/token"
	"etcha/go/wire"
)

// Options is what a node is made of.
type Options struct {
	// Config is the effective configuration, checked by go/config.
	Config *config.Config
	// Reload reads the configuration again, on SIGHUP and every
	// cli.configReload; nil: it never changes. Its error keeps the running one.
	Reload func(context.Context) (*config.Config, error)
	// SetLogLevel makes a reloaded cli.logLevel true; nil: it needs a restart.
	SetLogLevel func(level string) error
	Log         *slog.Logger
	Version     string
	// KeeperArgv starts a keeper where there is none.
	KeeperArgv []string
	// Event fires an event; the sessions fire "shell" when one has started. nil: not.
	Event func(name string, info wire.SessionInfo)
	// Ready is called once, when the node listens; may be nil.
	Ready func(NodeInfo)
	// Now is the clock of tokens, certificates and sessions; nil: time.Now.
	Now func() time.Time

	writeTime time.Duration // for one write of a stream; 0: wire.StreamWrite
}

// NodeInfo is where a node that listens is found.
type NodeInfo struct {
	Addr string // host:port that it listens on
	ID   string // node ID
	URL  string // https or http, with an address by which this machine reaches it
}

// Run is the node, until ctx ends or it is told to stop through its control
// socket. When ctx ends, the sessions stay with the keeper and Run returns
// within [wire.ShutdownGrace]. An error means that the node could not start, in
// which case nothing of it is left, that it could not go on, or that it could
// not end in order.
func Run(ctx context.Context, o Options) error {
	// Without a receiver the signal would end a node that is about to listen.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	n, err := start(ctx, o)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil // told to end before it had begun
	}
	if err != nil {
		return err
	}
	return n.loop(ctx, hangup)
}

// node is a node that runs. Except for what its handler shares, it belongs to
// the goroutine of Run.
type node struct {
	o        Options
	log      *slog.Logger
	systemd  systemd
	started  time.Time
	metrics  *metrics.Metrics
	settings *settings
	state    *stateDir
	identity *token.Identity
	journal  *token.Journal
	// approvals is the counter-signatures that were used.
	approvals *token.Journal
	tls       tlsSource
	handler   *handler
	listener  net.Listener
	http      *http.Server
	served    chan error // what serving ended with
	control   *control
	witness   *witness
	info      NodeInfo

	stop       stopRequest
	complaint  string // the last one about a configuration, not to repeat it
	reconnects int    // tries in vain to find a keeper again
}

// start does one step after the other; when one fails, what the earlier ones
// opened is closed again. Nothing is served before the last.
func start(ctx context.Context, o Options) (*node, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	n := &node{
		o: o, log: o.Log, systemd: systemd{log: o.Log}, started: o.Now(),
		metrics: metrics.New(o.Version), served: make(chan error, 1), stop: newStopRequest(),
	}
	steps := []func(context.Context) error{
		n.readSettings, n.openState, n.openIdentity, n.openListener, n.openWitness, n.openControl, n.openHandler, n.openShells,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			n.release(ctx)
			return nil, err
		}
	}
	n.serve(ctx)
	return n, nil
}
