package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"etcha/go/audit"
	"etcha/go/authz"
	"etcha/go/metrics"
	"etcha/go/session"
	"etcha/go/ship"
	"etcha/go/token"
	"etcha/go/wire"
)

// witness writes down what happens: into the audit log, to the live lists, for
// metrics. It has one goroutine, so that everything is in the order in which it
// happened and nobody who acts waits for a disk, unless he asks to.
type witness struct {
	log     *slog.Logger
	metrics *metrics.Metrics
	audit   *audit.Log
	ship    *ship.Shipper // nil: nothing is sent away
	feeds   *feeds
	records func(session string) (authz.Record, bool)
	refusal *refusals

	stopShip context.CancelFunc // nil: nothing is sent away
	shipped  sync.WaitGroup

	mu       sync.Mutex
	queue    []testimony
	more     chan struct{} // cap 1
	closing  bool
	done     chan struct{}
	openings map[string]*opening     // by session, until its opener's request has asked
	running  *running                // nil: not noted
	known    map[string]authz.Record // of sessions that have not ended
	broken   bool                    // the last entry could not be written; said once
}

// testimony is one thing to write down.
type testimony struct {
	entry    audit.Entry
	happened *session.Happening  // for the live lists; nil: not about a session
	written  func(uint64, error) // called with the entry's number; may be nil
	do       func()              // done behind everything before it; may be nil
}

func (w *witness) start() {
	w.more, w.done, w.known = make(chan struct{}, 1), make(chan struct{}), map[string]authz.Record{}
	w.openings = map[string]*opening{}
	w.refusal = newRefusals(func(e audit.Entry) { w.add(testimony{entry: e}) })
	go w.run()
}

// shipping runs what sends the log away until stop.
func (w *witness) shipping(run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	w.stopShip = cancel
	w.shipped.Go(func() { run(ctx) })
}

// stop writes what is left and closes the log.
func (w *witness) stop() error {
	w.refusal.flush()
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	poke(w.more)
	<-w.done
	if w.stopShip != nil {
		w.stopShip()
		w.shipped.Wait()
	}
	return w.audit.Close()
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *witness) add(t testimony) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, t)
	poke(w.more)
}

func (w *witness) run() {
	defer close(w.done)
	for range w.more {
		for {
			w.mu.Lock()
			all, closing := w.queue, w.closing
			w.queue = nil
			w.mu.Unlock()
			if len(all) == 0 {
				if closing {
					return
				}
				break
			}
			for part := range slices.Chunk(all, together) {
				w.write(part)
			}
		}
	}
}

// together is how many things are written down at once: those who act must not
// be faster than the log.
const together = 64

// write takes several things down.
func (w *witness) write(all []testimony) {
	entries := make([]audit.Entry, 0, len(all))
	for _, t := range all {
		if t.do != nil {
			t.do()
		}
		if t.happened != nil {
			w.tell(*t.happened)
			w.keep(*t.happened)
		}
		if t.entry.Event != "" {
			entries = append(entries, t.entry)
		}
	}
	if len(entries) == 0 {
		return
	}
	written, errs := w.audit.AppendAll(entries)
	for _, err := range errs {
		w.appended(err)
	}
	if w.ship != nil && slices.Contains(errs, nil) {
		w.ship.Poke()
	}
	i := 0
	for _, t := range all {
		if t.entry.Event == "" {
			continue
		}
		if t.written != nil {
			t.written(written[i].Seq, errs[i])
		}
		i++
	}
}

// appended counts an attempt to write an entry. That it fails is said once until
// it works again.
func (w *witness) appended(err error) {
	w.metrics.AuditWritten(err)
	switch {
	case err != nil && !w.broken:
		w.log.Error("audit log cannot be written", "err", err)
	case err == nil && w.broken:
		w.log.Info("audit log can be written again")
	}
	w.broken = err != nil
}

// keep notes which sessions have not ended.
func (w *witness) keep(h session.Happening) {
	if w.running == nil {
		return
	}
	if err := w.running.happened(h); err != nil {
		w.log.Debug("running sessions are not noted", "err", err)
	}
}

// tell passes what happened to a session on to the live lists.
func (w *witness) tell(h session.Happening) {
	id := h.Info.Session
	if _, ok := w.known[id]; !ok && h.Info.State != wire.SessionEnded {
		if rec, ok := w.records(id); ok {
			w.known[id] = rec
		}
	}
	if rec, ok := w.known[id]; ok {
		w.feeds.happened(h, rec)
	}
	if h.Kind == session.Ended {
		delete(w.known, id)
		w.take(id) // of one that was given up before anybody asked
	}
}

// happened is the sessions' observer.
func (w *witness) happened(h session.Happening) {
	w.count(h)
	t := testimony{happened: &h, entry: entryOf(h)}
	if h.Kind == session.Opened {
		// The opener's own request waits for it.
		o := &opening{done: make(chan struct{})}
		t.written = func(seq uint64, err error) { o.seq, o.err = seq, err; close(o.done) }
		w.mu.Lock()
		w.openings[h.Info.Session] = o
		w.mu.Unlock()
	}
	w.add(t)
}

// opening is the entry of a session that was opened, on its way to the disk.
type opening struct {
	done chan struct{} // closed when it is there, or cannot be
	seq  uint64
	err  error
}

// take gives the opening of a session, once.
func (w *witness) take(id string) *opening {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.openings[id]
	delete(w.openings, id)
	return o
}

func (w *witness) count(h session.Happening) {
	switch h.Kind {
	case session.Watched:
		w.metrics.Viewed(h.Info.Source, wire.RoleViewer)
	case session.Joined:
		w.metrics.Viewed(h.Info.Source, wire.RoleJoined)
	case session.Unrecorded:
		w.metrics.RecordingFailed(h.Info.Source)
	}
}

// opened waits until the entry of a session that was opened is on disk, and, where
// that is required, has arrived elsewhere.
func (w *witness) opened(ctx context.Context, id string, required bool) error {
	o := w.take(id)
	if o == nil {
		return errNoOpening
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if o.err != nil || !required || w.ship == nil {
		return o.err
	}
	ctx, cancel := context.WithTimeout(ctx, wire.RequestRead)
	defer cancel()
	if err := w.ship.Wait(ctx, o.seq); err != nil {
		return fmt.Errorf("audit entry has not arrived where it is sent: %w", err)
	}
	return nil
}

// errNoOpening is a defect: a session that nobody was told of.
var errNoOpening = errors.New("the session has no entry")

// note writes an entry behind everything before it, and waits until it is on disk.
func (w *witness) note(e audit.Entry) (seq uint64, err error) {
	written := make(chan struct{})
	w.add(testimony{entry: e, written: func(n uint64, e error) { seq, err = n, e; close(written) }})
	<-written
	return seq, err
}

// openDetail says what was opened: no argument and no environment.
func openDetail(info wire.SessionInfo, g authz.Grant) map[string]any {
	d := map[string]any{"terminal": info.Terminal}
	rec := g.Record()
	for name, on := range map[string]bool{"command": rec.Command, "detach": g.Detach(), "breakGlass": g.BreakGlass()} {
		if on {
			d[name] = true
		}
	}
	if by := g.Approvers(); len(by) > 0 {
		names := make([]string, len(by))
		for i, k := range by {
			names[i] = keyText(k)
		}
		d["approvedBy"] = names
	}
	for name, text := range map[string]string{"process": info.Process, "title": info.Title, "recording": info.Recording} {
		if text != "" {
			d[name] = text
		}
	}
	return d
}

// about is an entry of what somebody did with a session.
func about(info wire.SessionInfo, by authz.Identity) audit.Entry {
	e := audit.Entry{Session: info.Session, Source: info.Source, User: info.User, Subject: by.Subject}
	if !by.Key.IsZero() {
		e.Key = keyText(by.Key)
	}
	if by.Addr.IsValid() {
		e.Addr = by.Addr.String()
	}
	return e
}

// keyText names a key so that it can be found again.
func keyText(k token.PublicKey) string {
	if k.ID() == "" {
		return k.Thumbprint()
	}
	return k.ID() + " " + k.Thumbprint()
}

// entryOf is the audit entry of something that happened to a session; its event
// is empty when there is none.
func entryOf(h session.Happening) audit.Entry {
	e := about(h.Info, h.By)
	switch h.Kind {
	case session.Opened:
		e.Event, e.Detail = audit.Opened, openDetail(h.Info, h.Grant)
	case session.Attached:
		e.Event = audit.Attached
	case session.Watched:
		e.Event = audit.Watched
	case session.Joined:
		e.Event = audit.Joined
	case session.Left:
		e.Event = audit.Left
	case session.Killed:
		e.Event = audit.Killed
	case session.Recorded:
		e.Event = audit.Recorded
		if r := h.Recording; r != nil {
			e.Detail = audit.RecordedDetail(r.File, r.Size, r.SHA256)
		}
	case session.Unrecorded:
		e.Event = audit.Unrecorded
		if h.Err != nil {
			e.Reason = h.Err.Error()
		}
	case session.Ended:
		e.Event = audit.Ended
		if x := h.Exit; x != nil {
			e.Reason = string(x.Reason)
			e.Detail = map[string]any{"code": x.Code, "input": h.Info.Input, "output": h.Info.Output}
			if x.Signal != "" {
				e.Detail["signal"] = x.Signal
			}
		}
	}
	return e
}

// measure brings the metrics up to date that are only looked at when asked for.
func (w *witness) measure() {
	if w.ship == nil {
		return
	}
	for destination, entries := range w.ship.Backlog() {
		w.metrics.ShipBehind(destination, entries)
	}
}

// refused writes down a refusal of somebody who holds a key, or counts it.
func (w *witness) refused(q *request, code wire.Code) {
	switch code {
	case wire.CodeDenied, wire.CodeApproval, wire.CodeReplayed, wire.CodeLimited, wire.CodeBadRequest, wire.CodeNotFound:
	default:
		return // not a decision about who may do what
	}
	if !w.refusal.take(q.by.Key.Thumbprint(), keyText(q.by.Key)) {
		return
	}
	e := about(wire.SessionInfo{Session: q.session, Source: q.source}, q.by)
	e.Event, e.Reason = audit.Refused, string(code)
	if q.cause != nil {
		e.Detail = map[string]any{"why": q.cause.Error()}
	}
	w.add(testimony{entry: e})
}
