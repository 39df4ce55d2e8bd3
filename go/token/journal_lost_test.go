package token

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

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
