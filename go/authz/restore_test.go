package authz_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// TestRestore has each change of the policy that ends a session, and those that
// do not.
func TestRestore(t *testing.T) {
	for _, c := range []struct {
		name   string
		sh     wire.Shell
		change func(*world)
		want   string // "": still permitted
	}{
		{"nothing", wire.Shell{}, func(*world) {}, ""},
		{"settings", wire.Shell{}, func(w *world) { w.source.Shell.MaxAge, w.source.Shell.Umask, w.source.Shell.Exec.WorkDir = 1, 7, "/x" }, ""},
		{"environment", wire.Shell{}, func(w *world) { w.source.Shell.Exec.Env["A"] = "b"; w.source.Shell.AcceptEnv = nil }, ""},
		{"source gone", wire.Shell{}, func(w *world) { w.source.Name = "other" }, `source "debug" is gone`},
		{"shell gone", wire.Shell{}, func(w *world) { w.source.Shell = nil }, `source "debug" has no shell any more`},
		{"key gone", wire.Shell{}, func(w *world) { w.source.Keys = w.source.Keys[:1] }, `source "debug" does not accept the opener's key any more`},
		{"process gone", wire.Shell{Process: "worker"}, func(w *world) { delete(w.source.Shell.Processes, "worker") }, `source "debug" has no process "worker" any more`},
		{"another process gone", wire.Shell{Process: "worker"}, func(w *world) { delete(w.source.Shell.Processes, "console") }, ""},
		{"user", wire.Shell{}, func(w *world) { w.source.Shell.Exec.User = "nobody" }, `source "debug" runs as another user now`},
		{"another process' user", wire.Shell{Process: "worker"}, func(w *world) { w.source.Shell.Exec.User = "nobody" }, ""},
		{"group", wire.Shell{}, func(w *world) { w.source.Shell.Exec.Group = "" }, `source "debug" runs as another group now`},
		{"a command, not allowed any more", wire.Shell{Command: "id"}, func(w *world) { w.source.Shell.AllowCommand = false }, `source "debug" does not allow commands (shell.allowCommand)`},
		{"the shell, commands not allowed any more", wire.Shell{}, func(w *world) { w.source.Shell.AllowCommand = false }, ""},
		{"another shell, where commands are allowed", wire.Shell{}, func(w *world) { w.source.Shell.Exec.Argv = []string{"/bin/rbash"} }, ""},
		{"another shell, where they are not", wire.Shell{}, func(w *world) {
			w.source.Shell.Exec.Argv, w.source.Shell.AllowCommand = []string{"/bin/rbash"}, false
		}, `source "debug" has another command now`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.sh.Op = wire.OpOpen
			g, err := w.open(c.sh)
			if err != nil {
				t.Fatal(err)
			}
			c.change(w)
			p := authz.New([]authz.Source{w.source}, nil)
			again, err := p.Restore(g.Record(), time.Time{})
			if c.want == "" {
				checkRestored(t, g, again, err)
				return
			}
			if errs.CodeOf(err) != wire.CodeDenied || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if !errors.Is(p.Permits(g.Record(), time.Time{}), err) && p.Permits(g.Record(), time.Time{}).Error() != c.want {
				t.Error("Permits and Restore differ")
			}
		})
	}
}

func checkRestored(t *testing.T, was, is authz.Grant, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if is.Starts() {
		t.Error("a restored grant starts a session")
	}
	if !reflect.DeepEqual(is.Record(), was.Record()) {
		t.Errorf("record %s became %s", recordText(t, was.Record()), recordText(t, is.Record()))
	}
	if e := is.Exec(); e.Argv != nil || e.Env != nil || is.ClientEnv() != nil {
		t.Error("a restored grant has a program")
	}
}

// TestRestoreTakesThePresentSettings: a shorter life counts for what runs, too.
func TestRestoreTakesThePresentSettings(t *testing.T) {
	w := newWorld(t)
	g, err := w.open(wire.Shell{Op: wire.OpOpen, PTY: true})
	if err != nil {
		t.Fatal(err)
	}
	w.source.Shell.MaxAge, w.source.BreakGlass = time.Minute, true
	again, err := authz.New([]authz.Source{w.source}, nil).Restore(g.Record(), time.Time{})
	if err != nil || again.Shell().MaxAge != time.Minute || !again.BreakGlass() || !again.Terminal().On {
		t.Errorf("%+v, %v", again.Shell(), err)
	}
}

func recordText(t *testing.T, r authz.Record) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRecordIsNotShown: it holds what the client sent, and is kept outside of
// this process, as JSON only. No other way of writing it gives anything away.
func TestRecordIsNotShown(t *testing.T) {
	w := newWorld(t)
	w.source.Shell.Exec.Env["A"] = "configured-canary"
	g, err := w.open(wire.Shell{Op: wire.OpOpen, Args: []string{"mysql", "-pcanary"}, Env: map[string]string{"LANG": "canary"}})
	if err != nil {
		t.Fatal(err)
	}
	rec := g.Record()
	if text := recordText(t, rec); strings.Contains(text, "configured-canary") || !strings.Contains(text, "-pcanary") {
		t.Errorf("%s", text)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "record", rec)
	for _, text := range []string{fmt.Sprintf("%v", rec), fmt.Sprintf("%+v", rec), fmt.Sprintf("%#v", rec), fmt.Sprintf("%s", &rec), log.String()} {
		if strings.Contains(text, "canary") || !strings.Contains(text, "debug") {
			t.Errorf("shown as %s", text)
		}
	}
	var back authz.Record
	if err := json.Unmarshal([]byte(recordText(t, rec)), &back); err != nil || !reflect.DeepEqual(back, rec) {
		t.Errorf("%s, %v", recordText(t, back), err)
	}
}

func TestZeroGrantStartsNothing(t *testing.T) {
	if (authz.Grant{}).Starts() {
		t.Error("the zero grant starts a session")
	}
}

// FuzzRestore: a record that was tampered with restores nothing that the policy
// would not give, and never panics.
func FuzzRestore(f *testing.F) {
	k, err := token.Generate("ed25519", "alice")
	if err != nil {
		f.Fatal(err)
	}
	p := authz.New([]authz.Source{{Name: "debug", Keys: []token.PublicKey{k.Public()}, Shell: &authz.Shell{Exec: authz.Exec{User: "operator"}}}}, nil)
	g, err := p.Open(authz.Identity{Key: k.Public(), Addr: netip.MustParseAddr("::1")}, wire.Claims{Source: "debug", Shell: &wire.Shell{Op: wire.OpOpen}}, authz.Context{})
	if err != nil {
		f.Fatal(err)
	}
	b, err := json.Marshal(g.Record())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"source":"debug","key":"x","addr":"1.2.3.4"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var rec authz.Record
		if json.Unmarshal(b, &rec) != nil {
			return
		}
		g, err := p.Restore(rec, time.Time{})
		if err != nil {
			return
		}
		if g.Starts() || !g.Identity().Key.Equal(k.Public()) || g.Source() != "debug" || g.Exec().User != "operator" || g.Record().Command {
			t.Errorf("restored %+v", g.Record())
		}
	})
}
