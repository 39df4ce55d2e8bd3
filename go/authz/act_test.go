package authz_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// TestOpenAsksTheRule has each word of the language.
func TestOpenAsksTheRule(t *testing.T) {
	for text, want := range map[string]bool{
		`op == "open" && own && key == opener`:    true,
		`key.id == "alice"`:                       true,
		`key.id == "bob"`:                         false,
		`key.thumbprint startsWith "SHA256:"`:     true,
		`sub == "alice's label"`:                  true,
		`inCIDR(addr, "10.0.0.0/8")`:              true,
		`source == "debug" && process == "top"`:   true,
		`command == "kill -9 'a b'"`:              true,
		`args == ["kill", "-9", "a b"]`:           true,
		`pty && !detach`:                          true,
		`env.TICKET == "OPS-1"`:                   true,
		`"LD_PRELOAD" in env || "HOME" in env`:    false,
		`labels.stage == "prod"`:                  true,
		`hour() == 12 && weekday() == "Thursday"`: true,
		`args[7] == ""`:                           false,
	} {
		m := newTeam(t, "alice", "bob")
		m.source.Shell.Rule = compile(t, text)
		sh := wire.Shell{
			Process: "top", Command: "kill -9 'a b'", PTY: true,
			Env: map[string]string{"TICKET": "OPS-1", "LD_PRELOAD": "x", "HOME": "/"},
		}
		g, err := m.open("alice", sh)
		if want && (err != nil || !g.Starts()) {
			t.Errorf("%s: %v", text, err)
		}
		if !want {
			refused(t, err, wire.CodeDenied, `denied by the rule of source "debug" (shell.rule)`)
		}
		if g.Starts() != want {
			t.Errorf("%s: the grant starts a session: %v", text, g.Starts())
		}
	}
}

// TestRuleSeesWhatRuns: whatever way a client asks for the source's own shell,
// or for a command, the rule sees the same.
func TestRuleSeesWhatRuns(t *testing.T) {
	for _, c := range []struct {
		rule string
		sh   wire.Shell
	}{
		{`process == "" && command == "" && args == ["/bin/bash", "-l"]`, wire.Shell{}},
		{`process == "" && command == "" && args == ["/bin/bash", "-l"]`, wire.Shell{Process: "shell"}},
		{`process == "" && command == "" && args == ["/bin/bash", "-l"]`, wire.Shell{Process: "web"}},
		{`process == "top" && command == "" && args == ["/usr/bin/top"]`, wire.Shell{Process: "top"}},
		{`command == "id -u" && args == ["id", "-u"]`, wire.Shell{Args: []string{"id", "-u"}}},
		{`command == "id  -u" && args == ["id", "-u"]`, wire.Shell{Command: "id  -u"}},
		{`!pty && len(env) == 0`, wire.Shell{Cols: 80}},
	} {
		m := newTeam(t, "alice")
		m.source.Shell.Rule = compile(t, c.rule)
		g, err := m.open("alice", c.sh)
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		// The same once more, of what the keeper remembers.
		if err := m.policy().Permits(overJSON(t, g.Record()), m.now); err != nil {
			t.Errorf("%s: of the record: %v", c.rule, err)
		}
	}
}

func overJSON(t *testing.T, rec authz.Record) (back authz.Record) {
	t.Helper()
	if err := json.Unmarshal([]byte(recordText(t, rec)), &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// TestRuleErrorIsForTheLog: the public text does not say that the rule failed,
// the error for the log does.
func TestRuleErrorIsForTheLog(t *testing.T) {
	m := newTeam(t, "alice")
	m.source.Shell.Rule = compile(t, `args[9] == "x"`)
	_, err := m.open("alice", wire.Shell{})
	refused(t, err, wire.CodeDenied, "evaluate rule: at 1:5")
	var e *errs.Error
	if !asError(err, &e) || strings.Contains(e.Text, "evaluate") {
		t.Errorf("public text %q", e.Text)
	}
}

func TestDetach(t *testing.T) {
	m := newTeam(t, "alice")
	_, err := m.open("alice", wire.Shell{Detach: true})
	refused(t, err, wire.CodeDenied, "shell.detachFor")
	if !strings.Contains(errs.HintOf(err), "shell.detachFor") {
		t.Errorf("hint %q", errs.HintOf(err))
	}
	m.source.Shell.DetachFor = 12 * time.Hour
	g, err := m.open("alice", wire.Shell{Detach: true})
	if err != nil || !g.Detach() || g.Shell().ResumeFor != 12*time.Hour || g.Shell().DetachFor != 12*time.Hour {
		t.Errorf("%v, %v, %v", g.Detach(), g.Shell().ResumeFor, err)
	}
	again, err := m.policy().Restore(overJSON(t, g.Record()), m.now)
	if err != nil || !again.Detach() || again.Shell().ResumeFor != 12*time.Hour {
		t.Errorf("restored: %v, %v, %v", again.Detach(), again.Shell().ResumeFor, err)
	}
	plain, err := m.open("alice", wire.Shell{})
	if err != nil || plain.Detach() || plain.Shell().ResumeFor != time.Minute {
		t.Errorf("not to be left: %v, %v, %v", plain.Detach(), plain.Shell().ResumeFor, err)
	}
	m.source.Shell.DetachFor = 0
	refused(t, m.policy().Permits(g.Record(), m.now), wire.CodeDenied, "shell.detachFor")
	if err := m.policy().Permits(plain.Record(), m.now); err != nil {
		t.Errorf("a session not to be left: %v", err)
	}
}

// TestRestoreAsksTheRule again, as for opening, of the opener then.
func TestRestoreAsksTheRule(t *testing.T) {
	m := newTeam(t, "alice")
	g, err := m.open("alice", wire.Shell{Command: "make all", PTY: true, Env: map[string]string{"TICKET": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	rec := overJSON(t, g.Record())
	for text, want := range map[string]bool{
		`op == "open" && own`: true, `command == "make all" && args[1] == "all"`: true, `env.TICKET == "1"`: true, `pty`: true,
		`addr == "10.0.0.7" && sub == "alice's label" && key.id == "alice"`: true, `hour() == 12`: true,
		`hour() == 13`: false, `key.id == "bob"`: false, `args[2] == ""`: false,
	} {
		m.source.Shell.Rule = compile(t, text)
		err := m.policy().Permits(rec, m.now)
		if want && err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if !want {
			refused(t, err, wire.CodeDenied, "(shell.rule)")
		}
	}
	m.source.Shell.Rule, m.source.Shell.Require = compile(t, "true"), 2
	if err := m.policy().Permits(rec, m.now); err != nil {
		t.Errorf("counter-signatures are asked for again: %v", err)
	}
}

// TestOlderRecord: one that was written before there were rules.
func TestOlderRecord(t *testing.T) {
	m := newTeam(t, "alice", "bob")
	g, err := m.open("alice", wire.Shell{Command: "make all"})
	if err != nil {
		t.Fatal(err)
	}
	rec := g.Record()
	rec.Whole, rec.Line, rec.Args, rec.Env = false, "", nil, nil
	if text := recordText(t, rec); strings.Contains(text, "whole") || strings.Contains(text, "line") {
		t.Fatalf("%s is not what an older version wrote", text)
	}
	if _, err := m.policy().Restore(rec, m.now); err != nil {
		t.Errorf("without a rule: %v", err)
	}
	if err := m.policy().Act(m.identity("alice"), wire.OpAttach, rec, m.context()); err != nil {
		t.Errorf("attach without a rule: %v", err)
	}
	m.source.Shell.Share = compile(t, "true")
	if err := m.policy().Act(m.identity("alice"), wire.OpAttach, rec, m.context()); err != nil {
		t.Errorf("attach to the own one: %v", err)
	}
	refused(t, m.policy().Act(m.identity("bob"), wire.OpAttach, rec, m.context()), wire.CodeDenied, "kept too little")
	m.source.Shell.Rule = compile(t, `command == ""`)
	refused(t, m.policy().Permits(rec, m.now), wire.CodeDenied, "kept too little")
	refused(t, m.policy().Act(m.identity("alice"), wire.OpAttach, rec, m.context()), wire.CodeDenied, "kept too little")
}

// TestTamperedRecord: what does not fit together decides nothing.
func TestTamperedRecord(t *testing.T) {
	m := newTeam(t, "alice")
	g, err := m.open("alice", wire.Shell{Command: "rm -rf x"})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*authz.Record){
		"another line": func(r *authz.Record) { r.Line = "ls" },
		"no line":      func(r *authz.Record) { r.Line = "" },
		"open quote":   func(r *authz.Record) { r.Line = "'" },
		"other args":   func(r *authz.Record) { r.Line, r.Args = "", []string{"ls"} },
		"no key":       func(r *authz.Record) { r.Key = "x" },
	} {
		rec := g.Record()
		change(&rec)
		if _, err := m.policy().Restore(rec, m.now); err == nil {
			t.Errorf("%s: restored", name)
		}
		if err := m.policy().Act(m.identity("alice"), wire.OpAttach, rec, m.context()); err == nil {
			t.Errorf("%s: acted on", name)
		}
	}
}

func TestRecordIsBounded(t *testing.T) {
	m := newTeam(t, "alice")
	_, err := m.open("alice", wire.Shell{Command: "echo " + strings.Repeat("<", 60<<10)})
	refused(t, err, wire.CodeTooLarge, "the limit is 245760")
	if _, err := m.open("alice", wire.Shell{Command: "echo " + strings.Repeat("x", 200<<10)}); err != nil {
		t.Errorf("a long command: %v", err)
	}
}

// ops are what may be done with a session that runs.
func ops() []wire.Op {
	return []wire.Op{wire.OpAttach, wire.OpList, wire.OpWatch, wire.OpJoin, wire.OpKill}
}

func TestAct(t *testing.T) {
	for _, c := range []struct {
		name        string
		rule, share string
		who         string
		permitted   string // ops, by blanks
		text        string // of the refusals
	}{
		{"the own one", "", "", "alice", "attach list watch join kill", ""},
		{"the own one by the rule", `op != "kill"`, "", "alice", "attach list watch join", "(shell.rule)"},
		{"the own one needs no share", "", "false", "alice", "attach list watch join kill", ""},
		{"another's without share", "", "", "bob", "", "(shell.share)"},
		{"another's, with a rule for opening alone", "true", "", "bob", "", "(shell.share)"},
		{"another's by share", "", `op in ["list", "watch"]`, "bob", "list watch", "the share rule of source"},
		{"another's by both", `key.id != "bob" || op != "watch"`, `op in ["list", "watch"]`, "bob", "list", ""},
		{"who opened it", "", `opener.id == "alice" && key.id == "bob" && !own`, "bob", "attach list watch join kill", ""},
		{"what it was opened with", "", `command startsWith "make" && args[0] == "make" && env.TICKET == "1" && pty`, "bob", "attach list watch join kill", ""},
		{"a share that fails", "", `args[9] == "x"`, "bob", "", "(shell.share)"},
		{"the joiner's address", `addr == "10.0.0.7"`, `sub == "bob's label"`, "bob", "attach list watch join kill", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newTeam(t, "alice", "bob")
			g, err := m.open("alice", wire.Shell{Command: "make all", PTY: true, Env: map[string]string{"TICKET": "1"}})
			if err != nil {
				t.Fatal(err)
			}
			if c.rule != "" {
				m.source.Shell.Rule = compile(t, c.rule)
			}
			if c.share != "" {
				m.source.Shell.Share = compile(t, c.share)
			}
			for _, op := range ops() {
				err := m.policy().Act(m.identity(c.who), op, overJSON(t, g.Record()), m.context())
				if strings.Contains(c.permitted, string(op)) {
					if err != nil {
						t.Errorf("%s: %v", op, err)
					}
					continue
				}
				refused(t, err, wire.CodeDenied, c.text)
			}
		})
	}
}

// TestActRefuses what is nothing of its business, whatever the rules say.
func TestActRefuses(t *testing.T) {
	m := newTeam(t, "alice")
	g, err := m.open("alice", wire.Shell{})
	if err != nil {
		t.Fatal(err)
	}
	m.source.Shell.Share, m.source.Shell.Rule = compile(t, "true"), compile(t, "true")
	p := m.policy()
	for _, op := range []wire.Op{wire.OpOpen, wire.OpInput, wire.OpSources, ""} {
		refused(t, p.Act(m.identity("alice"), op, g.Record(), m.context()), wire.CodeBadRequest, "not one on a session")
	}
	refused(t, p.Act(m.identity("stranger"), wire.OpWatch, g.Record(), m.context()), wire.CodeNotFound, "not found")
	m.source.Shell = nil
	refused(t, m.policy().Act(m.identity("alice"), wire.OpWatch, g.Record(), m.context()), wire.CodeNotFound, "not found")
}

// TestProcessThatIsGone is not taken for the source's own shell.
func TestProcessThatIsGone(t *testing.T) {
	m := newTeam(t, "alice")
	g, err := m.open("alice", wire.Shell{Process: "top"})
	if err != nil {
		t.Fatal(err)
	}
	m.source.Shell.Processes = nil
	m.source.Shell.Rule = compile(t, `process == ""`)
	refused(t, m.policy().Act(m.identity("alice"), wire.OpAttach, g.Record(), m.context()), wire.CodeDenied, "(shell.rule)")
}

// TestOwnWhateverTheID: a key that got another ID in the configuration still
// owns what it opened.
func TestOwnWhateverTheID(t *testing.T) {
	m := newTeam(t, "alice")
	g, err := m.open("alice", wire.Shell{})
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(m.keys["alice"].Public().String(), "ed25519public:"), ":")
	renamed, err := token.ParsePublic("ed25519public:" + text + ":alice2")
	if err != nil {
		t.Fatal(err)
	}
	m.source.Keys = []token.PublicKey{renamed}
	id := m.identity("alice")
	id.Key = renamed
	if err := m.policy().Act(id, wire.OpAttach, g.Record(), m.context()); err != nil {
		t.Error(err)
	}
	// Rules are asked by the present name, of a session of before and of somebody
	// who came before.
	id.Key = m.keys["alice"].Public()
	for text, want := range map[string]bool{`key.id == "alice"`: false, `opener.id == "alice"`: false, `key.id == "alice2" && opener.id == "alice2"`: true} {
		m.source.Shell.Rule = compile(t, text)
		if err := m.policy().Permits(g.Record(), m.now); (err == nil) != want {
			t.Errorf("%s permits the session: %v", text, err)
		}
		if err := m.policy().Act(id, wire.OpWatch, g.Record(), m.context()); (err == nil) != want {
			t.Errorf("%s permits to watch: %v", text, err)
		}
	}
}

func TestSources(t *testing.T) {
	m := newTeam(t, "alice", "bob")
	m.source.Shell.Rule = compile(t, `key.id == "alice" && args[0] == "/bin/bash" && command == ""`)
	m.source.Shell.Record, m.source.Shell.Obscure, m.source.Shell.Require, m.source.Shell.DetachFor = "full", wire.ObscureChaff, 2, time.Hour
	m.source.BreakGlass = true
	p := authz.New([]authz.Source{
		m.source,
		{Name: "bare", Keys: m.source.Keys},
		{Name: "other", Keys: []token.PublicKey{m.keys["stranger"].Public()}, Shell: m.source.Shell},
	}, nil)
	want := `[{"source":"bare"},{"source":"debug","shell":true,"processes":["top"],"command":true,"detach":true,"recording":"full","obscure":"chaff","require":2,"breakGlass":true}]`
	if got := jsonText(t, p.Sources(m.identity("alice"), m.context())); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	list := p.Sources(m.identity("bob"), m.context())
	if len(list) != 2 || list[1].Denied != `denied by the rule of source "debug" (shell.rule)` {
		t.Errorf("%+v", list)
	}
	if list := p.Sources(authz.Identity{}, m.context()); list != nil {
		t.Errorf("without a key: %+v", list)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
