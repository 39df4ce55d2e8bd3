package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"etcha/go/audit"
)

// Limits.
const (
	batchEntries = 256              // entries sent at once
	batchBytes   = 1 << 20          // of their lines
	objectPeriod = 10 * time.Second // an object is sent after so long with fewer entries
	pollPeriod   = 30 * time.Second // without a Poke
	sendTimeout  = 30 * time.Second // of one attempt
	// uploadTimeout is of one attempt for a recording, which may be large.
	uploadTimeout = 30 * time.Minute
	minBackoff    = time.Second
	maxBackoff    = time.Minute
)

const journalSocket = "/run/systemd/journal/socket"

// Options say what goes where.
type Options struct {
	AuditDir, RecordingsDir string // absolute
	CursorDir               string // where each destination's place is kept; made when missing, 0700
	Node                    string // node ID
	Journald                bool
	Syslog                  string // URL; empty: not. tls:// may end in ?ca=FILE, authorities in PEM
	S3                      S3
	Log                     *slog.Logger
	// Failed is told of each failed attempt, for metrics; may be nil. It is called
	// by several goroutines.
	Failed func(destination string)

	journal string        // socket; empty: journald's
	period  time.Duration // 0: objectPeriod
	backoff time.Duration // the first; 0: minBackoff
	timeout time.Duration // of one attempt; 0: by destination
}

// S3 is a bucket. Without an Endpoint nothing is sent to it.
type S3 struct{ Endpoint, Region, Bucket, Prefix, AccessKey, SecretKey, CAFile string }

// Names of the destinations.
const (
	toJournald   = "journald"
	toSyslog     = "syslog"
	toStore      = "s3"
	toRecordings = "s3-recordings"
)

// item is an entry on its way.
type item struct {
	line  []byte
	entry audit.Entry
}

// sink is where entries go.
type sink interface {
	// send sends the items in their order. n is how many of them have arrived.
	send(ctx context.Context, items []item) (n int, err error)
	// close frees what the sink holds.
	close()
}

// Shipper sends what the audit log has, in its order, again and again until it
// arrives. It reads the log itself, so nothing is lost with the process.
type Shipper struct {
	o       Options
	runners []*runner

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when a cursor moves
	wanted  uint64        // the highest number that somebody waits for
}

// New checks the options; it does not use the network.
func New(o Options) (*Shipper, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.journal == "" {
		o.journal = journalSocket
	}
	if o.backoff == 0 {
		o.backoff = minBackoff
	}
	if o.period == 0 {
		o.period = objectPeriod
	}
	for _, dir := range []string{o.AuditDir, o.CursorDir} {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("ship: %q is not an absolute path", dir)
		}
	}
	s := &Shipper{o: o, changed: make(chan struct{})}
	if err := s.addAll(); err != nil {
		return nil, err
	}
	return s, nil
}

// addAll makes the configured destinations.
func (s *Shipper) addAll() error {
	if s.o.Journald {
		s.add(toJournald, s.o.journal, newJournal(s.o.journal, s.o.Node))
	}
	if s.o.Syslog != "" {
		sys, err := newSyslog(s.o)
		if err != nil {
			return fmt.Errorf("run.ship.syslog: %w", err)
		}
		s.add(toSyslog, s.o.Syslog, sys)
	}
	if s.o.S3 == (S3{}) {
		return nil
	}
	b, err := newBucket(s.o)
	if err != nil {
		return fmt.Errorf("run.ship.s3: %w", err)
	}
	address := s.o.S3.Endpoint + "\n" + s.o.S3.Bucket + "\n" + s.o.S3.Prefix
	s.add(toStore, address, &entrySink{b}).linger = s.o.period
	if s.o.RecordingsDir != "" {
		r := s.add(toRecordings, address, &recordingSink{b, s.o.RecordingsDir, s.o.Log})
		r.background, r.timeout, r.wants = true, uploadTimeout, isRecorded
	}
	return nil
}

func (s *Shipper) add(name, address string, to sink) *runner {
	r := &runner{
		s: s, name: name, sink: to, timeout: sendTimeout, poke: make(chan struct{}, 1),
		cursor: cursorFile(s.o.CursorDir, name, address),
		log:    s.o.Log.With("target", name),
	}
	if s.o.timeout > 0 {
		r.timeout = s.o.timeout
	}
	s.runners = append(s.runners, r)
	return r
}

// Run sends until the context ends, and returns nil then. It is called once.
func (s *Shipper) Run(ctx context.Context) error {
	var all sync.WaitGroup
	errs := make([]error, len(s.runners))
	for i, r := range s.runners {
		all.Go(func() {
			defer r.sink.close()
			errs[i] = r.run(ctx)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Poke says that the log has grown. It never blocks.
func (s *Shipper) Poke() {
	for _, r := range s.runners {
		select {
		case r.poke <- struct{}{}:
		default:
		}
	}
}

// Wait returns when the entry with this number has arrived everywhere; the
// recordings are not waited for. Its error is the context's.
func (s *Shipper) Wait(ctx context.Context, seq uint64) error {
	for first := true; ; first = false {
		s.mu.Lock()
		s.wanted = max(s.wanted, seq)
		changed := s.changed
		s.mu.Unlock()
		if s.arrived(seq) {
			return nil
		}
		if first {
			s.Poke()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Shipper) arrived(seq uint64) bool {
	for _, r := range s.runners {
		if !r.background && r.at.Load() < seq {
			return false
		}
	}
	return true
}

// awaited reports whether somebody waits for an entry behind this one.
func (s *Shipper) awaited(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted > seq
}

// moved wakes those who wait.
func (s *Shipper) moved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Backlog is how many entries have not arrived, by destination.
func (s *Shipper) Backlog() map[string]uint64 {
	log := audit.NewReader(s.o.AuditDir, 0)
	head, err := log.Head()
	all := make(map[string]uint64, len(s.runners))
	for _, r := range s.runners {
		all[r.name] = 0
		if at := r.at.Load(); err == nil && head.Seq > at {
			all[r.name] = head.Seq - at
		}
	}
	return all
}

// jitter is d or up to a quarter less.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/4+1) }
