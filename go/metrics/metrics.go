package metrics

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"etcha/go/wire"
)

// Metrics is a node's registry. Make one with [New].
type Metrics struct {
	registry *prometheus.Registry
	shells   *shells

	keeper, limiterSize      prometheus.Gauge
	panics, replays          prometheus.Counter
	limited, requests        *prometheus.CounterVec
	input, output, survivors *prometheus.CounterVec
	ended, refused, started  *prometheus.CounterVec
	duration                 *prometheus.HistogramVec
	audit, auditFails        prometheus.Counter
	recordFails, views       *prometheus.CounterVec
	shipFails                *prometheus.CounterVec
	shipBehind               *prometheus.GaugeVec
	refusals, endReasons     []string
	mu                       sync.RWMutex
	sources                  map[string]bool // names announced by Sources
}

// Source is a configured source that has a shell.
type Source struct {
	Name       string
	BreakGlass bool
}

// New makes the metrics of a program of this version.
func New(version string) *Metrics { return newMetrics(version, time.Now) }

// newMetrics is New with a clock for the life of series.
func newMetrics(version string, now func() time.Time) *Metrics {
	d := descs{}
	for _, one := range Describe() {
		d[one.Name] = one
	}
	m := &Metrics{
		registry:    prometheus.NewRegistry(),
		shells:      newShells(d, now),
		keeper:      d.gauge(nameKeeper).WithLabelValues(),
		limiterSize: d.gauge(nameLimiterSize).WithLabelValues(),
		limited:     d.counter(nameLimited),
		requests:    d.counter(nameRequests),
		input:       d.counter(nameInput),
		output:      d.counter(nameOutput),
		survivors:   d.counter(nameSurvivors),
		ended:       d.counter(nameEnded),
		refused:     d.counter(nameRefused),
		started:     d.counter(nameStarted),
		duration:    d.histogram(nameDuration, durationBuckets()),
		panics:      d.counter(namePanics).WithLabelValues(),
		replays:     d.counter(nameReplays).WithLabelValues(),
		audit:       d.counter(nameAudit).WithLabelValues(),
		auditFails:  d.counter(nameAuditFails).WithLabelValues(),
		recordFails: d.counter(nameRecordFails),
		views:       d.counter(nameViews),
		shipFails:   d.counter(nameShipFails),
		shipBehind:  d.gauge(nameShipBehind),
		refusals:    allRefusals(),
		endReasons:  allEndReasons(),
		sources:     map[string]bool{},
	}
	build := d.gauge(nameBuild)
	build.WithLabelValues(label(version), runtime.Version()).Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build, m.keeper, m.limiterSize, m.panics, m.replays, m.limited, m.requests, m.shells,
		m.input, m.output, m.survivors, m.ended, m.refused, m.started, m.duration,
		m.audit, m.auditFails, m.recordFails, m.views, m.shipFails, m.shipBehind,
	)
	m.zero()
	return m
}

// zero makes the series that do not depend on the configuration.
func (m *Metrics) zero() {
	m.limited.WithLabelValues(actionDelayed)
	m.limited.WithLabelValues(actionRefused)
	for _, reason := range m.refusals {
		m.refused.WithLabelValues("", reason)
	}
}

// durationBuckets are seconds: from a single command to a day at work.
func durationBuckets() []float64 {
	return []float64{1, 10, 60, 300, 1800, 3600, 4 * 3600, 12 * 3600, 24 * 3600}
}

// descs is the table of [Describe] by name.
type descs map[string]Desc

func (d descs) counter(name string) *prometheus.CounterVec {
	one := d[name]
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: one.Name, Help: one.Help}, one.Labels)
}

func (d descs) gauge(name string) *prometheus.GaugeVec {
	one := d[name]
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: one.Name, Help: one.Help}, one.Labels)
}

func (d descs) histogram(name string, buckets []float64) *prometheus.HistogramVec {
	one := d[name]
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: one.Name, Help: one.Help, Buckets: buckets}, one.Labels)
}

func (d descs) plain(name string) *prometheus.Desc {
	one := d[name]
	return prometheus.NewDesc(one.Name, one.Help, one.Labels, nil)
}

// label makes any text fit for a label's value, which is UTF-8.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Sources announces the sources that are configured; call it at start and after
// each reload. Their counters start at 0. The series of a source that is gone
// stay until the program ends: one must not vanish before it was read.
func (m *Metrics) Sources(sources []Source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range sources {
		name := label(s.Name)
		m.sources[name] = true
		m.started.WithLabelValues(name, strconv.FormatBool(s.BreakGlass))
		m.input.WithLabelValues(name)
		m.output.WithLabelValues(name)
		m.survivors.WithLabelValues(name)
		m.recordFails.WithLabelValues(name)
		m.views.WithLabelValues(name, string(wire.RoleViewer))
		m.views.WithLabelValues(name, string(wire.RoleJoined))
		m.duration.WithLabelValues(name)
		for _, reason := range m.endReasons {
			m.ended.WithLabelValues(name, reason)
		}
		for _, reason := range m.refusals {
			m.refused.WithLabelValues(name, reason)
		}
		m.shells.announce(name)
	}
}

// known is name when it was announced, else "".
func (m *Metrics) known(name string) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if name = label(name); m.sources[name] {
		return name
	}
	return ""
}

// bounded is value when the set has it, else "other".
func bounded(set []string, value string) string {
	if slices.Contains(set, value) {
		return value
	}
	return other
}

// Refused counts a refused request. The source is the route's; it is shown only
// when it is a configured one.
func (m *Metrics) Refused(source string, reason Refusal) {
	m.refused.WithLabelValues(m.known(source), bounded(m.refusals, string(reason))).Inc()
}

// ReplayRefused counts a token that had been used before.
func (m *Metrics) ReplayRefused() { m.replays.Inc() }

// Request counts an answered HTTP request; status outside 100 to 599 is "other".
func (m *Metrics) Request(status int) {
	code := other
	if status >= 100 && status <= 599 {
		code = strconv.Itoa(status)
	}
	m.requests.WithLabelValues(code).Inc()
}

// AuditWritten counts an attempt to write an entry of the audit log.
func (m *Metrics) AuditWritten(err error) {
	if err != nil {
		m.auditFails.Inc()
		return
	}
	m.audit.Inc()
}

// RecordingFailed counts a recording that failed.
func (m *Metrics) RecordingFailed(source string) {
	m.recordFails.WithLabelValues(m.known(source)).Inc()
}

// Viewed counts somebody who watches or joins a session.
func (m *Metrics) Viewed(source string, role wire.Role) {
	m.views.WithLabelValues(m.known(source), string(role)).Inc()
}

// Destinations announces where audit entries are sent.
func (m *Metrics) Destinations(names []string) {
	for _, name := range names {
		m.shipFails.WithLabelValues(name)
		m.shipBehind.WithLabelValues(name)
	}
}

// ShipFailed counts a failed attempt to send something to a destination.
func (m *Metrics) ShipFailed(destination string) { m.shipFails.WithLabelValues(destination).Inc() }

// ShipBehind says how many entries have not arrived at a destination.
func (m *Metrics) ShipBehind(destination string, entries uint64) {
	m.shipBehind.WithLabelValues(destination).Set(float64(entries))
}

// PanicRecovered counts a panic that a handler recovered from.
func (m *Metrics) PanicRecovered() { m.panics.Inc() }

// KeeperUp says whether the keeper answers.
func (m *Metrics) KeeperUp(up bool) {
	if up {
		m.keeper.Set(1)
	} else {
		m.keeper.Set(0)
	}
}

// LimiterDelayed counts a request that waited because its address' bucket was empty.
func (m *Metrics) LimiterDelayed() { m.limited.WithLabelValues(actionDelayed).Inc() }

// LimiterRefused counts a request that was turned away by the limiter.
func (m *Metrics) LimiterRefused() { m.limited.WithLabelValues(actionRefused).Inc() }

// LimiterAddresses says how many addresses the limiter remembers.
func (m *Metrics) LimiterAddresses(n int) { m.limiterSize.Set(float64(n)) }
