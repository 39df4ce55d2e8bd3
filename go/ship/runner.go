package ship

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"etcha/go/audit"
)

// runner brings the log to one destination. Its fields belong to its goroutine,
// but for at and poke.
type runner struct {
	s          *Shipper
	name       string
	sink       sink
	cursor     string                 // file
	linger     time.Duration          // how long it gathers entries for one batch
	timeout    time.Duration          // of one attempt
	background bool                   // Wait does not wait for it
	wants      func(audit.Entry) bool // nil: every entry
	log        *slog.Logger
	poke       chan struct{}
	at         atomic.Uint64 // the last entry that arrived

	reader *audit.Reader
	items  []item // read and not yet arrived
	bytes  int
	last   place // of the last entry read, also of one that is not wanted
	since  time.Time
	failed string // the error that was logged last
}

// run sends until the context ends.
func (r *runner) run(ctx context.Context) error {
	r.start()
	defer func() { _ = r.reader.Close() }()
	for ctx.Err() == nil {
		more := r.fill()
		switch {
		case len(r.items) == 0:
			r.skip()
			if !more {
				r.wait(ctx, pollPeriod)
			}
		case !more && !r.due():
			r.wait(ctx, r.linger-time.Since(r.since))
		default:
			r.deliver(ctx)
		}
	}
	return nil
}

// start finds the entry to go on with.
func (r *runner) start() {
	at, err := readCursor(r.cursor)
	if err != nil {
		r.log.Warn("the place in the audit log is not known: everything is sent again", "err", err)
	}
	r.begin(at)
	if at.seq == 0 {
		return
	}
	line, e, err := r.reader.Next()
	switch {
	case err == nil && e.Seq == at.seq && hashOf(line) == at.hash:
	case err == nil && e.Seq == at.seq+1: // the one that was sent last is pruned
		r.keep(line, e)
	case err == nil && e.Seq > at.seq:
		r.log.Warn("entries were pruned before they were sent", "from", at.seq+1, "to", e.Seq-1)
		r.keep(line, e)
	case errors.Is(err, audit.ErrDamaged):
		r.log.Warn("a damaged entry is not sent", "err", err)
	case err == nil || errors.Is(err, io.EOF):
		r.log.Warn("this is not the audit log that was sent: everything is sent again")
		_ = r.reader.Close()
		r.begin(place{})
	default:
		r.complain(err)
	}
}

func (r *runner) begin(at place) {
	r.reader = audit.NewReader(r.s.o.AuditDir, at.seq)
	r.last = at
	r.at.Store(at.seq)
}

// fill reads entries up to a whole batch; more: the batch is full.
func (r *runner) fill() (more bool) {
	for len(r.items) < batchEntries && r.bytes < batchBytes {
		line, e, err := r.reader.Next()
		switch {
		case errors.Is(err, io.EOF):
			return false
		case errors.Is(err, audit.ErrDamaged):
			r.log.Warn("a damaged entry is not sent", "err", err)
			continue
		case err != nil:
			r.complain(err)
			return false
		case e.Seq <= r.last.seq:
			continue
		case r.last.seq > 0 && e.Seq > r.last.seq+1 && e.Event != audit.Broken:
			r.log.Warn("entries are missing from the log and were not sent", "from", r.last.seq+1, "to", e.Seq-1)
		}
		r.keep(line, e)
	}
	return true
}

// keep adds an entry to the batch.
func (r *runner) keep(line []byte, e audit.Entry) {
	r.last = place{e.Seq, hashOf(line)}
	if r.wants != nil && !r.wants(e) {
		return
	}
	if len(r.items) == 0 {
		r.since = time.Now()
	}
	r.items = append(r.items, item{bytes.Clone(line), e})
	r.bytes += len(line)
}

// due reports whether a batch that is not full is to be sent.
func (r *runner) due() bool {
	return r.s.awaited(r.at.Load()) || time.Since(r.since) >= r.linger
}

// wait returns at the latest after d.
func (r *runner) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(max(d, time.Millisecond))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-r.poke:
	}
}

// deliver tries to send the batch, and waits after a failure.
func (r *runner) deliver(ctx context.Context) {
	for backoff := r.s.o.backoff; ctx.Err() == nil && len(r.items) > 0; {
		attempt, cancel := context.WithTimeout(ctx, r.timeout)
		n, err := r.sink.send(attempt, r.items)
		cancel()
		r.arrive(n)
		if err == nil {
			backoff = r.s.o.backoff
			continue
		}
		if ctx.Err() != nil {
			return
		}
		r.complain(err)
		if r.s.o.Failed != nil {
			r.s.o.Failed(r.name)
		}
		if n > 0 {
			backoff = r.s.o.backoff
		}
		r.pause(ctx, jitter(backoff))
		backoff = min(2*backoff, maxBackoff)
	}
}

// pause waits, whatever is poked.
func (r *runner) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// arrive notes that the first n items have arrived.
func (r *runner) arrive(n int) {
	if n == 0 {
		return
	}
	for _, it := range r.items[:n] {
		r.bytes -= len(it.line)
	}
	at := place{r.items[n-1].entry.Seq, hashOf(r.items[n-1].line)}
	r.items = r.items[n:]
	if len(r.items) == 0 {
		r.items = nil
		at = r.last // also over what was not wanted
		r.recovered()
	}
	r.move(at)
}

// skip moves the cursor over entries that are not wanted.
func (r *runner) skip() {
	if r.last.seq > r.at.Load() {
		r.move(r.last)
	}
}

// move keeps the cursor. One that cannot be kept is no reason to stop: entries
// are sent twice then.
func (r *runner) move(at place) {
	if err := writeCursor(r.cursor, at); err != nil {
		r.log.Warn("the place in the audit log cannot be kept", "err", err)
	}
	r.at.Store(at.seq)
	r.s.moved()
}

// complain logs an error unless it is the one that was logged before.
func (r *runner) complain(err error) {
	if text := err.Error(); text != r.failed {
		r.failed = text
		r.log.Error("audit entries cannot be sent", "err", err)
	}
}

// recovered logs that sending works again.
func (r *runner) recovered() {
	if r.failed != "" {
		r.failed = ""
		r.log.Info("audit entries are sent again")
	}
}
