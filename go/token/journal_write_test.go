package token

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

// Use returns after the record is in the file, not before.
func TestJournalIsOnDisk(t *testing.T) {
	b := newBed(t)
	for n := range 20 {
		b.use(id(n), b.in(5*time.Second), nil)
		_, entries, err := decodeJournal(b.file())
		if err != nil || len(entries) != n+1 {
			t.Fatalf("after %d uses: %d records, %v", n+1, len(entries), err)
		}
	}
}

// /dev/null takes writes and refuses fdatasync: a use that is not synced is not
// acknowledged there, but written anew elsewhere.
func TestJournalSyncs(t *testing.T) {
	b := newBed(t)
	b.use(id(1), b.in(5*time.Second), nil)
	for n, device := range []string{"/dev/null", "/dev/full"} {
		dev, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			t.Skipf("NOT TESTED: %v", err)
		}
		if device == "/dev/null" && syncData(dev) == nil {
			t.Skip("NOT TESTED: /dev/null can be synced here")
		}
		_ = b.j.closeLog()
		b.j.log = dev
		b.use(id(10+n), b.in(5*time.Second), nil)
		if b.j.log == dev {
			t.Errorf("%s: still written to", device)
		}
		_, entries, err := decodeJournal(b.file())
		if err != nil || len(entries) != n+2 {
			t.Errorf("%s: %d records, %v", device, len(entries), err)
		}
	}
	b.restart()
	b.use(id(10), b.in(5*time.Second), ErrReplayed)
	b.use(id(11), b.in(5*time.Second), ErrReplayed)
}

// When the disk cannot be written at all the use is refused; when it can again
// the journal goes on by itself, and the refused ID stays used.
func TestJournalDiskFails(t *testing.T) {
	b := newBed(t)
	dir := filepath.Dir(b.opts.Path)
	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	_ = b.j.closeLog()
	err := b.j.Use(id(1), b.in(5*time.Second))
	if !errors.Is(err, ErrUnready) || errs.CodeOf(err) != wire.CodeUnready {
		t.Errorf("disk away: %v", err)
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	b.use(id(1), b.in(5*time.Second), ErrReplayed)
	b.use(id(2), b.in(5*time.Second), nil)
	b.restart()
	b.use(id(1), b.in(5*time.Second), ErrReplayed)
	b.use(id(2), b.in(5*time.Second), ErrReplayed)
}

// The file is written anew when its slots are used up, and does not grow.
func TestJournalCompaction(t *testing.T) {
	b := newBed(t)
	size := len(b.file())
	for n := range minSlots + 10 {
		if n%1000 == 0 {
			b.clock.move(10 * time.Second)
		}
		if err := b.j.Use(id(n), b.in(5*time.Second)); err != nil {
			t.Fatal(n, err)
		}
	}
	if len(b.file()) != size {
		t.Errorf("from %d bytes to %d", size, len(b.file()))
	}
	floor, entries, err := decodeJournal(b.file())
	if err != nil || floor < epoch || len(entries) > 1010 {
		t.Errorf("floor %d, %d records, %v", floor, len(entries), err)
	}
	b.restart()
	for n := minSlots; n < minSlots+10; n++ {
		b.use(id(n), b.in(5*time.Second), ErrReplayed)
	}
	wantFiles(t, filepath.Dir(b.opts.Path), "replay", "replay.lock")
}

// More live entries than the smallest file holds.
func TestJournalGrows(t *testing.T) {
	b := newBed(t)
	for n := range minSlots {
		b.j.remember(entry{id: entryID{byte(n), byte(n >> 8), 1}, exp: epoch + 5})
	}
	b.use(id(1), b.in(5*time.Second), nil)
	if err := b.j.rewrite(); err != nil {
		t.Fatal(err)
	}
	if want := (2*(minSlots+1) + 1) * slotSize; len(b.file()) != want {
		t.Errorf("%d bytes, want %d", len(b.file()), want)
	}
	b.restart()
	if len(b.j.live) != minSlots+1 {
		t.Errorf("%d live", len(b.j.live))
	}
	b.use(id(1), b.in(5*time.Second), ErrReplayed)
}

// Waiting uses share one write.
func TestJournalGroupCommit(t *testing.T) {
	b := newBed(t)
	var batches []*batch
	for n := range 10 {
		one, err := b.j.enter(entry{id: entryID{byte(n + 1)}, exp: epoch + 5})
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, one)
	}
	if err := b.j.commit(batches[3]); err != nil {
		t.Fatal(err)
	}
	if b.j.count != 10 {
		t.Errorf("the first writes %d records", b.j.count)
	}
	_ = b.j.log.Close() // a second write would fail
	for _, one := range batches {
		if err := b.j.commit(one); err != nil {
			t.Errorf("wrote again: %v", err)
		}
	}
	_, err := b.j.enter(entry{id: entryID{99}, exp: epoch + 5})
	if err != nil || b.j.next == batches[0] {
		t.Errorf("joined a batch that was written: %v", err)
	}
}

func TestJournalConcurrent(t *testing.T) {
	b := newBed(t)
	const workers, each = 16, 40
	var won [each]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for n := range each {
				err := b.j.Use(id(n), b.in(5*time.Second))
				if err != nil && !errors.Is(err, ErrReplayed) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					won[n]++
					mu.Unlock()
				}
				_ = b.j.Now()
			}
		})
	}
	wg.Wait()
	for n, count := range won {
		if count != 1 {
			t.Errorf("ID %d was accepted %d times", n, count)
		}
	}
	_, entries, err := decodeJournal(b.file())
	if err != nil || len(entries) != each {
		t.Errorf("%d records, %v", len(entries), err)
	}
}
