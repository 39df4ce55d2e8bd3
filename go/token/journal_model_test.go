package token

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"etcha/go/errs"
	"etcha/go/wire"
)

// world is a node that is restarted, killed and has its clock changed, and
// somebody who keeps every token that was accepted.
type world struct {
	b        *bed
	n        int
	accepted []used
	last     time.Time // Journal.Now, since the last restart
}

type used struct {
	jti string
	exp time.Time
}

// fresh uses a token as an honest client makes it, by the node's own clock.
func (w *world) fresh(t *rapid.T) {
	life := rapid.Int64Range(1, 5).Draw(t, "life")
	early := rapid.Int64Range(-1, 4).Draw(t, "age")
	now := w.b.j.Now()
	iat := now.Unix() - early
	c := wire.Claims{IssuedAt: iat, NotBefore: iat, Expires: iat + life}
	w.n++
	u := used{jti: id(w.n), exp: time.Unix(c.Expires, 0)}
	lifeErr := CheckLife(c, now)
	err := w.b.j.Use(u.jti, u.exp)
	switch {
	case err == nil:
		w.accepted = append(w.accepted, u)
		if c.Expires < now.Unix() {
			t.Fatal("an expired token was accepted")
		}
	case errors.Is(err, ErrFull):
		if len(w.b.j.live) < w.b.opts.MaxEntries {
			t.Fatal("full and not full")
		}
	case lifeErr == nil:
		t.Fatalf("an honest token was refused: %v", err)
	}
}

func (w *world) replay(t *rapid.T) {
	if len(w.accepted) == 0 {
		t.Skip("nothing to replay")
	}
	u := rapid.SampledFrom(w.accepted).Draw(t, "token")
	err := w.b.j.Use(u.jti, u.exp)
	if err == nil {
		t.Fatal("a token was accepted twice")
	}
	if code := errs.CodeOf(err); code != wire.CodeReplayed && code != wire.CodeExpired && code != wire.CodeBadRequest {
		t.Fatalf("refused with %s: %v", code, err)
	}
}

func (w *world) forward(t *rapid.T) {
	w.b.clock.move(time.Duration(rapid.Int64Range(0, int64(12*time.Second)).Draw(t, "forward")))
}

func (w *world) back(t *rapid.T) {
	w.b.clock.move(-time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "back")))
}

func (w *world) jump(t *rapid.T) {
	w.b.clock.move(time.Duration(rapid.Int64Range(-int64(100*time.Hour), int64(100*time.Hour)).Draw(t, "jump")))
}

func (w *world) restart(*rapid.T) {
	w.b.restart()
	w.last = time.Time{}
}

// kill stops in the middle of a write that nobody was told about.
func (w *world) kill(t *rapid.T) {
	data, count := w.b.file(), w.b.j.count
	_ = w.b.j.Close()
	if at := (count + 1) * slotSize; at+slotSize <= len(data) {
		torn := appendRecord(nil, entry{id: entryID{1, 2, 3}, exp: w.b.clock.now().Unix()}, w.b.j.floor, count+1)
		copy(data[at:], torn[:rapid.IntRange(0, slotSize-1).Draw(t, "torn")])
	}
	w.b.write(data)
	w.b.open()
	w.last = time.Time{}
}

// check holds after every step.
func (w *world) check(t *rapid.T) {
	now := w.b.j.Now()
	if w.b.j.Lost() != nil {
		t.Fatalf("lost: %v", w.b.j.Lost())
	}
	if now.Unix() <= w.b.j.floor {
		t.Fatalf("now %d is not above the floor %d", now.Unix(), w.b.j.floor)
	}
	if now.Before(w.b.clock.now()) {
		t.Fatal("now is behind the machine's clock")
	}
	if len(w.b.j.live) > w.b.opts.MaxEntries {
		t.Fatal("more than may be kept")
	}
	for _, u := range w.accepted {
		if _, live := w.b.j.live[entryOf(u)]; !live && u.exp.Unix() > w.b.j.floor {
			t.Fatalf("a token until %d was forgotten, the floor is %d", u.exp.Unix(), w.b.j.floor)
		}
	}
}

func TestJournalModel(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		clock := newClock()
		path := filepath.Join(dir, "replay")
		_ = os.Remove(path)
		w := &world{b: &bed{t: t, clock: clock, opts: JournalOptions{
			Path: path, Now: clock.now, Fresh: true,
			MaxEntries: rapid.SampledFrom([]int{2, 10, 1000}).Draw(rt, "max"),
		}}}
		w.b.open()
		w.b.opts.Fresh = false
		defer func() { _ = w.b.j.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"fresh": w.fresh, "fresh2": w.fresh, "replay": w.replay, "replay2": w.replay,
			"forward": w.forward, "back": w.back, "jump": w.jump,
			"restart": w.restart, "kill": w.kill, "": w.check,
		})
	})
	if runs < 50 {
		t.Errorf("only %d runs", runs)
	}
}
