package metrics

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"etcha/go/wire"
)

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newTest(t *testing.T) (*Metrics, *clock) {
	t.Helper()
	c := &clock{time.Unix(1_700_000_000, 0)}
	m := newMetrics("1.2.3", c.now)
	m.Sources([]Source{{Name: "debug"}, {Name: "root", BreakGlass: true}})
	m.Destinations([]string{"syslog"})
	return m, c
}

// text is what a scrape shows of this program's own metrics.
func text(t *testing.T, m *Metrics) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := m.Write(&b, ""); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func wantLine(t *testing.T, m *Metrics, line string) {
	t.Helper()
	if !slices.Contains(strings.Split(text(t, m), "\n"), line) {
		t.Errorf("no line %q in\n%s", line, grep(text(t, m), line[:strings.IndexAny(line, "{ ")]))
	}
}

func grep(s, prefix string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, prefix) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func open(m *Metrics, c *clock, source, addr string) *Shell {
	return m.Open(Session{Source: source, BreakGlass: source == "root", Key: "alice", Addr: netip.MustParseAddr(addr), Started: c.t})
}

func TestLint(t *testing.T) {
	m, c := newTest(t)
	open(m, c, "debug", "192.0.2.1").End(wire.ReasonExited, 0)
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestDescribeMatches compares the table with what a scrape has.
func TestDescribeMatches(t *testing.T) {
	m, c := newTest(t)
	m.Request(200)
	open(m, c, "debug", "192.0.2.1")
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	table := map[string]Desc{}
	for _, d := range Describe() {
		table[d.Name] = d
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "etcha_") {
			continue
		}
		d := table[f.GetName()]
		seen[d.Name] = true
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		want := slices.Sorted(slices.Values(d.Labels))
		if strings.ToUpper(string(d.Type)) != f.GetType().String() || d.Help != f.GetHelp() || !slices.Equal(labels, want) {
			t.Errorf("%s: %s %q %v; the table has %+v", f.GetName(), f.GetType(), f.GetHelp(), labels, d)
		}
	}
	for name := range table {
		if !seen[name] {
			t.Errorf("%s is in the table and not in a scrape", name)
		}
	}
	if !slices.IsSortedFunc(Describe(), func(a, b Desc) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the table is not sorted by name")
	}
}

func TestCountersStartAtZero(t *testing.T) {
	m, _ := newTest(t)
	for _, line := range []string{
		`etcha_build_info{goversion="` + goVersion(t, m) + `",version="1.2.3"} 1`,
		`etcha_keeper_up 0`,
		`etcha_panics_recovered_total 0`,
		`etcha_replays_refused_total 0`,
		`etcha_requests_limited_total{action="delayed"} 0`,
		`etcha_requests_limited_total{action="refused"} 0`,
		`etcha_session_duration_seconds_count{source="debug"} 0`,
		`etcha_session_input_bytes_total{source="debug"} 0`,
		`etcha_session_oldest_age_seconds{source="root"} 0`,
		`etcha_session_output_bytes_total{source="debug"} 0`,
		`etcha_session_survivors_killed_total{source="debug"} 0`,
		`etcha_sessions_ended_total{reason="keeper",source="debug"} 0`,
		`etcha_sessions_refused_total{reason="bad_token",source=""} 0`,
		`etcha_sessions_refused_total{reason="denied",source="root"} 0`,
		`etcha_sessions_started_total{break_glass="false",source="debug"} 0`,
		`etcha_sessions_started_total{break_glass="true",source="root"} 0`,
		`etcha_sources_shells{name="root",public_key="",remote_addr=""} 0`,
	} {
		wantLine(t, m, line)
	}
}

func goVersion(t *testing.T, m *Metrics) string {
	t.Helper()
	_, rest, ok := strings.Cut(text(t, m), `etcha_build_info{goversion="`)
	if !ok {
		t.Fatal("no etcha_build_info")
	}
	v, _, _ := strings.Cut(rest, `"`)
	return v
}

func TestSessionCounts(t *testing.T) {
	m, c := newTest(t)
	s := open(m, c, "root", "::ffff:192.0.2.1")
	s.Input(3)
	s.Output(5)
	s.Output(-1)
	c.t = c.t.Add(90 * time.Second)
	wantLine(t, m, `etcha_session_oldest_age_seconds{source="root"} 90`)
	s.End(wire.ReasonIdle, 2)
	s.End(wire.ReasonExited, 7)
	s.Leave()
	for _, line := range []string{
		`etcha_sessions_started_total{break_glass="true",source="root"} 1`,
		`etcha_sessions_ended_total{reason="idle",source="root"} 1`,
		`etcha_sessions_ended_total{reason="exited",source="root"} 0`,
		`etcha_session_input_bytes_total{source="root"} 3`,
		`etcha_session_output_bytes_total{source="root"} 5`,
		`etcha_session_survivors_killed_total{source="root"} 2`,
		`etcha_session_duration_seconds_sum{source="root"} 90`,
		`etcha_session_duration_seconds_count{source="root"} 1`,
		`etcha_session_oldest_age_seconds{source="root"} 0`,
		`etcha_sources_shells{name="root",public_key="alice",remote_addr="192.0.2.1"} 0`,
	} {
		wantLine(t, m, line)
	}
}

func TestRestoredSessionIsNotStarted(t *testing.T) {
	m, c := newTest(t)
	s := m.Open(Session{Source: "debug", Key: "alice", Addr: netip.MustParseAddr("2001:db8::1%eth0"), Started: c.t.Add(-time.Hour), Restored: true})
	wantLine(t, m, `etcha_sessions_started_total{break_glass="false",source="debug"} 0`)
	wantLine(t, m, `etcha_sources_shells{name="debug",public_key="alice",remote_addr="2001:db8::1"} 1`)
	wantLine(t, m, `etcha_session_oldest_age_seconds{source="debug"} 3600`)
	s.Leave()
	wantLine(t, m, `etcha_sources_shells{name="debug",public_key="alice",remote_addr="2001:db8::1"} 0`)
	wantLine(t, m, `etcha_sessions_ended_total{reason="stopped",source="debug"} 0`)
	wantLine(t, m, `etcha_session_duration_seconds_count{source="debug"} 0`)
}

func TestSeriesLife(t *testing.T) {
	m, c := newTest(t)
	const series = `etcha_sources_shells{name="debug",public_key="alice",remote_addr="192.0.2.1"} `
	one, two := open(m, c, "debug", "192.0.2.1"), open(m, c, "debug", "192.0.2.1")
	wantLine(t, m, series+"2")
	one.End(wire.ReasonExited, 0)
	wantLine(t, m, series+"1")
	two.End(wire.ReasonExited, 0)
	c.t = c.t.Add(5*time.Minute - time.Second)
	wantLine(t, m, series+"0")
	open(m, c, "debug", "192.0.2.1").End(wire.ReasonExited, 0)
	c.t = c.t.Add(5*time.Minute - time.Second)
	wantLine(t, m, series+"0")
	c.t = c.t.Add(time.Second)
	if got := grep(text(t, m), nameShells+`{name="debug",public_key="alice"`); got != "" {
		t.Errorf("five minutes after the end there still is %s", got)
	}
}

// TestSeriesGoUnscraped: memory is bounded on a node whose metrics nobody reads.
func TestSeriesGoUnscraped(t *testing.T) {
	m, c := newTest(t)
	addr := netip.MustParseAddr("10.0.0.0")
	for range 1000 {
		addr = addr.Next()
		m.Open(Session{Source: "debug", Addr: addr, Started: c.t}).End(wire.ReasonExited, 0)
		c.t = c.t.Add(10 * time.Second)
	}
	if n := len(m.shells.series); n > 100 {
		t.Errorf("%d series are remembered", n)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	m, c := newTest(t)
	m.Refused("no-such-source", RefusedNoSource)
	m.Refused("debug", "made up")
	m.Refused("debug", Refusal(wire.CodeDenied))
	m.Request(42)
	m.Request(404)
	m.Open(Session{Source: "gone", Started: c.t}).End("made up", 0)
	for _, line := range []string{
		`etcha_sessions_refused_total{reason="unknown_source",source=""} 1`,
		`etcha_sessions_refused_total{reason="other",source="debug"} 1`,
		`etcha_sessions_refused_total{reason="denied",source="debug"} 1`,
		`etcha_requests_total{code="other"} 1`,
		`etcha_requests_total{code="404"} 1`,
		`etcha_sessions_ended_total{reason="other",source=""} 1`,
	} {
		wantLine(t, m, line)
	}
	if s := text(t, m); strings.Contains(s, "no-such-source") || strings.Contains(s, "made up") {
		t.Error("a client's text became a label")
	}
}

func TestInvalidTextIsNoError(t *testing.T) {
	m, c := newTest(t)
	m.Open(Session{Source: "d\xff", Key: "k\xfe", Started: c.t})
	m.Refused("\xff", "\xff")
	wantLine(t, m, `etcha_sources_shells{name="d�",public_key="k�",remote_addr=""} 1`)
}

func TestNodeCounts(t *testing.T) {
	m, _ := newTest(t)
	m.KeeperUp(true)
	wantLine(t, m, "etcha_keeper_up 1")
	m.KeeperUp(false)
	m.ReplayRefused()
	m.PanicRecovered()
	m.LimiterDelayed()
	m.LimiterRefused()
	m.LimiterRefused()
	m.LimiterAddresses(4)
	for _, line := range []string{
		"etcha_keeper_up 0",
		"etcha_replays_refused_total 1",
		"etcha_panics_recovered_total 1",
		`etcha_requests_limited_total{action="delayed"} 1`,
		`etcha_requests_limited_total{action="refused"} 2`,
		"etcha_limiter_addresses 4",
	} {
		wantLine(t, m, line)
	}
}

func TestRuntimeMetrics(t *testing.T) {
	m, _ := newTest(t)
	for _, name := range []string{"go_goroutines ", "process_open_fds "} {
		if grep(text(t, m), name) == "" {
			t.Errorf("no %s", name)
		}
	}
}

func TestFormats(t *testing.T) {
	m, c := newTest(t)
	open(m, c, "debug", "192.0.2.1")
	for _, f := range []struct{ accept, contentType, end string }{
		{"", "text/plain; version=0.0.4", "\n"},
		{"text/html,*/*;q=0.1", "text/plain; version=0.0.4", "\n"},
		{"application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0", "# EOF\n"},
		{"junk;;;", "text/plain; version=0.0.4", "\n"},
	} {
		var b bytes.Buffer
		got, err := m.Write(&b, f.accept)
		if err != nil || !strings.HasPrefix(got, f.contentType) || got != ContentType(f.accept) || !strings.HasSuffix(b.String(), f.end) {
			t.Errorf("Write(%q) = %q, %v, ending %q; want %q", f.accept, got, err, b.String()[max(b.Len()-10, 0):], f.contentType)
		}
		if f.end != "\n" {
			continue
		}
		p := expfmt.NewTextParser(model.UTF8Validation)
		if _, err := p.TextToMetricFamilies(&b); err != nil {
			t.Errorf("%q: %v", f.accept, err)
		}
	}
}

type full struct{}

var errFull = errors.New("no space")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteError(t *testing.T) {
	m, _ := newTest(t)
	if _, err := m.Write(full{}, ""); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}
