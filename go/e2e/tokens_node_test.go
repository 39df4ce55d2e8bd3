//go:build linux

package e2e

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"etcha/go/e2e/testkit"
	"etcha/go/sse"
	"etcha/go/wire"
)

// attacked is a node, those who may use it, and how its sessions are counted.
type attacked struct {
	*testkit.Node
	t          testing.TB
	alice, bob testKey // alice may use every source, bob only his own
	mark       string  // in the environment of whatever a session runs
}

// newAttacked starts a node with the sources debug (cat, or a command), fixed
// (cat, and no command), other (cat) and bob's (cat, for bob alone).
func newAttacked(t testing.TB) *attacked {
	t.Helper()
	a := &attacked{t: t, alice: newTestKey(t, "alice"), bob: newTestKey(t, "bob"), mark: "TOKENS_TEST=" + randomID()}
	name, value, _ := strings.Cut(a.mark, "=")
	shell := func(allow bool) testkit.Settings {
		return testkit.Settings{
			"command": "/bin/cat", "allowCommand": allow, "resumeFor": "1m",
			"env": testkit.Settings{name: value},
		}
	}
	a.Node = testkit.NewNode(t, bin, "127.0.0.1", testkit.Settings{
		"run": testkit.Settings{"systemMetricsKey": metricsKey},
		"sources": testkit.Settings{
			"debug": testkit.Settings{"shell": shell(true), "verifyKeys": []string{a.alice.public}},
			"fixed": testkit.Settings{"shell": shell(false), "verifyKeys": []string{a.alice.public}},
			"other": testkit.Settings{"shell": shell(true), "verifyKeys": []string{a.alice.public}},
			"bob's": testkit.Settings{"shell": shell(true), "verifyKeys": []string{a.bob.public}},
			"plain": testkit.Settings{"verifyKeys": []string{a.alice.public}},
		},
	})
	return a
}

// claims are those of an honest request to the node.
func (a *attacked) claims(source, session string, shell object) object {
	return claims(a.ID, source, session, shell)
}

// held is what must not change while requests are refused.
type held struct {
	started string // sessions, by source
	input   string // bytes, by source
	pids    []int
}

func (a *attacked) held() held {
	a.t.Helper()
	status, text := scrape(a.t, a.Node, metricsKey)
	if status != http.StatusOK {
		a.t.Fatalf("metrics: %d", status)
	}
	series := func(name string) string {
		return strings.Join(regexp.MustCompile(`(?m)^`+name+`\{.*$`).FindAllString(text, -1), "\n")
	}
	h := held{started: series("etcha_sessions_started_total"), input: series("etcha_session_input_bytes_total")}
	if h.started == "" || h.input == "" {
		a.t.Fatal("the counters of sessions are not in the metrics")
	}
	for _, p := range testkit.Processes(a.t) {
		if strings.Contains(p.Environ, a.mark) {
			h.pids = append(h.pids, p.Pid)
		}
	}
	slices.Sort(h.pids)
	return h
}

// unchanged fails the test when something was started, ended or typed since.
func (a *attacked) unchanged(t testing.TB, before held) {
	t.Helper()
	now := a.held()
	if now.started != before.started {
		t.Errorf("sessions were started:\n%s\nbefore:\n%s", now.started, before.started)
	}
	if now.input != before.input {
		t.Errorf("input was taken:\n%s\nbefore:\n%s", now.input, before.input)
	}
	if !slices.Equal(now.pids, before.pids) {
		t.Errorf("processes of sessions %v, before %v", now.pids, before.pids)
	}
}

// victim is a session that runs cat, and its stream.
type victim struct {
	a      *attacked
	opener testKey
	source string
	id     string
	events *sse.Reader
	tok    string // that opened it
}

// open opens a session of a source by an honest token.
func (a *attacked) open(key testKey, source string) *victim {
	a.t.Helper()
	c := a.claims(source, "", object{"op": "open"})
	return a.openBy(key, source, key.token(a.t, c))
}

func (a *attacked) openBy(key testKey, source, tok string) *victim {
	a.t.Helper()
	resp := openHTTP2(a.t, a.Addr, wire.PathShell(source), tok)
	a.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		a.t.Fatalf("an honest open of %s: %s", source, resp.Status)
	}
	v := &victim{a: a, opener: key, source: source, events: sse.NewReader(resp.Body), tok: tok}
	var info wire.Session
	must(a.t, json.Unmarshal([]byte(v.await(wire.EventSession)), &info))
	v.id = info.Session
	return v
}

func (v *victim) path() string { return wire.PathSession(v.source, v.id) }

// request is an honest token of the opener.
func (v *victim) request(shell object) string {
	v.a.t.Helper()
	return v.opener.token(v.a.t, v.a.claims(v.source, v.id, shell))
}

// await is the data of the next event but keepalives, which must have this name.
func (v *victim) await(name string) string {
	v.a.t.Helper()
	for {
		ev, err := v.events.Next()
		switch {
		case err != nil:
			v.a.t.Fatalf("stream of a session: %v", err)
		case ev.Name == name:
			return string(ev.Data)
		case ev.Name != wire.EventKeepalive:
			v.a.t.Fatalf("event %s (%s), want %s", ev.Name, ev.Data, name)
		}
	}
}

// echo types into the session and expects nothing else than that from it: what
// others tried was neither typed nor did it end the session.
func (v *victim) echo(text string) {
	v.a.t.Helper()
	a := byHTTP2(v.a.t, v.a.Addr, v.path(), v.request(object{"op": "input", "data": []byte(text)}))
	if !strings.Contains(a.status, "200") {
		v.a.t.Fatalf("honest input: %s", a)
	}
	var out []byte
	must(v.a.t, json.Unmarshal([]byte(`"`+v.await(wire.EventOutput)+`"`), &out))
	if string(out) != text {
		v.a.t.Errorf("the program was given %q, want %q alone", out, text)
	}
}

// close ends the session and waits for its exit.
func (v *victim) close() {
	v.a.t.Helper()
	if a := byHTTP2(v.a.t, v.a.Addr, v.path(), v.request(object{"op": "close", "seq": 1})); !strings.Contains(a.status, "200") {
		v.a.t.Fatalf("close: %s", a)
	}
	v.await(wire.EventExit)
}
