package metrics

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

	"etcha/go/wire"
	"github.com/prometheus/client_golang/prometheus"
)

// lingering is how long the series of ended sessions read 0, so that every
// scraper sees the end.
const lingering = 5 * time.Minute

// Session names a session in the metrics.
type Session struct {
	Source     string
	BreakGlass bool
	Key        string     // ID of the opener's key, not the key
	Addr       netip.Addr // the opener's address
	Started    time.Time
	// Restored: found again by a restarted daemon, so not counted as started.
	Restored bool
}

// Shell is an open session. Methods are safe for concurrent use.
type Shell struct {
	m             *Metrics
	source        string
	series        shellKey
	started       time.Time
	input, output prometheus.Counter
	end           sync.Once
}

// Open counts a session as started and open until [Shell.End].
func (m *Metrics) Open(s Session) *Shell {
	source := m.known(s.Source)
	shell := &Shell{
		m: m, source: source, started: s.Started,
		series: shellKey{label(s.Source), label(s.Key), address(s.Addr)},
		input:  m.input.WithLabelValues(source),
		output: m.output.WithLabelValues(source),
	}
	if !s.Restored {
		m.started.WithLabelValues(source, strconv.FormatBool(s.BreakGlass)).Inc()
	}
	m.shells.add(shell)
	return shell
}

// address is without port and zone: an IPv4 address that came over an IPv6
// socket is the IPv4 address.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// Input counts input bytes accepted.
func (s *Shell) Input(n int) { s.input.Add(float64(max(n, 0))) }

// Output counts output bytes sent.
func (s *Shell) Output(n int) { s.output.Add(float64(max(n, 0))) }

// End counts the end and the processes that had to be killed; only the first
// call counts.
func (s *Shell) End(reason wire.ExitReason, survivors int) {
	s.end.Do(func() {
		s.m.ended.WithLabelValues(s.source, bounded(s.m.endReasons, string(reason))).Inc()
		s.m.survivors.WithLabelValues(s.source).Add(float64(max(survivors, 0)))
		age := s.m.shells.remove(s)
		s.m.duration.WithLabelValues(s.source).Observe(age.Seconds())
	})
}

// Leave takes a session that goes on without this program out of the gauges,
// without counting an end.
func (s *Shell) Leave() { s.end.Do(func() { s.m.shells.remove(s) }) }

type shellKey struct{ name, key, addr string }

// count is how many of a series are open, and since when none is.
type count struct {
	open  int
	empty time.Time
}

// shells collects the series that depend on which sessions are open.
type shells struct {
	now           func() time.Time
	gauge, oldest *prometheus.Desc

	mu      sync.Mutex
	swept   time.Time
	open    map[*Shell]struct{}
	series  map[shellKey]*count
	sources map[string]struct{}
}

func newShells(d descs, now func() time.Time) *shells {
	return &shells{
		now: now, gauge: d.plain(nameShells), oldest: d.plain(nameOldest),
		open: map[*Shell]struct{}{}, series: map[shellKey]*count{}, sources: map[string]struct{}{},
	}
}

func (s *shells) announce(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources[source] = struct{}{}
}

func (s *shells) add(shell *Shell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A node that nobody scrapes must not remember every address for ever.
	if now := s.now(); now.Sub(s.swept) >= lingering {
		s.sweep(now)
	}
	s.open[shell] = struct{}{}
	c := s.series[shell.series]
	if c == nil {
		c = &count{}
		s.series[shell.series] = c
	}
	c.open++
}

// sweep forgets the series that have read 0 for long enough.
func (s *shells) sweep(now time.Time) {
	s.swept = now
	for k, c := range s.series {
		if c.open == 0 && now.Sub(c.empty) >= lingering {
			delete(s.series, k)
		}
	}
}

// remove gives the session's age.
func (s *shells) remove(shell *Shell) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	delete(s.open, shell)
	c := s.series[shell.series]
	if c.open--; c.open == 0 {
		c.empty = now
	}
	return max(now.Sub(shell.started), 0)
}

// Describe implements prometheus.Collector.
func (s *shells) Describe(ch chan<- *prometheus.Desc) { ch <- s.gauge; ch <- s.oldest }

// Collect implements prometheus.Collector.
func (s *shells) Collect(ch chan<- prometheus.Metric) {
	for _, m := range s.snapshot() {
		ch <- m
	}
}

func (s *shells) snapshot() []prometheus.Metric {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.sweep(now)
	all := make([]prometheus.Metric, 0, len(s.series)+2*len(s.sources))
	for k, c := range s.series {
		all = append(all, prometheus.MustNewConstMetric(s.gauge, prometheus.GaugeValue, float64(c.open), k.name, k.key, k.addr))
	}
	for source := range s.sources {
		// A series of every source, so that "no shell" reads 0 and not nothing.
		if s.series[shellKey{name: source}] == nil {
			all = append(all, prometheus.MustNewConstMetric(s.gauge, prometheus.GaugeValue, 0, source, "", ""))
		}
	}
	for source, age := range s.ages(now) {
		all = append(all, prometheus.MustNewConstMetric(s.oldest, prometheus.GaugeValue, age.Seconds(), source))
	}
	return all
}

// ages is the age of the oldest open session of each source.
func (s *shells) ages(now time.Time) map[string]time.Duration {
	ages := make(map[string]time.Duration, len(s.sources))
	for source := range s.sources {
		ages[source] = 0
	}
	for shell := range s.open {
		ages[shell.source] = max(ages[shell.source], now.Sub(shell.started))
	}
	return ages
}
