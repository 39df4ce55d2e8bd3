package server

import (
	"context"
	"fmt"
	"reflect"

	"etcha/go/audit"
	"etcha/go/config"
)

// reload reads the configuration again. asked: somebody sent SIGHUP and wants
// to hear of it; otherwise only what is new is worth a line.
func (n *node) reload(ctx context.Context, asked bool) {
	if asked {
		n.systemd.reloading()
		defer n.systemd.ready()
	}
	changed, err := n.readAgain(ctx, asked)
	switch {
	case err != nil && (asked || err.Error() != n.complaint):
		n.complaint = err.Error()
		n.log.Error("configuration is not usable; the running one stays", "err", err)
	case err != nil:
	default:
		n.complaint = ""
		if asked || changed {
			n.log.Info("configuration reloaded")
		}
	}
}

// readAgain reads and checks everything before anything is changed.
func (n *node) readAgain(ctx context.Context, force bool) (changed bool, err error) {
	c := n.settings.config
	if n.o.Reload != nil {
		if c, err = n.o.Reload(ctx); err != nil {
			return false, err
		}
	}
	if !force && reflect.DeepEqual(c, n.settings.config) {
		return false, n.refreshTLS(n.running(c), ownNames(n.info.Addr), n.o.Now())
	}
	s, err := newSettings(c)
	if err != nil {
		return false, err
	}
	if err := n.refreshTLS(n.running(c), ownNames(n.info.Addr), n.o.Now()); err != nil {
		return false, err
	}
	n.apply(s)
	return true, nil
}

// running is the listener's configuration with what cannot change while it listens.
func (n *node) running(c *config.Config) config.HTTPServer {
	h, now := c.HTTPServer, n.o.Config.HTTPServer
	h.DisableTLS, h.ListenAddress = now.DisableTLS, now.ListenAddress
	return h
}

// apply makes settings current. Sessions that they no longer permit end.
func (n *node) apply(s *settings) {
	n.warnRestart(s.config)
	n.setLevel(s.config.CLI.LogLevel)
	for _, w := range s.warnings {
		n.log.Warn("configuration may not do what it should", "err", w)
	}
	n.settings = s
	n.metrics.Sources(s.sources)
	n.handler.limiter.set(s.allow)
	n.handler.settings.Store(s)
	if sh := n.handler.shells.Load(); sh != nil {
		sh.sessions.Recheck(s.policy)
	}
	n.witness.add(testimony{entry: audit.Entry{Event: audit.Reloaded}})
	n.witness.feeds.again()
}

func (n *node) setLevel(level string) {
	if n.o.SetLogLevel == nil || level == n.settings.config.CLI.LogLevel {
		return
	}
	if err := n.o.SetLogLevel(level); err != nil {
		n.log.Warn("log level stays", "err", err)
	}
}

// warnRestart names what changed and is only read at start.
func (n *node) warnRestart(c *config.Config) {
	was := n.o.Config
	for key, same := range map[string]bool{
		"httpServer.listenAddress": c.HTTPServer.ListenAddress == was.HTTPServer.ListenAddress,
		"httpServer.disableTLS":    c.HTTPServer.DisableTLS == was.HTTPServer.DisableTLS,
		"run.maxSessions":          c.Run.MaxSessions == was.Run.MaxSessions,
		"run.maxSessionsPerKey":    c.Run.MaxSessionsPerKey == was.Run.MaxSessionsPerKey,
		"run.stateDir":             c.Run.StateDir == was.Run.StateDir,
		"cli.logFormat":            c.CLI.LogFormat == was.CLI.LogFormat,
	} {
		if !same {
			n.log.Warn("configuration may not do what it should", "err", fmt.Sprintf("%s has changed, which needs a restart", key))
		}
	}
}

// renew makes the node's own certificate anew when its names or dates demand
// it, and reads a configured one again.
func (n *node) renew(ctx context.Context) {
	want := ownNames(n.info.Addr)
	want.addFQDN(ctx)
	if err := n.refreshTLS(n.running(n.settings.config), want, n.o.Now()); err != nil {
		n.log.Error("certificate cannot be renewed; the running one stays", "err", err)
	}
}
