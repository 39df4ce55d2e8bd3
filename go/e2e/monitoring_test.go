//go:build linux

package e2e

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"etcha/go/e2e/testkit"
	"etcha/go/wire"
)

const metricsKey = "metrics-key-of-the-test"

// scrape gets the metrics as Prometheus does.
func scrape(t testing.TB, node *testkit.Node, key string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "https://"+node.Addr+wire.PathMetrics, nil)
	must(t, err)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(body)
}

func TestMetricsOfSessions(t *testing.T) {
	promtool := testkit.Need(t, "promtool")
	key, public := testkit.Keys(t, bin)
	far := testkit.NewNode(t, bin, "127.0.0.1", testkit.Settings{
		"run": testkit.Settings{"verifyKeys": []string{public}, "systemMetricsKey": metricsKey},
		"sources": testkit.Settings{
			"debug":     testkit.Settings{"shell": "/bin/bash --norc"},
			"emergency": testkit.Settings{"shell": "/bin/bash --norc", "breakGlass": true},
		},
	})
	if status, body := scrape(t, far, ""); status != http.StatusNotFound || strings.Contains(body, "etcha_sources") {
		t.Errorf("metrics without a key: %d\n%s", status, body)
	}
	status, before := scrape(t, far, metricsKey)
	if status != http.StatusOK {
		t.Fatalf("metrics: %d\n%s", status, before)
	}
	for _, zero := range []string{
		`etcha_sessions_started_total{break_glass="false",source="debug"} 0`,
		`etcha_sessions_started_total{break_glass="true",source="emergency"} 0`,
	} {
		if !strings.Contains(before, zero) {
			t.Errorf("a node that just started does not have: %s", zero)
		}
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(before)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}

	etcha := client(t, key, target(t, far.Addr))
	x := testkit.NewTerminal(t, etcha("shell", "debug", "myhost"), 80, 24)
	x.Expect("#")
	if _, open := scrape(t, far, metricsKey); !strings.Contains(open, `remote_addr="127.0.0.1"} 1`) {
		t.Errorf("an open shell is not shown:\n%s", grep(open, "etcha_sources_shells"))
	}
	x.Type("exit 5\r")
	if got := x.Wait(); got != 5 {
		t.Errorf("exit status %d", got)
	}
	testkit.Eventually(t, "the session is counted as ended", func() bool {
		_, after := scrape(t, far, metricsKey)
		return strings.Contains(after, `etcha_sessions_ended_total{reason="exited",source="debug"} 1`) &&
			strings.Contains(after, `etcha_sessions_started_total{break_glass="false",source="debug"} 1`) &&
			!strings.Contains(grep(after, "etcha_sources_shells"), "} 1")
	})
}

func grep(text, word string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// The unit that this repository ships is one that systemd accepts.
func TestSystemdUnit(t *testing.T) {
	analyze := testkit.Need(t, "systemd-analyze")
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "systemd", "etcha.service"))
	must(t, err)
	if !bytes.Contains(text, []byte("=/usr/local/bin/etcha run")) {
		t.Fatal("the unit does not start /usr/local/bin/etcha run")
	}
	unit := filepath.Join(t.TempDir(), "etcha.service")
	must(t, os.WriteFile(unit, bytes.ReplaceAll(text, []byte("/usr/local/bin/etcha"), []byte(bin)), 0o644))
	out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte(unit)) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
