package token

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

// DefaultEntries is how many used IDs a journal holds when not told otherwise.
// Each stays for as long as its token could be accepted, at most 7 s.
const DefaultEntries = 1 << 16

// Refusals of [Journal.Use], to be compared with errors.Is. Each is an errs.Error.
var (
	ErrReplayed = errs.New(wire.CodeReplayed, "the token was used before")
	ErrUnready  = errs.New(wire.CodeUnready, "the replay journal is not available")
	ErrFull     = errs.New(wire.CodeLimited, "too many tokens are in use").WithHint("try again in a few seconds")
)

var (
	errLate   = errs.New(wire.CodeExpired, "the token has expired")
	errClosed = errors.New("closed")
)

// Journal remembers which token IDs were used, so that none is used twice.
//
//   - [Journal.Use] returns without error at most once for an ID, whatever
//     happens to the process or the clock, and only after the use is on disk.
//   - An entry is forgotten only when its token has expired, and that raises the
//     floor to its exp. The floor goes to disk with the next use; until then
//     the entry is there. A token with exp at or below it is refused, and
//     [Journal.Now] is above it, so neither a restart nor a clock set back
//     revives a token.
//   - When the journal is full it refuses, it does not forget.
//   - When its file is missing or damaged it is set aside (".lost" is appended)
//     and nothing is accepted for wire.LostJournalWait of elapsed time, or for
//     as long as JournalOptions.MaxLife makes it. A restart in that time begins
//     it again. Only at a node's first start is a missing file no loss.
//   - A lock file (".lock" is appended) keeps a second process out.
//
// Concurrent users share a write: one of them writes for all that wait.
type Journal struct {
	path  string
	max   int
	ahead int64 // how far ahead of the clock the exp of an acceptable token can be, seconds
	clock func() time.Time
	lock  *os.File
	lost  error

	mu     sync.Mutex
	closed bool
	wait   time.Duration // left of the wait after a loss
	last   time.Time     // the clock as last read
	low    time.Time     // what Now is at least; above the floor
	floor  int64         // Unix seconds
	live   map[entryID]int64
	byExp  map[int64][]entryID // the same, by exp
	next   *batch              // not taken by a writer yet

	disk  sync.Mutex // taken before mu; held while writing
	log   *os.File   // nil: rewrite before the next write
	room  int        // records that log still has space for
	count int        // records in log
}

// entryID stands for a jti: the first half of its SHA-256.
type entryID [16]byte

type entry struct {
	id  entryID
	exp int64 // Unix seconds
}

// batch is what one write takes to the disk.
type batch struct {
	entries []entry
	done    bool // guarded by Journal.disk, as is err
	err     error
}

// JournalOptions says where a journal is and by what clock it goes.
type JournalOptions struct {
	Path       string
	Now        func() time.Time // nil: time.Now
	MaxEntries int              // 0: DefaultEntries; at most 1 Mi
	MaxLife    time.Duration    // longest exp-iat of its tokens, whole seconds; 0: wire.MaxTokenLife
	Fresh      bool             // the node's first start: a missing file was not lost
}

// OpenJournal opens the journal, which no other process may have open, and
// makes it when there is none. A journal that was lost is no error: see
// [Journal.Lost]. The folder must exist and be writable.
func OpenJournal(o JournalOptions) (*Journal, error) {
	j, err := openJournal(o)
	if err != nil {
		return nil, fmt.Errorf("open replay journal %s: %w", o.Path, withoutPath(err))
	}
	return j, nil
}

func openJournal(o JournalOptions) (*Journal, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = DefaultEntries
	}
	o.MaxEntries = min(o.MaxEntries, maxSlots/2)
	if o.MaxLife <= 0 {
		o.MaxLife = wire.MaxTokenLife
	}
	lock, err := lockFile(o.Path + ".lock")
	if err != nil {
		return nil, err
	}
	j := &Journal{
		path: o.Path, max: o.MaxEntries, clock: o.Now, lock: lock,
		ahead: int64((o.MaxLife + wire.ClockLeeway) / time.Second), // iat is up to the leeway ahead
		last:  o.Now(), live: map[entryID]int64{}, byExp: map[int64][]entryID{},
	}
	if err := j.load(o.Fresh); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return j, nil
}

// load takes over what the file has and writes it anew, without what expired.
// After a loss nothing is written until the wait is over, so that a restart
// finds no file and waits too.
func (j *Journal) load(fresh bool) error {
	floor, entries, err := readJournal(j.path)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrNotExist) && fresh:
	case errors.Is(err, os.ErrNotExist), errors.Is(err, errDamaged):
		j.lost, j.wait = withoutPath(err), time.Duration(j.ahead)*time.Second+lostMargin
		return setAside(j.path)
	default:
		return err
	}
	j.raise(floor)
	for _, e := range entries {
		// When it was used its exp was at most this far ahead.
		j.raise(e.exp - j.ahead - 1)
		j.remember(e)
	}
	return j.rewrite()
}

// lostMargin is added to the wait after a loss: wire.LostJournalWait is with it.
const lostMargin = wire.LostJournalWait - wire.MaxTokenLife - wire.ClockLeeway

// Used reports whether an ID is marked as used. Only [Journal.Use] decides: it
// may be used the moment after.
func (j *Journal) Used(jti string) bool {
	sum := sha256.Sum256([]byte(jti))
	j.mu.Lock()
	defer j.mu.Unlock()
	_, used := j.live[entryID(sum[:])]
	return used
}

// Use marks a token ID as used until exp and returns when that is on disk. It
// checks the ID's length and exp itself, so that its promise does not depend on
// [CheckLife]. Refusals are errs.Errors: [ErrReplayed], [ErrUnready] (also when
// the disk cannot be written), [ErrFull], wire.CodeExpired for an exp that has
// passed or is at or below the floor, wire.CodeBadRequest for an ID of a wrong
// length or an exp too far ahead. After any error the caller must not act.
func (j *Journal) Use(jti string, exp time.Time) error {
	if len(jti) < wire.MinJTI || len(jti) > wire.MaxJTI {
		return errs.New(wire.CodeBadRequest, "a jti of %d to %d characters is required", wire.MinJTI, wire.MaxJTI)
	}
	sum := sha256.Sum256([]byte(jti))
	b, err := j.enter(entry{id: entryID(sum[:]), exp: exp.Unix()})
	if err != nil {
		return err
	}
	return j.commit(b)
}

// enter checks e, marks it in memory and joins it to the batch that is written next.
func (j *Journal) enter(e entry) (*batch, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.tick().Unix()
	if j.closed {
		return nil, unready(errClosed)
	}
	if j.wait > 0 {
		return nil, unready(fmt.Errorf("it was lost, nothing is accepted for another %s", j.wait))
	}
	j.forget(now)
	switch _, used := j.live[e.id]; {
	case e.exp < now:
		return nil, errLate
	case used:
		return nil, ErrReplayed
	case e.exp > now+j.ahead:
		return nil, errs.New(wire.CodeBadRequest, "exp is too far ahead")
	case len(j.live) >= j.max:
		return nil, ErrFull
	}
	j.remember(e)
	if j.next == nil {
		j.next = &batch{}
	}
	j.next.entries = append(j.next.entries, e)
	return j.next, nil
}

// commit returns when b is on disk. Whoever comes first writes for the others
// of the batch.
func (j *Journal) commit(b *batch) error {
	j.disk.Lock()
	defer j.disk.Unlock()
	if b.done {
		return b.err
	}
	j.mu.Lock()
	j.next = nil // it is b: batches are taken in order, under the disk lock
	closed, floor := j.closed, j.floor
	j.mu.Unlock()
	b.done = true
	if closed {
		b.err = unready(errClosed)
		return b.err
	}
	if err := j.write(b.entries, floor); err != nil {
		b.err = unready(err)
	}
	return b.err
}

// Now is the clock by which tokens count: the machine's, but always above the
// floor. While the machine's clock is behind the floor this one goes on at half
// its speed, so that the two meet again soon after a small correction and
// entries still expire after a large one.
func (j *Journal) Now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tick()
}

func (j *Journal) tick() time.Time {
	t := j.clock()
	passed := max(t.Sub(j.last), 0) // by the monotonic clock where there is one
	j.last = t
	j.wait = max(j.wait-passed, 0)
	if !t.Before(j.low) {
		return t
	}
	j.low = j.low.Add(passed / 2)
	if t.Before(j.low) {
		return j.low
	}
	return t
}

// Lost is why nothing is accepted at first: what was wrong with the file. It is
// nil when nothing was.
func (j *Journal) Lost() error { return j.lost }

// Wait is how long nothing will be accepted yet; 0 but after a loss.
func (j *Journal) Wait() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tick()
	return j.wait
}

// Close lets another process open the journal. Uses after it, and those that
// wait for the disk, are refused. It may be called again.
func (j *Journal) Close() error {
	j.disk.Lock()
	defer j.disk.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	err := j.closeLog()
	if lockErr := j.lock.Close(); err == nil {
		err = lockErr
	}
	if err != nil {
		return fmt.Errorf("close replay journal %s: %w", j.path, withoutPath(err))
	}
	return nil
}

func (j *Journal) remember(e entry) {
	if _, ok := j.live[e.id]; !ok {
		j.live[e.id] = e.exp
		j.byExp[e.exp] = append(j.byExp[e.exp], e.id)
	}
}

// forget drops what no clock check accepts any more and raises the floor to it.
func (j *Journal) forget(now int64) {
	for exp, ids := range j.byExp {
		if exp >= now {
			continue
		}
		for _, id := range ids {
			delete(j.live, id)
		}
		delete(j.byExp, exp)
		j.raise(exp)
	}
}

func (j *Journal) raise(floor int64) {
	if floor <= j.floor {
		return
	}
	j.floor = floor
	if above := time.Unix(floor+1, 0); j.low.Before(above) {
		j.low = above
	}
}

func unready(cause error) error { return fmt.Errorf("%w: %w", ErrUnready, cause) }
