package keeper

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// ringView is a daemon's view of a ring in the same process.
func ringView(tb rapid.TB, r *ring) *view {
	tb.Helper()
	fd, err := r.region.readOnly()
	if err != nil {
		tb.Fatal(err)
	}
	defer unix.Close(fd)
	page, err := newRegion("test-control", int(unsafe.Sizeof(control{})))
	if err != nil {
		tb.Fatal(err)
	}
	defer page.close()
	v, err := newView(fd, page.fd)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// put writes as a pump does and returns how many bytes there was room for.
func put(r *ring, data []byte, kind Kind, limit uint64) int {
	written := 0
	for written < len(data) {
		room := r.space(kind, limit)
		if room == 0 {
			break
		}
		n := copy(r.free(min(room, uint64(len(data)-written))), data[written:])
		r.commit(n, kind)
		written += n
	}
	return written
}

func TestLayout(t *testing.T) {
	h := ringHeader{}
	at := map[string][2]uintptr{
		"data":      {unsafe.Offsetof(h.data), 16},
		"slots":     {unsafe.Offsetof(h.slots), 56},
		"head":      {unsafe.Offsetof(h.head), 64},
		"activity":  {unsafe.Offsetof(h.activity), 112},
		"accepted":  {unsafe.Offsetof(h.accepted), 128},
		"eof":       {unsafe.Offsetof(h.eof), 152},
		"end":       {unsafe.Offsetof(h.end), 192},
		"reason":    {unsafe.Offsetof(h.reason), 216},
		"signal":    {unsafe.Offsetof(h.signal), 248},
		"want":      {unsafe.Offsetof(control{}.want), 24},
		"echoCount": {unsafe.Offsetof(h.echoCount), 280},
		"echo":      {unsafe.Offsetof(control{}.echo), 32},
		"the whole": {unsafe.Sizeof(h), 2336},
	}
	for name, x := range at {
		if x[0] != x[1] {
			t.Errorf("%s is at %d, not %d: a daemon of another version would read nonsense", name, x[0], x[1])
		}
	}
}

// TestRing compares a ring, as its two sides see it, with plain slices.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		page := uint64(os.Getpagesize())
		quarters := func(most uint64, name string) uint64 { // small numbers are drawn too often
			return rapid.Uint64Range(0, 4*most).Draw(t, name)*page/4 + rapid.Uint64Range(0, 9).Draw(t, name+" and")
		}
		window, back := 1+quarters(3, "window"), quarters(2, "scrollback")
		kinds := rapid.Bool().Draw(t, "kinds")
		r, err := newRing(window, back, kinds)
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		v := ringView(t, r)
		defer v.close()
		m := ringModel{window: window, back: back}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { m.check(t, r, v) },
			"write": func(t *rapid.T) {
				kind := Output
				if kinds {
					kind = Kind(rapid.IntRange(0, 1).Draw(t, "kind"))
				}
				data := bytes.Repeat([]byte{byte(rapid.IntRange(0, 255).Draw(t, "byte"))}, int(1+quarters(4, "n")))
				for i := range data {
					data[i] += byte(i)
				}
				limit := rapid.Uint64Range(0, window).Draw(t, "limit")
				m.add(data[:put(r, data, kind, limit)], kind)
			},
			"acknowledge": func(t *rapid.T) {
				to := rapid.Uint64().Draw(t, "to")
				if rapid.Bool().Draw(t, "sane") {
					to = rapid.Uint64Range(m.acked, uint64(len(m.data))).Draw(t, "sane to")
				}
				r.ack(to)
				m.acked = max(m.acked, min(to, uint64(len(m.data))))
			},
			"drop": func(t *rapid.T) {
				n := rapid.Uint64Range(0, 2*window).Draw(t, "n")
				used := uint64(len(m.data)) - m.acked
				if want := min(n, window); used+want > window {
					m.acked += used + want - window
					m.dropped += used + want - window
				}
				r.drop(n)
			},
			"trim": func(t *rapid.T) {
				if err := r.trim(); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}

type ringModel struct {
	window, back   uint64
	data           []byte
	kinds          []Kind
	acked, dropped uint64
}

func (m *ringModel) add(data []byte, kind Kind) {
	m.data = append(m.data, data...)
	for range data {
		m.kinds = append(m.kinds, kind)
	}
}

func (m *ringModel) check(t *rapid.T, r *ring, v *view) {
	head := uint64(len(m.data))
	if r.head != head || r.acked != m.acked || r.dropped != m.dropped || v.h.acked.Load() != m.acked {
		t.Fatalf("head %d acked %d dropped %d, want %d %d %d", r.head, r.acked, r.dropped, head, m.acked, m.dropped)
	}
	if used := head - m.acked; used > m.window || r.space(r.kind, m.window) != m.window-used {
		t.Fatalf("%d unacknowledged, space %d, window %d", used, r.space(r.kind, m.window), m.window)
	}
	if tail := v.h.tail.Load(); tail > m.acked || m.acked > m.back && tail > m.acked-min(m.acked, m.back) && len(r.runs) == 0 {
		t.Fatalf("tail %d, acked %d, scrollback %d", tail, m.acked, m.back)
	}
	if _, _, err := v.read(make([]byte, 1), head+1); !errors.Is(err, ErrAhead) {
		t.Fatalf("beyond the head: %v", err)
	}
	if tail := v.h.tail.Load(); tail > 0 {
		if _, _, err := v.read(make([]byte, 1), tail-1); !errors.Is(err, ErrGone) {
			t.Fatalf("below the tail: %v", err)
		}
	}
	m.checkContent(t, v)
}

func (m *ringModel) checkContent(t *rapid.T, v *view) {
	buf := make([]byte, 1+len(m.data)/3)
	for at := v.h.tail.Load(); at < uint64(len(m.data)); {
		n, kind, err := v.read(buf, at)
		if err != nil || n == 0 {
			t.Fatalf("read at %d of %d: %d, %v", at, len(m.data), n, err)
		}
		if !bytes.Equal(buf[:n], m.data[at:at+uint64(n)]) {
			t.Fatalf("bytes at %d differ", at)
		}
		for i := range n {
			if m.kinds[at+uint64(i)] != kind {
				t.Fatalf("kind at %d", at+uint64(i))
			}
		}
		at += uint64(n)
	}
}

// TestRunsFull fills the table of runs: output waits until they are
// acknowledged, and old ones make room.
func TestRunsFull(t *testing.T) {
	r, err := newRing(1<<20, 1<<16, true)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	v := ringView(t, r)
	defer v.close()
	for i := range runSlots {
		if put(r, []byte{byte(i)}, Kind(i%2), r.window) != 1 {
			t.Fatalf("no room for run %d", i)
		}
	}
	if put(r, []byte{1}, Stderr, r.window) != 1 || put(r, []byte{2}, Output, r.window) != 0 {
		t.Fatal("the last run may go on, another may not begin")
	}
	r.ack(1)
	if put(r, []byte{2}, Output, r.window) != 1 {
		t.Fatal("no room for a run although the oldest is acknowledged")
	}
	if _, _, err := v.read(make([]byte, 9), 0); !errors.Is(err, ErrGone) {
		t.Errorf("a byte whose kind is not known any more: %v", err)
	}
	if n, kind, err := v.read(make([]byte, 9), 1); n != 1 || kind != Stderr || err != nil {
		t.Errorf("read at 1: %d, %v, %v", n, kind, err)
	}
	if n, kind, err := v.read(make([]byte, 9), runSlots+1); n != 1 || kind != Output || err != nil {
		t.Errorf("read the last: %d, %v, %v", n, kind, err)
	}
}

// TestArm lets a reader look for output at every moment around its arrival: what
// it overlooks it must be told of.
func TestArm(t *testing.T) {
	r, err := newRing(1<<16, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	v := ringView(t, r)
	defer v.close()
	const all = 20_000
	poke := make(chan struct{}, 1)
	var seen atomic.Uint64
	var wg sync.WaitGroup
	wg.Go(func() { // what the keeper does
		armed := uint64(0)
		for i := range uint64(all) {
			for seen.Load() < i { // one at a time: nothing else will wake the reader
				if t.Failed() {
					return
				}
				runtime.Gosched() // a busy machine lets one run for 10 ms
			}
			r.ack(i)
			put(r, []byte{1}, Output, r.window)
			if now := v.ctl.armed.Load(); now != armed {
				armed = now
				select {
				case poke <- struct{}{}:
				default:
				}
			}
		}
	})
	ctx := testContext(t)
	for at, buf := uint64(0), make([]byte, 8); at < all; {
		n, _, err := v.readOrArm(buf, at)
		if err != nil {
			t.Fatal(err)
		}
		at += uint64(n)
		seen.Store(at)
		if n > 0 {
			continue
		}
		select {
		case <-poke:
		case <-ctx.Done():
			t.Errorf("nobody said that there is more after %d", at)
			at = all
		}
	}
	wg.Wait()
}

// TestTrim gives the memory back that acknowledged output has used.
func TestTrim(t *testing.T) {
	r, err := newRing(1<<20, 64<<10, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	used := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(r.region.fd, &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	if put(r, make([]byte, 1<<20), Output, r.window) != 1<<20 || used() < 1<<20 {
		t.Fatalf("the ring does not use the memory it should: %d", used())
	}
	r.ack(1 << 20)
	if err := r.trim(); err != nil {
		t.Fatal(err)
	}
	if got, most := used(), int64(64<<10+2*os.Getpagesize()); got > most {
		t.Errorf("%d bytes are used after the trim, want at most %d", got, most)
	}
	if r.idleMemory() != 0 {
		t.Errorf("%d bytes more to trim", r.idleMemory())
	}
}

// TestMemoryIsSealed keeps the other side from shrinking what this side reads,
// and a daemon from writing what is the keeper's.
func TestMemoryIsSealed(t *testing.T) {
	r, err := newRing(1, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if err := unix.Ftruncate(r.region.fd, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("shrink: %v", err)
	}
	fd, err := r.region.readOnly()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := mapRegion(fd, 1, unix.PROT_READ|unix.PROT_WRITE); !errors.Is(err, unix.EACCES) {
		t.Errorf("map for writing: %v", err)
	}
	bare, err := unix.MemfdCreate("bare", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(bare)
	if err := unix.Ftruncate(bare, 8192); err != nil {
		t.Fatal(err)
	}
	if _, err := newView(bare, bare); !errors.Is(err, ErrInvalid) {
		t.Errorf("memory that could shrink: %v", err)
	}
}
