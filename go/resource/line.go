package resource

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Line is a line of a text file. Each line that matches Regex, without its line
// end, is replaced by Text, in which ${1} or ${name} is what a group matched;
// other dollar signs stand for themselves. Where no line matches and none is as
// Text says, Text is appended, its groups empty. Line ends stay as they are; a
// missing last one is added before what is appended.
//
// A text that would be replaced by yet another one the next time is an error, and
// nothing is written: a change would never be done.
type Line struct {
	Path  string
	Regex string // RE2, not anchored
	Text  string // one line
}

// Check tells whether a change would change the file, or make it.
func (r Line) Check() error {
	return r.at("check line", func(p *place, has, want []byte, missing bool) error {
		switch {
		case missing:
			return differ(r.Path, "is missing")
		case !bytes.Equal(has, want):
			return differ(r.Path, "has no such line")
		}
		return nil
	})
}

// Change replaces or appends the line. A file that is missing is made.
func (r Line) Change() error {
	return r.at("change line", func(p *place, has, want []byte, missing bool) error {
		if !missing && bytes.Equal(has, want) {
			p.clean()
			return nil
		}
		info, err := p.info()
		if err != nil {
			return err
		}
		return p.write(bytes.NewReader(want), info, wanted{any: true, uid: -1, gid: -1})
	})
}

func (r Line) at(operation string, f func(p *place, has, want []byte, missing bool) error) error {
	return at(operation, r.Path, func(p *place) error {
		info, err := p.info()
		if err != nil {
			return err
		}
		var has []byte
		if info != nil {
			if !info.Mode().IsRegular() {
				return fmt.Errorf("it is %s", kind(info))
			}
			if has, err = p.read(info); err != nil {
				return err
			}
		}
		want, err := r.Apply(has)
		if err != nil {
			return err
		}
		return f(p, has, want, info == nil)
	})
}

// ErrUnsettled means that a line's text would be changed again by the same Line.
var ErrUnsettled = errors.New("the new line is matched again and would become another one")

// Apply is the content that a change makes of content. Path does not count.
func (r Line) Apply(content []byte) ([]byte, error) {
	re, err := regexp.Compile(r.Regex)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(r.Text, "\n\r\x00") {
		return nil, errors.New("the text is more than one line")
	}
	l := lineEdit{re: re, parts: templateParts(r.Text, re)}
	once := l.apply(content)
	if again := l.apply(once); !bytes.Equal(once, again) {
		return nil, ErrUnsettled
	}
	return once, nil
}

// lineEdit is a Line made ready.
type lineEdit struct {
	re    *regexp.Regexp
	parts []templatePart
}

// templatePart is text, or the number of a group when it is not negative.
type templatePart struct {
	text  string
	group int
}

// templateParts takes a text apart at the groups that re has.
func templateParts(text string, re *regexp.Regexp) []templatePart {
	var parts []templatePart
	for text != "" {
		before, rest, found := strings.Cut(text, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			return append(parts, templatePart{text: text, group: -1})
		}
		group := groupNumber(name, re)
		if group < 0 {
			before, after = before+"${", rest
		}
		if before != "" {
			parts = append(parts, templatePart{text: before, group: -1})
		}
		if group >= 0 {
			parts = append(parts, templatePart{group: group})
		}
		text = after
	}
	return parts
}

// groupNumber is the number of the group of a name or number, or -1.
func groupNumber(name string, re *regexp.Regexp) int {
	for i, known := range re.SubexpNames() {
		if name == fmt.Sprint(i) || name != "" && name == known {
			return i
		}
	}
	return -1
}

// expand is the text for a line, with the groups' places in it; nil: no match.
func (l lineEdit) expand(line []byte, groups []int) []byte {
	var out []byte
	for _, p := range l.parts {
		switch {
		case p.group < 0:
			out = append(out, p.text...)
		case groups != nil && groups[2*p.group] >= 0:
			out = append(out, line[groups[2*p.group]:groups[2*p.group+1]]...)
		}
	}
	return out
}

// present reports whether a line is as the text says, whatever its groups are.
func (l lineEdit) present(line []byte) bool {
	for i, p := range l.parts {
		if p.group >= 0 {
			rest := l.parts[i+1:]
			return len(rest) == 0 || lineEdit{parts: rest}.presentAfter(line)
		}
		var ok bool
		if line, ok = bytes.CutPrefix(line, []byte(p.text)); !ok {
			return false
		}
	}
	return len(line) == 0
}

// presentAfter is present anywhere behind a group.
func (l lineEdit) presentAfter(line []byte) bool {
	p := l.parts[0]
	last := len(l.parts) == 1
	switch {
	case p.group >= 0:
		return last || lineEdit{parts: l.parts[1:]}.presentAfter(line)
	case last:
		return bytes.HasSuffix(line, []byte(p.text))
	}
	_, rest, found := bytes.Cut(line, []byte(p.text))
	return found && lineEdit{parts: l.parts[1:]}.presentAfter(rest)
}

func (l lineEdit) apply(content []byte) []byte {
	var out []byte
	done, end := false, "\n"
	for i, line := range bytes.SplitAfter(content, []byte("\n")) {
		text, ending := cutEnd(line)
		if i == 0 && ending != "" {
			end = ending
		}
		if len(line) == 0 {
			continue // behind the last line end
		}
		if groups := l.re.FindSubmatchIndex(text); groups != nil {
			text, done = l.expand(text, groups), true
		} else if l.present(text) {
			done = true
		}
		out = append(append(out, text...), ending...)
	}
	if done {
		return out
	}
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, end...)
	}
	return append(append(out, l.expand(nil, nil)...), end...)
}

// cutEnd takes a line and its end apart.
func cutEnd(line []byte) (text []byte, end string) {
	for _, end := range []string{"\r\n", "\n"} {
		if text, ok := bytes.CutSuffix(line, []byte(end)); ok {
			return text, end
		}
	}
	return line, ""
}
