package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"etcha/go/audit"
	"etcha/go/keeper"
	"etcha/go/session"
	"etcha/go/token"
	"etcha/go/wire"
)

// Names of what other packages keep in the state folder.
const (
	journalName   = "journal"
	approvalsName = "approvals"
)

// maxApprovals is how many counter-signatures are remembered at once.
const maxApprovals = 4096

// readSettings checks the whole configuration before anything is made.
func (n *node) readSettings(context.Context) (err error) {
	if n.o.Config == nil {
		return errors.New("no configuration")
	}
	if n.settings, err = newSettings(n.o.Config); err != nil {
		return err
	}
	_, err = readTLS(n.o.Config.HTTPServer)
	return err
}

func (n *node) openState(context.Context) (err error) {
	n.state, err = openState(n.o.Config.Run.StateDir)
	return err
}

// openIdentity reads or makes the key, the certificate and the replay journal.
func (n *node) openIdentity(context.Context) (err error) {
	if n.identity, err = token.LoadIdentity(n.state.path); err != nil {
		return err
	}
	if err := n.refreshTLS(n.o.Config.HTTPServer, ownNames(n.o.Config.HTTPServer.ListenAddress), n.o.Now()); err != nil {
		return err
	}
	n.journal, err = token.OpenJournal(token.JournalOptions{Path: n.state.file(journalName), Now: n.o.Now, Fresh: n.identity.Fresh()})
	if err != nil {
		return err
	}
	if why := n.journal.Lost(); why != nil {
		n.log.Warn("replay journal was lost; no request is accepted for a while", "err", why, "duration", n.journal.Wait())
	}
	return n.openApprovals()
}

// openApprovals opens the journal of counter-signatures, which live longer than
// requests.
func (n *node) openApprovals() (err error) {
	n.approvals, err = token.OpenJournal(token.JournalOptions{
		Path: n.state.file(approvalsName), Now: n.o.Now, MaxEntries: maxApprovals, MaxLife: wire.ApprovalLife, Fresh: n.identity.Fresh(),
	})
	if err != nil {
		return err
	}
	if why := n.approvals.Lost(); why != nil {
		n.log.Warn("journal of counter-signatures was lost; none counts for a while", "err", why, "duration", n.approvals.Wait())
	}
	return nil
}

// openListener binds, so that a busy port shows before a keeper is started.
// Connections wait in the kernel until the sessions are found again.
func (n *node) openListener(ctx context.Context) error {
	ln, err := bind(ctx, n.o.Config.HTTPServer.ListenAddress)
	if err != nil {
		return err
	}
	n.listener = ln
	addr := ln.Addr().String()
	scheme := "https"
	if n.o.Config.HTTPServer.DisableTLS {
		scheme = "http"
	}
	n.info = NodeInfo{Addr: addr, ID: n.identity.ID(), URL: scheme + "://" + reachable(addr)}
	return nil
}

// reachable is an address by which this machine reaches a listener.
func reachable(addr string) string {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().IsUnspecified() {
		return addr
	}
	// A listener on [::] takes IPv4 as well, unless the kernel was told otherwise.
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port()).String()
}

func (n *node) openControl(context.Context) (err error) {
	n.control, err = listenControl(n.state, n.log, n.status, n.stop.ask)
	return err
}

func (n *node) openHandler(context.Context) error {
	h := newHandler(parts{
		log: n.log, metrics: n.metrics, identity: n.identity, journal: n.journal, tls: &n.tls, approvals: n.approvals, witness: n.witness, version: n.o.Version,
	}, n.settings)
	if n.o.writeTime > 0 {
		h.writeTime = n.o.writeTime
	}
	n.handler = h
	n.metrics.Sources(n.settings.sources)
	n.http = newHTTP(h, n.o.Config.HTTPServer, &n.tls, n.log)
	n.listener = &listener{
		Listener: n.listener, unverified: newCrowd(maxUnverified, maxUnverifiedEach),
		trusted: func(a netip.Addr) bool { return h.settings.Load().proxies.contain(a) },
	}
	return nil
}

// openShells finds or starts the keeper, and finds the sessions that it holds.
func (n *node) openShells(ctx context.Context) error {
	k, err := keeper.Connect(ctx, keeper.ConnectOptions{
		StateDir: n.state.path, Argv: n.o.KeeperArgv, Version: n.o.Version, Log: n.log,
	})
	if err != nil {
		return fmt.Errorf("connect to the keeper: %w", err)
	}
	run := n.settings.config.Run
	r := session.New(session.Options{
		Keeper: k, NodeID: n.identity.ID(), Prove: n.identity.Prove, Metrics: n.metrics, Log: n.log,
		MaxSessions: run.MaxSessions, MaxPerKey: run.MaxSessionsPerKey, Now: n.o.Now,
		Recordings: n.recordOptions(), Observe: n.witness.happened, Event: n.o.Event,
	})
	if err := r.Restore(ctx, n.settings.policy); err != nil {
		return errors.Join(fmt.Errorf("find the sessions again: %w", err), k.Close())
	}
	n.handler.shells.Store(&shells{keeper: k, sessions: r})
	n.metrics.KeeperUp(true)
	// After the sessions were found: what they record is theirs.
	live := func(id string) bool { _, ok := r.FindByID(id); return ok }
	n.endLost(live)
	n.finishLost(live)
	n.prune()
	return nil
}

// serve begins to answer and says so.
func (n *node) serve(context.Context) {
	go func() { n.served <- serve(n.http, n.listener) }()
	n.control.serve()
	for _, w := range n.settings.warnings {
		n.log.Warn("configuration may not do what it should", "err", w)
	}
	n.log.Info("node listens", "target", n.info.URL, "subject", n.info.ID, "version", n.o.Version, "sessions", n.sessions())
	n.systemd.ready()
	if n.o.Ready != nil {
		n.o.Ready(n.info)
	}
}

// release closes what was opened, the latest first.
func (n *node) release(ctx context.Context) {
	if n.handler != nil {
		if s := n.handler.shells.Swap(nil); s != nil {
			n.note("leave the keeper", s.keeper.Close())
		}
	}
	if n.witness != nil {
		n.witness.add(testimony{entry: audit.Entry{Event: audit.Stopped}})
		n.note("close the audit log", n.witness.stop())
	}
	if n.control != nil {
		n.control.close(ctx)
	}
	if n.listener != nil {
		n.listener.Close()
	}
	for what, j := range map[string]*token.Journal{"replay journal": n.journal, "journal of counter-signatures": n.approvals} {
		if j != nil {
			n.note("close the "+what, j.Close())
		}
	}
	if n.state != nil {
		n.state.close()
	}
}

// note logs what went wrong on the way out, where nothing can be done about it.
func (n *node) note(what string, err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		n.log.Warn("node could not leave in order", "command", what, "err", err)
	}
}

func (n *node) sessions() int {
	if s := n.handler.shells.Load(); s != nil {
		return s.sessions.Count()
	}
	return 0
}

func (n *node) status() Status {
	return Status{
		ID: n.info.ID, Addr: n.info.Addr, URL: n.info.URL, Version: n.o.Version, PID: os.Getpid(),
		Sessions: n.sessions(), Started: n.started, Draining: n.handler.draining.Load(),
	}
}
