package token

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

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
	if now := b.j.Now(); now.Unix() < exp.Unix()-b.j.ahead {
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
