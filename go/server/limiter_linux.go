package server

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"etcha/go/config"
)

// Limits of the limiter itself.
const (
	limiterAddresses = 16384 // remembered; the one not seen for longest is forgotten
	laneWaiting      = 512   // requests waiting in the slow lane
	laneWaitingEach  = 64    // of one address
	laneWidth        = 1     // verifications at once in the slow lane
)

// errLane means that too many requests wait already.
var errLane = errors.New("too many requests wait in the slow lane")

// allowance is how many requests of an address may fail.
type allowance struct {
	rate  rate.Limit // per second
	burst int        // 0: without limit
}

// allowanceOf reads a rate; its number is also how many may fail at once.
func allowanceOf(text string) (allowance, error) {
	if text == "" {
		return allowance{}, nil
	}
	r, err := config.ParseRate(text)
	if err != nil {
		return allowance{}, fmt.Errorf("httpServer.rateLimit %q: %w", text, err)
	}
	if r.Count == 0 {
		return allowance{}, nil
	}
	return allowance{rate: rate.Limit(float64(r.Count) / r.Per.Seconds()), burst: r.Count}, nil
}

// limiter slows addresses whose requests fail. Each has a bucket that only
// failed requests drain. While it is empty the address' requests are not
// refused but share a slow lane, so that the honest behind the same address
// still get in; only a full lane refuses.
type limiter struct {
	now  func() time.Time
	lane chan struct{} // a token is a verification under way

	mu      sync.Mutex
	allow   allowance
	addrs   map[netip.Prefix]*list.Element
	recent  *list.List // of *bucket, latest first
	waiting int
}

type bucket struct {
	key     netip.Prefix
	fails   *rate.Limiter
	waiting int
}

func newLimiter(a allowance, now func() time.Time) *limiter {
	return &limiter{
		now: now, lane: make(chan struct{}, laneWidth), allow: a,
		addrs: map[netip.Prefix]*list.Element{}, recent: list.New(),
	}
}

// set changes the allowance; what failed before is forgotten when it differs.
func (l *limiter) set(a allowance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.allow == a {
		return
	}
	l.allow = a
	l.addrs = map[netip.Prefix]*list.Element{}
	l.recent.Init()
}

// failed counts a refused request and reports whether it emptied the bucket.
func (l *limiter) failed(addr netip.Addr) (emptied bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.allow.burst == 0 {
		return false
	}
	b, now := l.bucket(group(addr)), l.now()
	return b.fails.AllowN(now, 1) && b.fails.TokensAt(now) < 1
}

// limited reports whether the bucket of an address is empty.
func (l *limiter) limited(addr netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.addrs[group(addr)]
	if at == nil {
		return false
	}
	b, ok := at.Value.(*bucket)
	return ok && b.fails.TokensAt(l.now()) < 1
}

// bucket finds or makes one; the caller holds the lock.
func (l *limiter) bucket(key netip.Prefix) *bucket {
	if at := l.addrs[key]; at != nil {
		if b, ok := at.Value.(*bucket); ok {
			l.recent.MoveToFront(at)
			return b
		}
	}
	if l.recent.Len() >= limiterAddresses {
		l.forget(l.recent.Back())
	}
	burst := max(l.allow.burst, 1)
	b := &bucket{key: key, fails: rate.NewLimiter(l.allow.rate, burst)}
	l.addrs[key] = l.recent.PushFront(b)
	return b
}

func (l *limiter) forget(at *list.Element) {
	if b, ok := l.recent.Remove(at).(*bucket); ok {
		delete(l.addrs, b.key)
	}
}

// slow waits for the slow lane; the caller must call done when it is through.
// Errors: errLane, or the context's.
func (l *limiter) slow(ctx context.Context, addr netip.Addr) (done func(), err error) {
	b, err := l.queue(addr)
	if err != nil {
		return nil, err
	}
	defer l.unqueue(b)
	select {
	case l.lane <- struct{}{}:
		return func() { <-l.lane }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *limiter) queue(addr netip.Addr) (*bucket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(group(addr))
	if l.waiting >= laneWaiting || b.waiting >= laneWaitingEach {
		return nil, errLane
	}
	l.waiting++
	b.waiting++
	return b, nil
}

func (l *limiter) unqueue(b *bucket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
	b.waiting--
}

// addresses is how many are remembered.
func (l *limiter) addresses() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent.Len()
}
