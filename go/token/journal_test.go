package token

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
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

func TestJournalUse(t *testing.T) {
	b := newBed(t)
	b.use(id(1), b.in(5*time.Second), nil)
	b.use(id(1), b.in(5*time.Second), ErrReplayed)
	b.use(id(1), b.in(3*time.Second), ErrReplayed) // whatever its exp says
	b.use(id(2), b.in(5*time.Second), nil)
	if b.j.Lost() != nil || b.j.Wait() != 0 {
		t.Errorf("fresh and lost: %v, %v", b.j.Lost(), b.j.Wait())
	}
	for want, code := range map[error]wire.Code{ErrReplayed: wire.CodeReplayed, ErrUnready: wire.CodeUnready, ErrFull: wire.CodeLimited} {
		if errs.CodeOf(want) != code {
			t.Errorf("%v has code %s", want, errs.CodeOf(want))
		}
	}
}

func TestJournalChecks(t *testing.T) {
	b := newBed(t)
	now := b.clock.now()
	for _, c := range []struct {
		jti  string
		exp  time.Time
		want wire.Code
	}{
		{"", now.Add(5 * time.Second), wire.CodeBadRequest},
		{strings.Repeat("x", wire.MinJTI-1), now.Add(5 * time.Second), wire.CodeBadRequest},
		{strings.Repeat("x", wire.MaxJTI+1), now.Add(5 * time.Second), wire.CodeBadRequest},
		{id(1), now.Add(-time.Second), wire.CodeExpired},
		{id(1), time.Time{}, wire.CodeExpired},
		{id(1), time.Unix(0, 0), wire.CodeExpired},
		{id(1), now.Add(7 * time.Second), wire.CodeBadRequest},
		{id(1), now.Add(24 * time.Hour), wire.CodeBadRequest},
	} {
		if err := b.j.Use(c.jti, c.exp); err == nil || errs.CodeOf(err) != c.want {
			t.Errorf("jti of %d, exp %v: %v", len(c.jti), c.exp, err)
		}
	}
	// Nothing of that was kept.
	b.use(id(1), now.Add(6*time.Second), nil)
	b.use(strings.Repeat("x", wire.MinJTI), now, nil)
	b.use(strings.Repeat("x", wire.MaxJTI), now, nil)
}

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

func TestJournalRestart(t *testing.T) {
	b := newBed(t)
	exp := b.in(5 * time.Second)
	b.use(id(1), exp, nil)
	b.restart()
	b.use(id(1), exp, ErrReplayed)
	b.clock.move(5 * time.Second)
	b.restart()
	b.use(id(1), exp, ErrReplayed)
	b.clock.move(time.Second)
	b.use(id(1), exp, errLate)
	b.restart()
	b.use(id(1), exp, errLate)
	if b.j.Lost() != nil {
		t.Errorf("lost: %v", b.j.Lost())
	}
}

// A process that was killed leaves no Close behind.
func TestJournalKilled(t *testing.T) {
	b := newBed(t)
	exp := b.in(5 * time.Second)
	b.use(id(1), exp, nil)
	data := b.file()
	b.use(id(2), exp, nil)
	_ = b.j.Close()
	b.write(data) // as it was in the moment after the first use
	b.open()
	b.use(id(1), exp, ErrReplayed)
	b.use(id(2), exp, nil)
}

// The clock is set back after a token was used and forgotten: it stays refused,
// with and without a restart, and new tokens go on.
func TestJournalClockSetBack(t *testing.T) {
	for _, restart := range []string{"never", "before", "after", "between"} {
		b := newBed(t)
		exp := b.in(5 * time.Second)
		b.use(id(1), exp, nil)
		b.clock.move(6 * time.Second)
		b.use(id(2), b.in(5*time.Second), nil) // this forgets the first
		if len(b.j.live) != 1 {
			t.Fatalf("%d live", len(b.j.live))
		}
		if restart == "before" || restart == "between" {
			b.restart()
		}
		b.clock.move(-6 * time.Second)
		if restart == "after" || restart == "between" {
			b.restart()
		}
		if now := b.j.Now(); now.Unix() <= exp.Unix() {
			t.Errorf("restart %s: now is %v, the floor %v", restart, now, exp)
		}
		b.use(id(1), exp, errLate)
		b.use(id(3), exp, errLate) // at the floor, used or not
		b.use(id(4), exp.Add(time.Second), nil)
		if err := CheckLife(wire.Claims{IssuedAt: epoch, NotBefore: epoch, Expires: exp.Unix()}, b.j.Now()); errs.CodeOf(err) != wire.CodeExpired {
			t.Errorf("restart %s: its life: %v", restart, err)
		}
	}
}

// The file still has an entry that memory forgot; a clock set back far with the
// restart does not make its token good again.
func TestJournalClockSetBackFar(t *testing.T) {
	b := newBed(t)
	exp := b.in(5 * time.Second)
	b.use(id(1), exp, nil)
	b.clock.move(-24 * time.Hour)
	b.use(id(1), exp, ErrReplayed) // the floor is not there yet, the entry is
	b.restart()
	if now := b.j.Now(); now.Unix() < exp.Unix()-maxAhead {
		t.Errorf("now is %v, a token until %v was accepted", now, exp)
	}
	b.use(id(1), exp, ErrReplayed)
	for range 40 {
		b.clock.move(time.Second)
		if err := b.j.Use(id(1), exp); err == nil {
			t.Fatal("it was accepted again")
		}
	}
	if len(b.j.live) != 0 {
		t.Error("it was never forgotten: the floor's clock stands still")
	}
	b.clock.move(24 * time.Hour)
	b.use(id(1), exp, errLate)
}

// Behind the floor the clock goes on at half speed until the two meet.
func TestJournalNow(t *testing.T) {
	b := newBed(t)
	b.use(id(1), b.in(5*time.Second), nil)
	b.clock.move(6 * time.Second)
	b.use(id(2), b.in(5*time.Second), nil)
	floor := time.Unix(epoch+6, 0) // above the exp that was forgotten
	if now := b.j.Now(); !now.Equal(floor) {
		t.Errorf("now %v", now)
	}
	b.clock.move(-10 * time.Second)
	for _, c := range []struct{ move, want time.Duration }{
		{0, 0},
		{4 * time.Second, 2 * time.Second},
		{-4 * time.Second, 2 * time.Second},
		{8 * time.Second, 6 * time.Second},
		{6 * time.Second, 9 * time.Second},
		{5 * time.Second, 9 * time.Second},
		{time.Second, 10 * time.Second}, // they have met
	} {
		b.clock.move(c.move)
		got := b.j.Now()
		if got.Before(b.clock.now()) || got.Before(floor) {
			t.Errorf("now %v is before the clock %v or the floor", got, b.clock.now())
		}
		if !got.Equal(floor.Add(c.want)) {
			t.Errorf("moved %v: %v, want %v", c.move, got.Sub(floor), c.want)
		}
	}
}

func TestJournalFull(t *testing.T) {
	b := newBed(t)
	_ = b.j.Close()
	b.opts.MaxEntries = 3
	b.open()
	for n := range 3 {
		b.use(id(n), b.in(time.Duration(n+1)*time.Second), nil)
	}
	b.use(id(3), b.in(5*time.Second), ErrFull)
	for n := range 3 {
		b.use(id(n), b.in(5*time.Second), ErrReplayed) // none was forgotten for it
	}
	b.restart()
	b.use(id(3), b.in(5*time.Second), ErrFull)
	b.clock.move(2 * time.Second)
	b.use(id(3), b.in(5*time.Second), nil) // one has expired
	b.use(id(4), b.in(5*time.Second), ErrFull)
	b.clock.move(10 * time.Second)
	for n := range 3 {
		b.use(id(10+n), b.in(5*time.Second), nil)
	}
	// More on disk than is allowed now: all of it is kept.
	_ = b.j.Close()
	b.opts.MaxEntries = 1
	b.open()
	for n := range 3 {
		b.use(id(10+n), b.in(5*time.Second), ErrReplayed)
	}
	b.use(id(20), b.in(5*time.Second), ErrFull)
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

func TestJournalLost(t *testing.T) {
	for name, lose := range map[string]func(b *bed){
		"missing":    func(b *bed) { _ = os.Remove(b.opts.Path) },
		"empty":      func(b *bed) { b.write(nil) },
		"zeros":      func(b *bed) { b.write(make([]byte, len(b.file()))) },
		"other":      func(b *bed) { b.write([]byte(strings.Repeat("hello ", 100))) },
		"header":     func(b *bed) { b.change(9) },
		"record":     func(b *bed) { b.change(slotSize + 3) },
		"cut":        func(b *bed) { b.write(b.file()[:len(b.file())-slotSize]) },
		"cut short":  func(b *bed) { b.write(b.file()[:slotSize]) },
		"longer":     func(b *bed) { b.write(append(b.file(), make([]byte, slotSize)...)) },
		"record out": func(b *bed) { b.write(slices.Delete(b.file(), slotSize, 2*slotSize)) },
		"a hole": func(b *bed) {
			data := b.file()
			clear(data[slotSize : 2*slotSize])
			b.write(data)
		},
		"records swapped": func(b *bed) {
			data := b.file()
			first := bytes.Clone(data[slotSize : 2*slotSize])
			copy(data[slotSize:], data[2*slotSize:3*slotSize])
			copy(data[2*slotSize:], first)
			b.write(data)
		},
		"something far behind": func(b *bed) { b.change(len(b.file()) - 1) },
	} {
		t.Run(name, func(t *testing.T) { checkLost(t, lose, name != "missing") })
	}
}

func (b *bed) change(at int) {
	data := b.file()
	data[at] ^= 0x40
	b.write(data)
}

func checkLost(t *testing.T, lose func(*bed), aside bool) {
	b := newBed(t)
	exp := b.in(5 * time.Second)
	b.use(id(1), exp, nil)
	b.use(id(2), exp, nil)
	_ = b.j.Close()
	lose(b)
	b.open()
	if b.j.Lost() == nil || b.j.Wait() != wire.LostJournalWait {
		t.Fatalf("lost: %v, wait %v", b.j.Lost(), b.j.Wait())
	}
	if _, err := os.Stat(b.opts.Path + ".lost"); (err == nil) != aside {
		t.Errorf("set aside: %v", err)
	}
	b.use(id(1), exp, ErrUnready)
	b.use(id(3), exp, ErrUnready)
	b.clock.move(4 * time.Second)
	b.use(id(3), b.in(5*time.Second), ErrUnready)
	b.restart() // in the middle of the wait: it begins again
	if b.j.Wait() != wire.LostJournalWait {
		t.Errorf("after a restart: wait %v", b.j.Wait())
	}
	b.clock.move(wire.LostJournalWait - 1)
	b.use(id(3), b.in(5*time.Second), ErrUnready)
	b.clock.move(-time.Hour) // setting it back and on is not waiting
	b.use(id(3), b.in(5*time.Second), ErrUnready)
	b.clock.move(1)
	if b.j.Wait() != 0 {
		t.Errorf("after the wait: %v", b.j.Wait())
	}
	b.use(id(3), b.in(5*time.Second), nil)
	b.restart()
	if b.j.Lost() != nil {
		t.Errorf("still lost: %v", b.j.Lost())
	}
	b.use(id(3), b.in(5*time.Second), ErrReplayed)
}

// The longest that a token used in the last moment before a loss could be good
// is shorter than the wait.
func TestLostJournalWaitIsLongEnough(t *testing.T) {
	now := time.Unix(epoch, 999_999_999)
	latest := wire.Claims{IssuedAt: epoch + 1, NotBefore: epoch + 1, Expires: epoch + 6}
	if err := CheckLife(latest, now); err != nil {
		t.Fatalf("the test is wrong: %v", err)
	}
	if err := CheckLife(latest, now.Add(wire.LostJournalWait)); errs.CodeOf(err) != wire.CodeExpired {
		t.Errorf("good again after the wait: %v", err)
	}
}

// A record that was being written when the machine stopped was never
// acknowledged: the journal goes on.
func TestJournalTornTail(t *testing.T) {
	b := newBed(t)
	exp := b.in(5 * time.Second)
	b.use(id(1), exp, nil)
	before := b.file()
	b.use(id(2), exp, nil)
	after := b.file()
	_ = b.j.Close()
	for cut := range slotSize {
		torn := bytes.Clone(before)
		copy(torn[2*slotSize:], after[2*slotSize:2*slotSize+cut])
		b.write(torn)
		b.open()
		if b.j.Lost() != nil {
			t.Fatalf("%d bytes of the last record: %v", cut, b.j.Lost())
		}
		b.use(id(1), exp, ErrReplayed)
		b.use(id(2), exp, nil)
		_ = b.j.Close()
	}
}

func TestJournalFresh(t *testing.T) {
	b := newBed(t)
	b.use(id(1), b.in(5*time.Second), nil)
	_ = b.j.Close()
	b.opts.Fresh = true // and yet there is a file: it counts
	b.open()
	b.use(id(1), b.in(5*time.Second), ErrReplayed)
	_ = b.j.Close()
	b.change(9)
	b.open() // a damaged one was lost, first start or not
	b.use(id(2), b.in(5*time.Second), ErrUnready)
}

func TestJournalLock(t *testing.T) {
	b := newBed(t)
	_, err := OpenJournal(b.opts)
	if err == nil || !strings.Contains(err.Error(), "another process") || errs.HintOf(err) == "" {
		t.Fatalf("opened twice: %v", err)
	}
	b.use(id(1), b.in(5*time.Second), nil)
	b.restart()
	b.use(id(1), b.in(5*time.Second), ErrReplayed)
}

func TestJournalClose(t *testing.T) {
	b := newBed(t)
	if err := b.j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.j.Close(); err != nil {
		t.Errorf("again: %v", err)
	}
	b.use(id(1), b.in(5*time.Second), ErrUnready)
	// One that entered before and writes after.
	b.open()
	batch, err := b.j.enter(entry{id: entryID{1}, exp: epoch + 5})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.j.commit(batch); !errors.Is(err, ErrUnready) {
		t.Errorf("written after Close: %v", err)
	}
}

func TestOpenJournalErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none", "replay")
	_, err := OpenJournal(JournalOptions{Path: missing, Fresh: true})
	if !errors.Is(err, os.ErrNotExist) || strings.Count(err.Error(), missing) != 1 {
		t.Errorf("no folder: %v", err)
	}
	dir := t.TempDir()
	if _, err := OpenJournal(JournalOptions{Path: dir, Fresh: true}); err == nil {
		t.Error("a folder was opened")
	}
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
