package pattern

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"etcha/go/command"
	"etcha/go/jsonnet"
)

// maxExpiry bounds expiresIn: what is longer is meant to be never.
const maxExpiry = 100 * 365 * 24 * time.Hour

// decoder turns a rendering's JSON into a Pattern and gathers what is wrong.
type decoder struct {
	result   *jsonnet.Result
	path     string // of the rendered file
	objects  map[string][]jsonnet.Place
	problems command.Problems
	p        Pattern
}

func decode(r *jsonnet.Result, path string) (*Pattern, error) {
	d := &decoder{result: r, path: path, objects: r.Objects("id")}
	d.all(bytes.TrimSpace(r.JSON))
	if len(d.problems) > 0 {
		slices.SortStableFunc(d.problems, func(a, b command.Problem) int {
			return cmp.Or(strings.Compare(a.At.File, b.At.File), a.At.Line-b.At.Line)
		})
		return nil, d.problems
	}
	return &d.p, nil
}

func (d *decoder) all(text []byte) {
	if len(text) > 0 && text[0] == '[' {
		d.commands("", text, &d.p.Run)
		return
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil || fields == nil {
		d.add("", "a Pattern is an object or a list of commands", "{run: [ … ]}")
		return
	}
	to := d.fields()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		raw := fields[name]
		read, ok := to[name]
		switch {
		case !ok:
			d.add(name, "unknown field", "did you mean "+nearest(name, slices.Sorted(maps.Keys(to)))+"?")
		case string(raw) != "null":
			read(name, raw)
		}
	}
}

// fields is how each field of a Pattern is read.
func (d *decoder) fields() map[string]func(name string, raw json.RawMessage) {
	p := &d.p
	return map[string]func(string, json.RawMessage){
		"audience":    d.audience,
		"build":       func(name string, raw json.RawMessage) { d.commands(name, raw, &p.Build) },
		"buildExec":   func(name string, raw json.RawMessage) { d.exec(name, raw, &p.BuildExec) },
		"buildOutput": func(name string, raw json.RawMessage) { d.text(name, raw, &p.BuildOutput) },
		"expiresIn":   d.expiresIn,
		"id":          func(name string, raw json.RawMessage) { d.text(name, raw, &p.ID) },
		"issuer":      func(name string, raw json.RawMessage) { d.text(name, raw, &p.Issuer) },
		"run":         func(name string, raw json.RawMessage) { d.commands(name, raw, &p.Run) },
		"runExec":     func(name string, raw json.RawMessage) { d.exec(name, raw, &p.RunExec) },
		"runVars":     d.runVars,
		"subject":     func(name string, raw json.RawMessage) { d.text(name, raw, &p.Subject) },
	}
}

func (d *decoder) add(field, text, fix string) {
	d.problems = append(d.problems, command.Problem{At: d.at(field), Path: field, Text: text, Fix: fix})
}

// at is the place of a member, as exactly as the source shows it.
func (d *decoder) at(names ...string) command.Position {
	if place, n := d.result.Find(names...); n > 0 {
		return command.Position{File: place.File, Line: place.Line}
	}
	return command.Position{File: d.path, Line: 1}
}

func (d *decoder) text(name string, raw json.RawMessage, to *string) {
	if json.Unmarshal(raw, to) != nil {
		d.add(name, "a string is needed", "")
	}
}

func (d *decoder) audience(name string, raw json.RawMessage) {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		d.p.Audience = []string{one}
		return
	}
	var list []*string
	if json.Unmarshal(raw, &list) != nil || slices.Contains(list, nil) {
		d.add(name, "a string or a list of strings is needed", "")
		return
	}
	for _, s := range list {
		d.p.Audience = append(d.p.Audience, *s)
	}
}

// expiresIn is seconds, or a text such as "720h".
func (d *decoder) expiresIn(name string, raw json.RawMessage) {
	var seconds float64
	var text string
	switch {
	case json.Unmarshal(raw, &seconds) == nil:
		if seconds < 0 || seconds > maxExpiry.Seconds() || seconds != math.Trunc(seconds) {
			d.add(name, fmt.Sprintf("whole seconds from 0 to %.0f are needed", maxExpiry.Seconds()), "")
			return
		}
		d.p.ExpiresIn = time.Duration(seconds) * time.Second
	case json.Unmarshal(raw, &text) == nil:
		span, err := time.ParseDuration(text)
		if err != nil || span < 0 || span > maxExpiry {
			d.add(name, fmt.Sprintf("%q is not a duration", text), `seconds, or such as "720h"`)
			return
		}
		d.p.ExpiresIn = span
	default:
		d.add(name, "seconds or a duration are needed", `3600, or "720h"`)
	}
}

func (d *decoder) runVars(name string, raw json.RawMessage) {
	if json.Unmarshal(raw, &d.p.RunVars) != nil {
		d.add(name, "an object is needed", "")
	}
}

// exec reads an exec as a command's is read, to have the same errors.
func (d *decoder) exec(name string, raw json.RawMessage, to *command.Exec) {
	one, err := json.Marshal([]map[string]json.RawMessage{{"id": json.RawMessage(`"x"`), "exec": raw}})
	if err != nil {
		d.add(name, err.Error(), "")
		return
	}
	list, err := command.Decode(one, func([]string, string) command.Position { return d.at(name) })
	var all command.Problems
	switch {
	case errors.As(err, &all):
		for _, p := range all {
			p.Path = name
			d.problems = append(d.problems, p)
		}
	case err != nil:
		d.add(name, err.Error(), "")
	case len(list) == 1 && list[0].Exec != nil:
		*to = *list[0].Exec
	}
}

func (d *decoder) commands(name string, raw json.RawMessage, to *[]command.Command) {
	if raw[0] != '[' {
		d.add(name, "a list of commands is needed", "[{id: …, change: …}]")
		return
	}
	list, err := command.Decode(raw, d.where(name))
	var all command.Problems
	switch {
	case errors.As(err, &all):
		for _, p := range all {
			if p.At.File == "" {
				p.At = d.at(name)
			}
			d.problems = append(d.problems, p)
		}
	case err != nil:
		d.add(name, err.Error(), "")
	default:
		*to = list
	}
}

// where finds a command's place by its id. Of several literals with one id, the
// first is the first command's with it, and so on.
func (d *decoder) where(name string) func([]string, string) command.Position {
	used := make(map[string]int)
	list := d.at(name)
	return func(_ []string, id string) command.Position {
		places := d.objects[id]
		if len(places) == 0 {
			return list
		}
		at := places[min(used[id], len(places)-1)]
		used[id]++
		return command.Position{File: at.File, Line: at.Line}
	}
}

// nearest is the known name that shares the most with a wrong one.
func nearest(name string, known []string) string {
	best, most := known[0], -1
	for _, k := range known {
		score := 0
		for i := range min(len(k), len(name)) {
			if strings.EqualFold(k[i:i+1], name[i:i+1]) {
				score += 2
			}
			if strings.EqualFold(k[len(k)-1-i:len(k)-i], name[len(name)-1-i:len(name)-i]) {
				score++
			}
		}
		if score -= max(len(k), len(name)) - min(len(k), len(name)); score > most {
			best, most = k, score
		}
	}
	return best
}
