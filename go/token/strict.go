package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a token's JSON.
const maxDepth = 32

// What a strict reader refuses beside JSON that is malformed.
var (
	errDuplicate = errors.New("duplicate member")
	errCase      = errors.New("member differs from a known one in case only")
	errDeep      = errors.New("nested too deep")
	errTrailing  = errors.New("something behind the value")
	errUTF8      = errors.New("not UTF-8")
	errSyntax    = errors.New("malformed JSON")
	errNoObject  = errors.New("not an object")
)

// scanner walks JSON once. It refuses what readers of JSON disagree about and
// leaves the grammar of numbers to the decoder that follows.
type scanner struct {
	b     []byte
	i     int
	depth int
	long  span // of the string at schema.long, when it has no escapes
}

// span is where a string's content is in the JSON; the zero value is none.
type span struct{ from, to int }

// checkObject refuses JSON that is not one object, has duplicate members or
// members that encoding/json would match to a field of another case, is not
// UTF-8 or is nested deeper than maxDepth.
func checkObject(b []byte, s *schema) (span, error) {
	sc := scanner{b: b}
	sc.space()
	if sc.peek() != '{' {
		return span{}, errNoObject
	}
	if err := sc.value(s); err != nil {
		return span{}, err
	}
	sc.space()
	if sc.i != len(b) {
		return span{}, errTrailing
	}
	return sc.long, nil
}

func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return
		}
	}
}

// take skips white space, then c when it is next.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

func (s *scanner) value(at *schema) error {
	s.space()
	switch s.peek() {
	case '{':
		return s.nested(s.members, at)
	case '[':
		return s.nested(s.elements, at)
	case '"':
		from := s.i + 1
		escaped, err := s.text()
		if at != nil && at.long && !escaped {
			s.long = span{from, s.i - 1}
		}
		return err
	default:
		return s.scalar()
	}
}

func (s *scanner) nested(body func(*schema) error, at *schema) error {
	if s.depth++; s.depth > maxDepth {
		return errDeep
	}
	s.i++
	err := body(at)
	s.depth--
	return err
}

func (s *scanner) members(at *schema) error {
	if s.take('}') {
		return nil
	}
	var seen names
	for {
		name, err := s.name()
		if err != nil {
			return err
		}
		if !seen.add(name) {
			return fmt.Errorf("%w %.64q", errDuplicate, name)
		}
		below, err := at.member(name)
		if err != nil {
			return err
		}
		if err := s.value(below); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

func (s *scanner) elements(at *schema) error {
	if s.take(']') {
		return nil
	}
	for {
		if err := s.value(at.element()); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

// name is a member's name and the colon after it.
func (s *scanner) name() (string, error) {
	s.space()
	if s.peek() != '"' {
		return "", errSyntax
	}
	name, err := s.decoded()
	if err != nil {
		return "", err
	}
	if !s.take(':') {
		return "", errSyntax
	}
	return name, nil
}

// decoded is the string that is next, with its escapes replaced.
func (s *scanner) decoded() (string, error) {
	start := s.i
	escaped, err := s.text()
	if err != nil {
		return "", err
	}
	if !escaped {
		return string(s.b[start+1 : s.i-1]), nil
	}
	var out string
	if json.Unmarshal(s.b[start:s.i], &out) != nil {
		return "", errSyntax
	}
	return out, nil
}

// text passes over a string and reports whether it has escapes.
func (s *scanner) text() (escaped bool, err error) {
	for s.i++; s.i < len(s.b); {
		s.i += plain(s.b[s.i:])
		if s.i == len(s.b) {
			break
		}
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return escaped, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return false, err
			}
		case c < ' ':
			return false, errSyntax
		default:
			r, size := utf8.DecodeRune(s.b[s.i:])
			if r == utf8.RuneError && size == 1 {
				return false, errUTF8
			}
			s.i += size
		}
	}
	return false, errSyntax
}

// plain is how many bytes at the beginning of b stand for themselves in a
// string and are ASCII.
func plain(b []byte) int {
	for i, c := range b {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return i
		}
	}
	return len(b)
}

// escape passes over one escape, or the two of a surrogate pair. A surrogate
// alone is no character (RFC 7493, 2.1).
func (s *scanner) escape() error {
	if s.i+1 >= len(s.b) {
		return errSyntax
	}
	switch s.b[s.i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i += 2
		return nil
	case 'u':
	default:
		return errSyntax
	}
	unit, ok := s.unit()
	if !ok {
		return errSyntax
	}
	if unit < 0xd800 || unit > 0xdfff {
		return nil
	}
	if low, ok := s.unit(); unit > 0xdbff || !ok || low < 0xdc00 || low > 0xdfff {
		return errUTF8
	}
	return nil
}

// unit reads \uXXXX.
func (s *scanner) unit() (uint16, bool) {
	if s.i+6 > len(s.b) || s.b[s.i] != '\\' || s.b[s.i+1] != 'u' {
		return 0, false
	}
	var v uint16
	for _, c := range s.b[s.i+2 : s.i+6] {
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		v = v<<4 | uint16(d)
	}
	s.i += 6
	return v, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	default:
		return 0, false
	}
}

// scalar passes over a number, true, false or null.
func (s *scanner) scalar() error {
	start := s.i
	for s.i < len(s.b) && isScalar(s.b[s.i]) {
		s.i++
	}
	if s.i == start {
		return errSyntax
	}
	return nil
}

func isScalar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'E'
}

// manyNames is from where on a table is cheaper than looking through a list.
const manyNames = 16

// names are the members of one object.
type names struct {
	list  []string
	table map[string]bool
}

// add reports whether name is new.
func (n *names) add(name string) bool {
	if n.table == nil && len(n.list) < manyNames {
		for _, have := range n.list {
			if have == name {
				return false
			}
		}
		n.list = append(n.list, name)
		return true
	}
	if n.table == nil {
		n.table = make(map[string]bool, 2*manyNames)
		for _, have := range n.list {
			n.table[have] = true
		}
	}
	if n.table[name] {
		return false
	}
	n.table[name] = true
	return true
}
