//go:build linux

package e2e

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"etcha/go/e2e/testkit"
	"etcha/go/wire"
)

// typist types like a person, in bursts, and knows when it struck each key.
type typist struct {
	x      *testkit.Terminal
	keys   []time.Time
	bursts [][2]time.Time
}

func (p *typist) burst(n int) {
	from := time.Now()
	for range n {
		time.Sleep(60*time.Millisecond + rand.N(190*time.Millisecond))
		p.keys = append(p.keys, time.Now())
		p.x.Type(string(rune('a' + rand.IntN(26))))
	}
	p.bursts = append(p.bursts, [2]time.Time{from, time.Now()})
}

// others are random instants of the same bursts, four times as many as keys.
func (p *typist) others() []time.Time {
	var all []time.Time
	for range 4 * len(p.keys) {
		b := p.bursts[rand.IntN(len(p.bursts))]
		all = append(all, b[0].Add(rand.N(b[1].Sub(b[0]))))
	}
	return all
}

// typed is what a watcher of the link saw of a person who typed.
func typed(t *testing.T, obscure string, hidden bool) (records []testkit.Packet, p *typist) {
	t.Helper()
	key, public := testkit.Keys(t, bin)
	far := testkit.NewNode(t, bin, "127.0.0.1", testkit.Settings{
		"run": testkit.Settings{"verifyKeys": []string{public}},
		"sources": testkit.Settings{"debug": testkit.Settings{
			"shell": testkit.Settings{"command": "/bin/bash --norc", "obscure": obscure},
		}},
	})
	proxy := testkit.NewProxy(t, far.Addr)
	cmd := far.Etcha("-x", "build_signingKey="+key, "shell", "--node-id", far.ID, "debug", proxy.Addr)
	x := testkit.NewTerminal(t, cmd, 200, 24)
	x.Expect("#")
	if hidden {
		x.Type("read -s secret; echo it has ${#secret}\r")
		x.Expect("${#secret}")
	}
	p = &typist{x: x}
	bursts, keys := 4, 30
	if obscure == "interval" { // guessing must not come out as knowing
		bursts = 8
		if testing.Short() {
			bursts = 6
		}
	}
	for range bursts {
		time.Sleep(rand.N(500 * time.Millisecond))
		p.burst(keys)
	}
	if hidden {
		x.Type("\r")
		x.Expect("it has " + itoa(bursts*keys))
	}
	x.Type("\x03\rexit\r")
	x.Wait()
	return proxy.Records(), p
}

// rates are the bytes per second in both directions while somebody typed.
func rates(records []testkit.Packet, p *typist) (up, down float64) {
	seconds := 0.0
	for _, b := range p.bursts {
		seconds += b[1].Sub(b[0]).Seconds()
		for _, r := range records {
			switch {
			case r.At.Before(b[0]) || r.At.After(b[1]):
			case r.Up:
				up += float64(r.Size)
			default:
				down += float64(r.Size)
			}
		}
	}
	return up / seconds, down / seconds
}

// sizes are how often each size of a record was seen while somebody typed.
func sizes(records []testkit.Packet, p *typist, up bool) map[int]int {
	seen := map[int]int{}
	for _, b := range p.bursts {
		for _, r := range records {
			if r.Up == up && r.At.After(b[0]) && r.At.Before(b[1]) {
				seen[r.Size]++
			}
		}
	}
	return seen
}

// Who watches the link cannot tell when a key was struck.
func TestTypingRhythm(t *testing.T) {
	for _, c := range []struct {
		obscure string
		hidden  bool
		least   float64 // of the classifier's area
		most    float64
	}{
		{"off", false, 0.9, 1},
		{"chaff", false, 0, 1}, // printed only: keys leave at once
		{"interval", false, 0, 0.6},
		{"interval", true, 0, 0.6},
	} {
		name := c.obscure
		if c.hidden {
			name += " at a hidden prompt"
		}
		t.Run(name, func(t *testing.T) {
			records, p := typed(t, c.obscure, c.hidden)
			a := auc(t, records, p.keys, p.others())
			up, down := rates(records, p)
			t.Logf("%s: area %.2f, %.0f bytes/s up and %.0f down while typing; sizes up %v, down %v",
				name, a, up, down, sizes(records, p, true), sizes(records, p, false))
			if a < c.least || a > c.most {
				t.Errorf("the classifier's area is %.2f, want %.2f to %.2f", a, c.least, c.most)
			}
			if c.obscure == "off" {
				return
			}
			for _, way := range []bool{true, false} {
				uniform(t, sizes(records, p, way), way)
			}
		})
	}
}

// tlsOverhead is what a TLS record has beside its content (RFC 8446, 5.2): a
// type and a tag.
const tlsOverhead = 17

// uniform wants keys and decoys of one size: all bodies of requests are, all
// events, and all answers. Two that are sent in the same moment may share a record.
func uniform(t *testing.T, seen map[int]int, up bool) {
	t.Helper()
	for _, class := range [][2]int{{wire.PadStep / 4, wire.PadStep}, {wire.PadStep, math.MaxInt}} {
		total, odd, common := 0, 0, 0
		for size, n := range seen {
			if size < class[0] || size >= class[1] {
				continue
			}
			total += n
			if n > seen[common] {
				common = size
			}
		}
		for size, n := range seen {
			if size >= class[0] && size < class[1] && !composed(seen, size, common) {
				odd += n
			}
		}
		// After a stall of the machine several are sent at once, whatever they carry.
		if odd > 1+total/20 {
			t.Errorf("%d of %d records from %d bytes on are not of %d (up: %v): %v", odd, total, class[0], common, up, seen)
		}
	}
}

// composed reports whether a record is of the common size, by itself or with one
// or two smaller ones in it.
func composed(seen map[int]int, size, common int) bool {
	if size == common {
		return true
	}
	for a := range seen {
		for b := range seen {
			rest := size - common - (a - tlsOverhead)
			if a < wire.PadStep && b < wire.PadStep && (rest == 0 || rest == b-tlsOverhead) {
				return true
			}
		}
	}
	return false
}
