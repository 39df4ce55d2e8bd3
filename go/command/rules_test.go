package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	jsonnet "github.com/google/go-jsonnet"
)

// rule is one case of the behaviour of a list.
type rule struct {
	name string
	list string // Jsonnet
	mode Mode   // "": change
	// ran is each script that ran, in order, as path.kind.
	ran string
	// result is what Run gave: +changed -removed ?would change !failed, each with
	// its output in parentheses where there is some, then @event(output).
	result string
	err    string // part of the error; with none there must be no error
	with   func(*Options)
}

func filter(re string) func(*Options) {
	return func(o *Options) { o.Filter = regexp.MustCompile(re) }
}

func levels(l ...Level) func(*Options) { return func(o *Options) { o.Exec = l } }

func environs(env ...string) func(*Options) { return func(o *Options) { o.Environ = env } }

// recorder notes what it runs.
type recorder struct {
	Runner
	ran     []string
	scripts []Script
}

func (r *recorder) Run(ctx context.Context, s Script) (Output, error) {
	r.ran = append(r.ran, s.Path+"."+string(s.Kind))
	r.scripts = append(r.scripts, s)
	return r.Runner.Run(ctx, s)
}

func evaluate(t testing.TB, list string) []byte {
	t.Helper()
	text, err := jsonnet.MakeVM().EvaluateAnonymousSnippet("list.jsonnet", list)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

func describe(r Result) string {
	var parts []string
	with := func(sign, name, output string) {
		if output != "" {
			name += "(" + output + ")"
		}
		parts = append(parts, sign+name)
	}
	for sign, changes := range map[string][]Change{"+": r.Changed, "-": r.Removed, "?": r.WouldChange, "!": r.Failed} {
		for _, c := range changes {
			with(sign, c.Path, c.Output)
		}
	}
	order := "+-?!"
	slices.SortStableFunc(parts, func(a, b string) int { return strings.Index(order, a[:1]) - strings.Index(order, b[:1]) })
	for _, e := range r.Events {
		with("@", e.Name, e.Output)
	}
	return strings.Join(parts, " ")
}

func TestRules(t *testing.T) {
	needBash(t)
	tables := [][]rule{changeRules, checkRules, removeRules, triggerRules, groupRules, failRules, envRules, expandRules, execRules}
	count, names := 0, map[string]bool{}
	for _, table := range tables {
		for _, c := range table {
			if names[c.name] {
				t.Errorf("two cases are called %q", c.name)
			}
			names[c.name] = true
			count++
			cmds, err := Decode(evaluate(t, c.list), nil)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			l, err := Compile(cmds)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			for path, runner := range paths {
				t.Run(c.name+"/"+path, func(t *testing.T) { checkRule(t, c, l, runner(t)) })
			}
		}
	}
	if count < 120 {
		t.Errorf("only %d cases", count)
	}
}

func checkRule(t *testing.T, c rule, l *List, runner Runner) {
	r := &recorder{Runner: runner}
	var emitted []Emitted
	var events []Event
	o := Options{
		Runner: r, Environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=/home/me", "SECRET=1"},
		Emit:    func(name, output string) { emitted = append(emitted, Emitted{name, output}) },
		Observe: func(e Event) { events = append(events, e) },
	}
	if c.with != nil {
		c.with(&o)
	}
	mode := c.mode
	if mode == "" {
		mode = ModeChange
	}
	result, err := l.Run(context.Background(), mode, o)
	if got := strings.Join(r.ran, " "); got != c.ran {
		t.Errorf("ran  %s\nwant %s", got, c.ran)
	}
	if got := describe(result); got != c.result {
		t.Errorf("result %s\nwant   %s", got, c.result)
	}
	if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
		t.Errorf("error %v\nwant  %s", err, c.err)
	}
	if !slices.Equal(emitted, result.Events) {
		t.Errorf("emitted %v, result %v", emitted, result.Events)
	}
	checkEvents(t, events, result, mode)
}

// checkEvents compares what was observed with the result.
func checkEvents(t *testing.T, events []Event, r Result, mode Mode) {
	open := ""
	states := map[State]int{}
	for _, e := range events {
		switch {
		case e.Mode != mode:
			t.Errorf("event of mode %s", e.Mode)
		case !e.Finished && open == "":
			open = e.Path
		case e.Finished && open == e.Path:
			open = ""
			states[e.State]++
		default:
			t.Errorf("event %+v while %q runs", e, open)
		}
		if (e.State == StateFailed) != (e.Err != nil) {
			t.Errorf("state %s with error %v", e.State, e.Err)
		}
	}
	want := map[State]int{StateChanged: len(r.Changed), StateRemoved: len(r.Removed), StateFailed: len(r.Failed), StateWouldChange: len(r.WouldChange)}
	delete(states, StateSkipped)
	delete(states, StateUnchanged)
	maps.DeleteFunc(want, func(_ State, n int) bool { return n == 0 })
	if open != "" || !maps.Equal(states, want) {
		t.Errorf("observed %v, result %v; open %q", states, want, open)
	}
}

func TestErrorsOfScripts(t *testing.T) {
	needBash(t)
	cmds := []Command{{ID: "g", Commands: []Command{{
		ID: "a", Always: true, Change: "seq 1 40; exit 9", At: Position{"main.jsonnet", 12},
	}}}}
	l, err := Compile(cmds)
	if err != nil {
		t.Fatal(err)
	}
	result, err := l.Run(context.Background(), ModeChange, Options{})
	var s *ScriptError
	if !errors.As(err, &s) || s.Path != "g > a" || s.Exit != 9 || s.Kind != KindChange || s.At.Line != 12 {
		t.Fatalf("%#v", err)
	}
	want := "main.jsonnet:12: g > a: change: exit status 9:\n"
	for i := 31; i <= 40; i++ {
		want += fmt.Sprintln(i)
	}
	if err.Error() != strings.TrimSpace(want) {
		t.Errorf("%q", err)
	}
	if len(result.Failed) != 1 || result.Failed[0].Exit != 9 || !errors.Is(result.Failed[0].Err, s) {
		t.Errorf("%+v", result.Failed)
	}
	if text := lastLines(strings.Repeat("x", 9000) + "\n" + strings.Repeat("y", 9000)); len(text) != maxErrorText {
		t.Errorf("one long line: %d bytes", len(text))
	}
}

func TestCancelStopsTheList(t *testing.T) {
	needBash(t)
	l := mustCompile(t, `[{"id":"a","always":true,"change":"echo a","onChange":"etcha:a"},
		{"id":"b","always":true,"change":"exit 1","onFail":["c","etcha:b"]},{"id":"c","change":"true"},{"id":"d","always":true,"change":"true"}]`)
	for at := range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		seen := 0
		result, err := l.Run(ctx, ModeChange, Options{Observe: func(e Event) {
			if e.Finished {
				return
			}
			if seen == at {
				cancel()
			}
			seen++
		}})
		cancel()
		if !errors.Is(err, context.Canceled) || seen != at+1 || len(result.Changed) != min(at, 1) {
			t.Errorf("cancelled in command %d: %v, %d began, %+v", at, err, seen, result)
		}
	}
}

func TestTimeoutFailsTheCommand(t *testing.T) {
	needBash(t)
	for name, runner := range paths {
		l := mustCompile(t, `[{"id":"a","check":"sleep 60","change":"true","onFail":"etcha:a"},{"id":"b","always":true,"change":"true"}]`)
		result, err := l.Run(context.Background(), ModeChange, Options{Runner: &slow{runner(t)}, Timeout: 1})
		if !errors.Is(err, ErrTimeout) || describe(result) != "!a !b @a" {
			t.Errorf("%s: %s, %v", name, describe(result), err)
		}
	}
}

// slow starts when the time is over.
type slow struct{ Runner }

func (r *slow) Run(ctx context.Context, s Script) (Output, error) {
	<-ctx.Done()
	return r.Runner.Run(ctx, s)
}
