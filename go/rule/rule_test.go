package rule_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"etcha/go/rule"
)

// thursday is 19:30 in a place with its own time.
func thursday() time.Time {
	return time.Date(2026, time.January, 15, 19, 30, 0, 0, time.FixedZone("here", 5*3600))
}

func env() rule.Env {
	return rule.Env{
		Op: "open", Key: rule.Key{ID: "alice", Thumbprint: "SHA256:a"}, Sub: "on call", Addr: "10.1.2.3", Source: "debug",
		Process: "top", Command: "systemctl restart app", Args: []string{"systemctl", "restart", "app"}, PTY: true,
		Env: map[string]string{"LANG": "C", "TICKET": "OPS-17"}, Labels: map[string]string{"stage": "prod"}, Own: true,
		Opener: rule.Key{ID: "alice", Thumbprint: "SHA256:a"}, Now: thursday(),
	}
}

func TestTrue(t *testing.T) {
	for text, want := range map[string]bool{
		"true":                                    true,
		"false":                                   false,
		`key.id == "alice"`:                       true,
		`key.id in ["bob", "carol"]`:              false,
		`key.thumbprint == "SHA256:a"`:            true,
		`sub contains "call"`:                     true,
		`source == "debug" and process == ""`:     false,
		`op in ["open", "attach"] && own`:         true,
		`key == opener`:                           true,
		`pty && !detach`:                          true,
		`labels.stage == "prod"`:                  true,
		`labels.none == ""`:                       true,
		`"stage" in labels`:                       true,
		`env.TICKET matches "^OPS-[0-9]+$"`:       true,
		`command startsWith "systemctl "`:         true,
		`command matches "^rm "`:                  false,
		`args[0] == "systemctl"`:                  true,
		`any(args, # == "restart")`:               true,
		`all(args, len(#) < 5)`:                   false,
		`glob(command, "systemctl restart *")`:    true,
		`glob(command, "systemctl")`:              false,
		`glob("a/b", "a?b")`:                      true,
		`glob("é", "?")`:                          true,
		`glob("", "*")`:                           true,
		`glob("abcabd", "*ab?")`:                  true,
		`glob("abc", "a*d")`:                      false,
		`glob("", "")`:                            true,
		`glob("x", "")`:                           false,
		`inCIDR(addr, "10.0.0.0/8")`:              true,
		`inCIDR(addr, "10.9.0.0/16", "10.1.2.3")`: true,
		`inCIDR(addr, "192.0.2.0/24", "::/0")`:    false,
		`inCIDR("::ffff:10.1.2.3", "10.0.0.0/8")`: true,
		`inCIDR("fe80::1%eth0", "fe80::/10")`:     true,
		`inCIDR("2001:db8::1", "2001:db8::/32")`:  true,
		`hour() == 19`:                            true,
		`hour() in 8..17`:                         false,
		`now.Hour() >= 8`:                         true,
		`weekday() == "Thursday"`:                 true,
		`weekday() not in ["Saturday", "Sunday"]`: true,
		`now.UTC().Hour() == 14`:                  true,
		`now > date("2026-01-01")`:                true,
		`let quiet = hour() >= 19; quiet`:         true,
		`pty ? own : false`:                       true,
	} {
		r, err := rule.Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := r.True(env()); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", text, got, err, want)
		}
		if r.String() != text {
			t.Errorf("%q became %q", text, r)
		}
	}
}

// TestCompileErrors is what an administrator reads.
func TestCompileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "the rule is empty",
		" \n":                          "the rule is empty",
		`kye.id == "x"`:                `at 1:1: unknown word "kye"; did you mean key?`,
		`key.idd == "x"`:               `at 1:5: unknown word "idd"; did you mean id?`,
		"pty &&\n  detatch":            `at 2:3: unknown word "detatch"; did you mean detach?`,
		`incidr(addr, "10.0.0.0/8")`:   `at 1:1: unknown word "incidr"; did you mean inCIDR?`,
		`labels.a.b == ""`:             `at 1:10: a text has no "b"`,
		`now.Wekday() == 1`:            `at 1:5: a time has no "Wekday"`,
		`now() > date("2026-01-01")`:   `at 1:1: this is not a function`,
		`key.id`:                       `the rule gives a text; it must be true or false`,
		`first(args)`:                  `the rule gives a text; it must be true or false`,
		`key.id == `:                   `at 1:10: the rule ends too early`,
		`op in ["open"`:                `at 1:13: the rule ends too early`,
		`pty pty`:                      `at 1:5: "pty" is not expected here`,
		`pty == "x"`:                   `at 1:5: == does not go with true or false and a text`,
		`pty && hour()`:                `at 1:5: && does not go with true or false and a number`,
		`!command`:                     `at 1:1: ! does not go with a text`,
		`command matches "("`:          "at 1:9: error parsing regexp: missing closing ): `(`",
		`command matches env.PATTERN`:  `at 1:9: the pattern of matches must be written out, in quotes`,
		`inCIDR(addr)`:                 `at 1:1: inCIDR needs an address and a network: inCIDR(addr, "10.0.0.0/8")`,
		`inCIDR(addr, "10.0.0/8")`:     `at 1:14: not a network such as 10.0.0.0/8`,
		`inCIDR(addr, "fe80::1%eth0")`: `at 1:14: not a network such as 10.0.0.0/8`,
		// It would contain no address, and a rule with "not" before it let everybody in.
		`!inCIDR(addr, "::ffff:10.0.0.0/104")`:                 `at 1:15: not a network such as 10.0.0.0/8`,
		`all(args, any(args, true))`:                           `at 1:21: a loop within a loop takes too long`,
		`$env["op"] == ""`:                                     `at 1:1: unknown word "$env"; did you mean env?`,
		`repeat("a", 9) == ""`:                                 `at 1:1: unknown word "repeat"; the nearest known one is upper`,
		`toJSON(env) == ""`:                                    `at 1:1: unknown word "toJSON"; the nearest known one is own`,
		strings.Repeat("!", 9<<10):                             `the rule has 9216 bytes; the limit is 8192`,
		strings.TrimSuffix(strings.Repeat("pty&&", 600), "&&"): `the rule is too large`,
	} {
		_, err := rule.Compile(text)
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

// TestFailureIsNo: what cannot be evaluated permits nothing, and its error has
// the place and no value.
func TestFailureIsNo(t *testing.T) {
	e := env()
	e.Addr, e.Args, e.Env = "canary", nil, map[string]string{"X": "canary"}
	for text, want := range map[string]string{
		`args[0] == "x"`:                                  "evaluate rule: at 1:5: there is no value for this",
		`pty || args[3] == ""`:                            "",
		`int(env.X) > 3`:                                  "evaluate rule: at 1:1: there is no value for this",
		`date(env.X) > now`:                               "evaluate rule: at 1:1: there is no value for this",
		`!inCIDR(addr, "10.0.0.0/8")`:                     "evaluate rule: at 1:2: inCIDR: the first argument is not an address",
		`inCIDR("10.0.0.1", env.X)`:                       "evaluate rule: at 1:1: inCIDR: not a network such as 10.0.0.0/8",
		`now.In(timezone(env.X)) == now`:                  "evaluate rule: at 1:8: there is no value for this",
		`len(filter(1..1000000, # > 0)) > 0`:              "evaluate rule: at 1:13: it makes lists that are too long",
		`count(1..999, true) + count(1..99999, true) > 0`: "evaluate rule: at 1:30: it makes lists that are too long",
	} {
		r, err := rule.Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := r.True(e)
		if want == "" {
			if !got || err != nil {
				t.Errorf("%s: %v, %v", text, got, err)
			}
			continue
		}
		if got || err == nil || err.Error() != want {
			t.Errorf("%s is %v, %v; want %s", text, got, err, want)
		}
	}
	var none *rule.Rule
	if yes, err := none.True(e); yes || err == nil {
		t.Errorf("no rule is %v, %v", yes, err)
	}
}

// TestRulesOfTheGuide: what the guide shows compiles.
func TestRulesOfTheGuide(t *testing.T) {
	page, err := os.ReadFile("../../docs/guides/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?:rule|share): '([^']+)'`).FindAllStringSubmatch(string(page), -1)
	if len(found) < 5 {
		t.Errorf("%d rules were found", len(found))
	}
	for _, m := range found {
		if _, err := rule.Compile(m[1]); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
	}
}

// TestRulesAreShared: one rule, many sessions at once, nothing kept in between.
func TestRulesAreShared(t *testing.T) {
	r, err := rule.Compile(`any(args, # == key.id) && glob(command, key.id + "*")`)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			e := env()
			e.Key.ID = fmt.Sprintf("k%d", i)
			for j := range 100 {
				e.Args = []string{fmt.Sprintf("k%d", j%8)}
				e.Command = e.Args[0] + " x"
				if got, err := r.True(e); err != nil || got != (j%8 == i) {
					t.Errorf("key %d, command %d: %v, %v", i, j%8, got, err)
				}
			}
		})
	}
	all.Wait()
}

// FuzzRule: no text makes the compiler panic, and no rule that compiles does, or
// changes what it is asked about.
func FuzzRule(f *testing.F) {
	for _, s := range []string{`key.id == "x"`, `inCIDR(addr, "::/0")`, `all(args, # matches "a")`, `hour() in 1..3`, `let x = now; x < date("2026-01-01")`, `args[1:2][0] == env["X"]`, "{", `"\u00`, `glob(command, "*a*")`, `1 ?? 2`} {
		f.Add(s, "a b")
	}
	f.Fuzz(func(t *testing.T, text, command string) {
		r, err := rule.Compile(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") && !strings.Contains(text, "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		e := env()
		e.Command, e.Args = command, strings.Fields(command)
		args := strings.Join(e.Args, "\x00")
		if yes, err := r.True(e); yes && err != nil {
			t.Errorf("%q is true and an error: %v", text, err)
		}
		if strings.Join(e.Args, "\x00") != args || e.Env["LANG"] != "C" || len(e.Env) != 2 {
			t.Errorf("%q has changed what it was asked about", text)
		}
	})
}
