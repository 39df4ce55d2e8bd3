//go:build linux

package e2e

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"etcha/go/e2e/testkit"
	"etcha/go/wire"
)

// The classifier of who watches the link: from the times and the sizes of what
// passed around an instant it guesses whether a key was struck then.

// edges bound the bins around an instant; each bin counts records and bytes in
// both directions.
var edges = []time.Duration{
	-60 * time.Millisecond, -30 * time.Millisecond, -15 * time.Millisecond, -5 * time.Millisecond, 0,
	2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 15 * time.Millisecond,
	25 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond,
}

// answers is how many records that follow on the next request are looked at: its
// own answer and what else the node sends.
const answers = 6

// features describes what passed around an instant: how much in each bin, how
// long it was to the next record of each direction, and how long the node took
// to send what followed on the next request.
func features(records []testkit.Packet, at time.Time) []float64 {
	bins := len(edges) - 1
	x := make([]float64, 4*bins+2)
	for i := range 2 {
		x[4*bins+i] = 100 // milliseconds to the next record of a direction
	}
	from, _ := slices.BinarySearchFunc(records, at.Add(edges[0]), func(r testkit.Packet, t time.Time) int { return r.At.Compare(t) })
	for _, r := range records[from:] {
		d := r.At.Sub(at)
		if d >= edges[bins] {
			break
		}
		way := 0
		if r.Up {
			way = 1
		}
		bin, _ := slices.BinarySearch(edges, d+1)
		bin = max(bin-1, 0)
		x[4*bin+2*way]++
		x[4*bin+2*way+1] += float64(r.Size)
		if ms := float64(d) / float64(time.Millisecond); d >= 0 && ms < x[4*bins+way] {
			x[4*bins+way] = ms
		}
	}
	return append(x, reaction(records[from:], at)...)
}

// reaction is when, in milliseconds after the first request behind an instant,
// the records came that followed on it, and how large they were.
func reaction(records []testkit.Packet, at time.Time) []float64 {
	x := make([]float64, 0, 2*answers)
	var asked time.Time
	for _, r := range records {
		switch {
		case len(x) == cap(x):
			return x
		case r.Up && r.Size >= wire.PadStep && r.At.After(at) && asked.IsZero():
			asked = r.At
		case !r.Up && !asked.IsZero():
			x = append(x, min(float64(r.At.Sub(asked))/float64(time.Millisecond), 100), float64(r.Size))
		}
	}
	return x[:cap(x)]
}

// auc is the area under the curve of the better of two classifiers: 0.5 is
// guessing, 1 is knowing. Each is trained on one half of the instants and asked
// about the other, and the other way round.
func auc(t *testing.T, records []testkit.Packet, keys, others []time.Time) float64 {
	t.Helper()
	if len(keys) < 100 || len(others) < 100 {
		t.Fatalf("%d and %d instants are too few", len(keys), len(others))
	}
	linear, near := 0.0, 0.0
	for fold := range 2 {
		var train, test []sample
		for label, instants := range [][]time.Time{others, keys} {
			for i, at := range instants {
				s := sample{x: features(records, at), y: float64(label)}
				if i%2 == fold {
					train = append(train, s)
				} else {
					test = append(test, s)
				}
			}
		}
		standardise(train, test)
		w := regress(train)
		linear += area(test, func(s sample) float64 { return dot(w, s.x) }) / 2
		near += area(test, func(s sample) float64 { return neighbours(train, s) }) / 2
	}
	return max(linear, near)
}

type sample struct {
	x []float64
	y float64
}

// standardise brings each feature to mean 0 and deviation 1 by the training half.
func standardise(train, test []sample) {
	for i := range train[0].x {
		var sum, squares float64
		for _, s := range train {
			sum += s.x[i]
			squares += s.x[i] * s.x[i]
		}
		n := float64(len(train))
		mean := sum / n
		dev := math.Sqrt(max(squares/n-mean*mean, 1e-12))
		for _, s := range slices.Concat(train, test) {
			s.x[i] = (s.x[i] - mean) / dev
		}
	}
}

// regress is logistic regression by gradient descent, with a little decay; the
// last weight is the constant.
func regress(train []sample) []float64 {
	w := make([]float64, len(train[0].x)+1)
	for range 2000 {
		g := make([]float64, len(w))
		for _, s := range train {
			d := 1/(1+math.Exp(-dot(w, s.x))) - s.y
			for i, v := range s.x {
				g[i] += d * v
			}
			g[len(g)-1] += d
		}
		for i := range w {
			w[i] -= 0.1 * (g[i]/float64(len(train)) + 0.001*w[i])
		}
	}
	return w
}

func dot(w, x []float64) float64 {
	sum := w[len(w)-1]
	for i, v := range x {
		sum += w[i] * v
	}
	return sum
}

// neighbours is the share of keys among the nearest of the training half.
func neighbours(train []sample, s sample) float64 {
	const k = 15
	type far struct{ d, y float64 }
	all := make([]far, len(train))
	for i, n := range train {
		for j, v := range n.x {
			all[i].d += (v - s.x[j]) * (v - s.x[j])
		}
		all[i].y = n.y
	}
	slices.SortFunc(all, func(a, b far) int { return int(math.Copysign(1, a.d-b.d)) })
	sum := 0.0
	for _, n := range all[:k] {
		sum += n.y
	}
	return sum / k
}

// area is the probability that a key scores above another instant.
func area(test []sample, score func(sample) float64) float64 {
	var keys, others []float64
	for _, s := range test {
		if s.y == 1 {
			keys = append(keys, score(s))
		} else {
			others = append(others, score(s))
		}
	}
	wins := 0.0
	for _, k := range keys {
		for _, o := range others {
			switch {
			case k > o:
				wins++
			case k == o:
				wins += 0.5
			}
		}
	}
	return wins / float64(len(keys)*len(others))
}

// The classifier itself: it finds what is there, and nothing where nothing is.
func TestClassifier(t *testing.T) {
	start := time.Now()
	at := func(ms float64) time.Time { return start.Add(time.Duration(ms * float64(time.Millisecond))) }
	var open, beat []testkit.Packet
	var keys, others []time.Time
	for now := 0.0; now < 40_000; now += 80 + 200*rand.Float64() {
		keys = append(keys, at(now))
		open = append(open, testkit.Packet{At: at(now + 0.5 + rand.Float64()), Size: 700, Up: true}, testkit.Packet{At: at(now + 3), Size: 300})
	}
	for range keys {
		others = append(others, at(40_000*rand.Float64()))
	}
	for now := 0.0; now < 40_100; now += 20 {
		beat = append(beat, testkit.Packet{At: at(now), Size: 700, Up: true}, testkit.Packet{At: at(now + 3), Size: 300})
	}
	// Only the answer to a key is later than others.
	late := slices.Clone(beat)
	for i := 0; i < len(late); i += 2 {
		n, _ := slices.BinarySearchFunc(keys, late[i].At, time.Time.Compare)
		if n > 0 && late[i].At.Sub(keys[n-1]) <= 20*time.Millisecond {
			late[i+1].At = late[i+1].At.Add(400 * time.Microsecond)
		}
	}
	if a := auc(t, late, keys, others); a < 0.75 {
		t.Errorf("answers to keys that are late: %.2f", a)
	}
	if a := auc(t, open, keys, others); a < 0.9 {
		t.Errorf("keys that are not hidden: %.2f", a)
	}
	if a := auc(t, beat, keys, others); a > 0.65 {
		t.Errorf("keys on a beat: %.2f", a)
	}
}
