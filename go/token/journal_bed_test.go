package token

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const epoch = 1_700_000_000

// fakeClock goes only as told.
type fakeClock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *fakeClock { return &fakeClock{t: time.Unix(epoch, 0)} }

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *fakeClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bed is a journal's file and clock, through restarts.
type bed struct {
	t     testing.TB
	clock *fakeClock
	opts  JournalOptions
	j     *Journal
}

func newBed(t testing.TB) *bed {
	clock := newClock()
	b := &bed{t: t, clock: clock, opts: JournalOptions{
		Path: filepath.Join(t.TempDir(), "replay"), Now: clock.now, Fresh: true,
	}}
	b.open()
	b.opts.Fresh = false
	t.Cleanup(func() { _ = b.j.Close() })
	return b
}

func (b *bed) open() {
	b.t.Helper()
	j, err := OpenJournal(b.opts)
	if err != nil {
		b.t.Fatal(err)
	}
	b.j = j
}

func (b *bed) restart() {
	b.t.Helper()
	if err := b.j.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

// in is the exp of a token that lives d longer.
func (b *bed) in(d time.Duration) time.Time { return b.clock.now().Add(d) }

func (b *bed) use(jti string, exp time.Time, want error) {
	b.t.Helper()
	if err := b.j.Use(jti, exp); !errors.Is(err, want) {
		b.t.Errorf("use: %v, want %v", err, want)
	}
}

func (b *bed) file() []byte {
	b.t.Helper()
	data, err := os.ReadFile(b.opts.Path)
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

func (b *bed) write(data []byte) {
	b.t.Helper()
	if err := os.WriteFile(b.opts.Path, data, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func id(n int) string { return fmt.Sprintf("jti-%022d", n) }
