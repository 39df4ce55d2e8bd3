package server

import (
	"context"
	"path/filepath"
	"time"

	"etcha/go/audit"
	"etcha/go/authz"
	"etcha/go/config"
	"etcha/go/errs"
	"etcha/go/record"
	"etcha/go/ship"
	"etcha/go/wire"
)

// What a node keeps about its sessions: the audit log, the recordings, and what
// sends both away.

// Names in the state folder.
const (
	auditName      = "audit"
	recordingsName = "recordings"
	shipName       = "ship"
	runningName    = "running"
)

// pruneEvery is how often old recordings are looked for.
const pruneEvery = time.Hour

// openWitness opens the audit log and starts what sends it away. A log that
// cannot be opened keeps the node from starting: nobody should find out later
// that nothing was written.
func (n *node) openWitness(context.Context) error {
	w := &witness{log: n.log, metrics: n.metrics}
	w.feeds = newFeeds(func(id authz.Identity, rec authz.Record) bool {
		x := authz.Context{Node: n.identity.ID(), Now: n.journal.Now()}
		return n.handler.settings.Load().policy.Act(id, wire.OpList, rec, x) == nil
	})
	w.records = n.record
	run := n.o.Config.Run
	var err error
	if w.audit, err = audit.Open(audit.Options{
		Dir: n.state.file(auditName), MaxSize: int64(run.Audit.MaxSize), Now: n.o.Now, Log: n.log,
	}); err != nil {
		return err
	}
	if err := n.openShip(w, run); err != nil {
		w.audit.Close()
		return err
	}
	if w.running, err = openRunning(n.state.file(runningName)); err != nil {
		n.log.Warn("it is not known which sessions were running; an end may be missing in the audit log", "err", err)
	}
	w.start()
	n.witness = w
	w.add(testimony{entry: audit.Entry{Event: audit.Started, Detail: map[string]any{
		"node": n.identity.ID(), "version": n.o.Version, "address": n.listener.Addr().String(),
	}}})
	return nil
}

// record is the policy's record of a session that runs.
func (n *node) record(session string) (authz.Record, bool) {
	sh := n.handler.shells.Load()
	if sh == nil {
		return authz.Record{}, false
	}
	s, ok := sh.sessions.FindByID(session)
	if !ok {
		return authz.Record{}, false
	}
	return s.Record(), true
}

func (n *node) openShip(w *witness, run config.Run) error {
	s := run.Ship
	if !s.Journald && s.Syslog == "" && s.S3.Endpoint == "" {
		return nil
	}
	shipper, err := ship.New(ship.Options{
		AuditDir: n.state.file(auditName), RecordingsDir: n.recordings(), CursorDir: n.state.file(shipName),
		Node: n.identity.ID(), Journald: s.Journald, Syslog: s.Syslog,
		S3: ship.S3{
			Endpoint: s.S3.Endpoint, Region: s.S3.Region, Bucket: s.S3.Bucket, Prefix: s.S3.Prefix,
			AccessKey: s.S3.AccessKey.Reveal(), SecretKey: s.S3.SecretKey.Reveal(), CAFile: s.S3.CAFile,
		},
		Log: n.log, Failed: n.metrics.ShipFailed,
	})
	if err != nil {
		return err
	}
	names := make([]string, 0, 4)
	for name := range shipper.Backlog() {
		names = append(names, name)
	}
	n.metrics.Destinations(names)
	w.ship = shipper
	w.shipping(func(ctx context.Context) { n.note("send the audit log away", shipper.Run(ctx)) })
	return nil
}

// recordings is the folder of the recordings.
func (n *node) recordings() string {
	if dir := n.o.Config.Run.Recordings.Dir; dir != "" {
		return dir
	}
	return n.state.file(recordingsName)
}

func (n *node) recordOptions() *record.Options {
	r := n.o.Config.Run.Recordings
	return &record.Options{
		Dir: filepath.Clean(n.recordings()), Format: record.Format(r.Format), MaxBytes: int64(r.MaxSessionSize), Now: n.o.Now,
	}
}

// prune removes recordings that are too old or too many, and writes that down.
func (n *node) prune() {
	r := n.settings.config.Run.Recordings
	var unsaid []audit.Entry
	_, err := record.Prune(n.recordings(), r.MaxAge, int64(r.MaxSize), n.o.Now(), func(e record.Entry) {
		entry := audit.Entry{Event: audit.Pruned, Session: e.Session, Detail: audit.PrunedDetail(e.File)}
		if _, err := n.witness.note(entry); err != nil {
			// The disk may be full, which this is about to mend.
			unsaid = append(unsaid, entry)
		}
	})
	if err != nil {
		n.log.Warn("old recordings cannot be removed", "err", err)
	}
	for _, e := range unsaid {
		_, _ = n.witness.note(e) // the witness has said why it cannot
	}
}

// endLost writes down the end of sessions that nobody saw end.
func (n *node) endLost(live func(session string) bool) {
	w := n.witness
	w.add(testimony{do: func() { // behind the ends that were seen
		ends, err := w.running.lost(live)
		if err != nil {
			w.log.Warn("ends of lost sessions may be written down again", "err", err)
		}
		for _, e := range ends {
			w.add(testimony{entry: e})
		}
	}})
}

// finishLost ends the recordings of sessions that died with their keeper or with
// the machine.
func (n *node) finishLost(live func(session string) bool) {
	exit := wire.Exit{Code: errs.ExitTransport, Reason: wire.ReasonKeeper}
	all, err := record.FinishLost(*n.recordOptions(), live, exit)
	if err != nil {
		n.log.Warn("recordings of lost sessions cannot be finished", "err", err)
	}
	for _, s := range all {
		n.witness.add(testimony{entry: audit.Entry{
			Event: audit.Recorded, Session: s.Session, Reason: string(wire.ReasonKeeper), Detail: audit.RecordedDetail(s.File, s.Size, s.SHA256),
		}})
	}
}
