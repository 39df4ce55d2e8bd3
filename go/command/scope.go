package command

import (
	"slices"
	"time"
)

// inherited is what a group passes to its children.
type inherited struct {
	triggered bool // the group is a target
	stopped   bool // a sibling of the group failed: only what is always
	handling  bool // the group is a target of onFail: children run their change
}

// summary is what happened inside a scope.
type summary struct {
	changed, removed, failed bool
	outputs                  []string
}

func (s *summary) add(o summary) {
	s.changed = s.changed || o.changed
	s.removed = s.removed || o.removed
	s.failed = s.failed || o.failed
	s.outputs = append(s.outputs, o.outputs...)
}

// scope is one list of siblings while it runs.
type scope struct {
	*run
	inherited
	nodes     []*node
	triggered map[int]bool
	handled   map[int]bool // run by onFail already
	summary   summary
}

// scope runs siblings in the order of the mode.
func (r *run) scope(nodes []*node, from inherited) summary {
	s := &scope{run: r, inherited: from, nodes: nodes, triggered: map[int]bool{}, handled: map[int]bool{}}
	order := slices.Clone(nodes)
	if s.direction() == ModeRemove {
		slices.Reverse(order)
	}
	for _, n := range order {
		if r.ctx.Err() != nil {
			s.summary.failed = true
			break
		}
		if s.handled[n.index] || s.stopped && !n.group() && !n.Always {
			continue
		}
		// Once stopped, triggers count no more: what runs then runs because it is always.
		s.visit(n, !s.stopped && (s.inherited.triggered || s.triggered[n.index]), s.handling)
	}
	return s.summary
}

// direction is the mode of the scope: targets of onFail run their change in
// remove mode too.
func (s *scope) direction() Mode {
	if s.handling {
		return ModeChange
	}
	return s.mode
}

// visit runs a command or group and what follows from it.
func (s *scope) visit(n *node, triggered, handling bool) {
	var o summary
	if n.group() {
		o = s.run.scope(n.children, inherited{triggered: triggered, stopped: s.stopped && !triggered, handling: handling})
	} else if s.Filter == nil || s.Filter.MatchString(n.path) {
		mode := s.mode
		if handling {
			mode = ModeChange
		}
		o = s.leaf(n, mode, triggered)
	}
	s.summary.add(o)
	output := joined(o.outputs)
	if o.changed {
		s.fire(n.onChange, output)
	}
	if o.removed {
		s.fire(n.onRemove, output)
	}
	if o.failed && s.mode != ModeCheck && s.ctx.Err() == nil {
		s.stopped = true
		s.fail(n, output)
	}
}

func joined(outputs []string) string {
	text := ""
	for _, o := range outputs {
		if text != "" && o != "" {
			text += "\n"
		}
		text += o
	}
	if len(text) > MaxOutput {
		text = text[len(text)-MaxOutput:]
	}
	return text
}

// fire marks siblings as triggered and records events. Check mode has none: they
// tell of changes that were made.
func (s *scope) fire(t targets, output string) {
	for _, i := range t.siblings {
		s.triggered[i] = true
	}
	if s.mode != ModeCheck {
		s.emit(t.events, output)
	}
}

// fail does what a failed command asks for: its events, then its targets.
func (s *scope) fail(n *node, output string) {
	s.emit(n.onFail.events, output)
	for _, i := range n.onFail.siblings {
		if s.handled[i] || s.ctx.Err() != nil {
			continue
		}
		s.handled[i] = true
		s.visit(s.nodes[i], true, true)
	}
}

// leaf runs one command.
func (s *scope) leaf(n *node, mode Mode, triggered bool) summary {
	l := &leaf{run: s.run, node: n, mode: mode, began: s.Now(), outcome: outcome{map[Kind]bool{}, map[Kind]string{}}}
	s.observe(Event{Path: n.path, ID: n.ID, At: n.At, Mode: s.mode})
	o := l.do(triggered)
	s.env.finished(l.outcome)
	return o
}

func (r *run) observe(e Event) {
	if r.Observe != nil {
		r.Observe(e)
	}
}

// leaf is one command while it runs.
type leaf struct {
	*run
	*node
	mode    Mode
	began   time.Time
	outcome outcome
	last    Output
}

func (l *leaf) do(triggered bool) summary {
	passed, err := false, error(nil)
	if l.Check != "" {
		if passed, err = l.script(KindCheck, l.Check); err != nil {
			return l.failed(err)
		}
	} else {
		l.env.publish(l.EnvPrefix, l.outcome)
	}
	kind, text := KindChange, l.Change
	due := l.Always || triggered || l.Check != "" && !passed
	if l.mode == ModeRemove {
		kind, text = KindRemove, l.Remove
		due = l.Always || triggered || passed
	}
	switch {
	case !due || text == "":
		state := StateUnchanged
		if l.Check == "" {
			state = StateSkipped
		}
		l.done(state, nil)
		return summary{}
	case l.mode == ModeCheck:
		l.result.WouldChange = append(l.result.WouldChange, l.done(StateWouldChange, nil))
		return summary{changed: true}
	}
	return l.apply(kind, text)
}

// apply runs the change or remove.
func (l *leaf) apply(kind Kind, text string) summary {
	ok, err := l.script(kind, text)
	switch {
	case err != nil:
		return l.failed(err)
	case !ok:
		return l.failed(&ScriptError{Path: l.path, At: l.At, Kind: kind, Exit: l.last.Exit, Last: lastLines(l.last.Text)})
	case kind == KindRemove:
		l.result.Removed = append(l.result.Removed, l.done(StateRemoved, nil))
		return summary{removed: true, outputs: []string{l.last.Text}}
	}
	l.result.Changed = append(l.result.Changed, l.done(StateChanged, nil))
	return summary{changed: true, outputs: []string{l.last.Text}}
}

// script runs one of the command's scripts and publishes what it did.
func (l *leaf) script(kind Kind, text string) (ok bool, err error) {
	l.last, err = l.run.script(l.node, kind, text)
	ok = err == nil && l.last.Exit == 0
	l.outcome.did[kind], l.outcome.out[kind] = ok, l.last.Text
	l.env.publish(l.EnvPrefix, l.outcome)
	return ok, err
}

func (l *leaf) failed(err error) summary {
	l.errs = append(l.errs, err)
	c := l.done(StateFailed, err)
	c.Err = err
	l.result.Failed = append(l.result.Failed, c)
	return summary{failed: true, outputs: []string{l.last.Text}}
}

// done tells the observer and describes what happened.
func (l *leaf) done(state State, err error) Change {
	took := l.Now().Sub(l.began)
	l.observe(Event{
		Path: l.path, ID: l.ID, At: l.At, Mode: l.run.mode, Finished: true,
		State: state, Duration: took, Output: l.last.Text, Err: err,
	})
	return Change{Path: l.path, ID: l.ID, At: l.At, Output: l.last.Text, Exit: l.last.Exit, Duration: took}
}
