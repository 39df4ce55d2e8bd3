package record

import (
	"strings"
	"unicode/utf8"
)

// kind says what a piece of terminal output is.
type kind int

const (
	kindText    kind = iota // a character that is shown
	kindControl             // a C0 control
	kindEscape              // ESC, intermediates, final
	kindCSI                 // ESC [, a private mark, parameters, intermediates, final
)

// piece is one thing that terminal output tells a terminal to do. Strings (OSC,
// DCS, APC, PM, SOS) are none: nobody here wants them.
type piece struct {
	kind   kind
	char   rune // text, control
	mark   byte // '<', '=', '>', '?', or 0
	params []byte
	inter  []byte
	final  byte
}

// maxSequence bounds a control sequence, bytes. Longer ones are nothing.
const maxSequence = 128

// sequences takes terminal output apart, as ECMA-48 and xterm's control
// sequences have it; C1 controls count as their two-byte forms. One that is not
// complete waits for the next call.
type sequences struct {
	state func(*sequences, rune) // nil: between sequences
	p     piece
	one   piece // a text or a control, while emit has it
	osc   bool  // the string is one that BEL ends as well
	bad   bool  // the sequence is complete only to be passed over
	emit  func(*piece)
}

// feed takes text apart, and hands the pieces to emit.
func (s *sequences) feed(text string, emit func(*piece)) {
	s.emit = emit
	for _, r := range text {
		s.rune(r)
	}
}

func (s *sequences) rune(r rune) {
	inString := s.bad && s.p.final == 'S'
	switch {
	case r == 0x18 || r == 0x1a: // CAN and SUB end everything
		s.reset()
	case r == 0x1b:
		if inString {
			s.state = (*sequences).stringEscape
			return
		}
		s.begin((*sequences).escape)
	case r >= 0x80 && r < 0xa0:
		s.c1(r)
	case r < 0x20 && !inString: // carried out also within a sequence
		s.single(kindControl, r)
	case s.state != nil:
		s.state(s, r)
	case r != 0x7f:
		s.single(kindText, r)
	}
}

func (s *sequences) single(k kind, r rune) {
	s.one = piece{kind: k, char: r}
	s.emit(&s.one)
}

func (s *sequences) reset() {
	s.state, s.p, s.bad, s.osc = nil, piece{}, false, false
}

func (s *sequences) begin(state func(*sequences, rune)) {
	s.reset()
	s.state = state
}

// c1 is a control of one character: the same as ESC and the one 0x40 before it.
func (s *sequences) c1(r rune) {
	if s.bad && s.p.final == 'S' && r != 0x9c {
		return
	}
	s.begin((*sequences).escape)
	s.escape(r - 0x40)
}

// escape takes what follows ESC.
func (s *sequences) escape(r rune) {
	switch {
	case r == '[' && len(s.p.inter) == 0:
		s.p.kind, s.state = kindCSI, (*sequences).csi
	case strings.ContainsRune("]PX^_", r) && len(s.p.inter) == 0:
		s.p.final, s.bad, s.osc, s.state = 'S', true, r == ']', (*sequences).inString
	case r >= 0x20 && r < 0x30 && len(s.p.inter) < maxSequence:
		s.p.inter = append(s.p.inter, byte(r))
	case r >= 0x30 && r < 0x7f:
		s.p.kind, s.p.final = kindEscape, byte(r)
		s.done()
	default:
		s.reset()
	}
}

// csi takes what follows CSI.
func (s *sequences) csi(r rune) {
	size := len(s.p.params) + len(s.p.inter)
	switch {
	case r >= utf8.RuneSelf || r == 0x7f:
		s.bad = true
	case r >= 0x40:
		s.p.final = byte(r)
		s.done()
	case size >= maxSequence:
		s.bad = true
	case r >= '<' && r <= '?' && size == 0 && s.p.mark == 0:
		s.p.mark = byte(r)
	case r >= '0' && r <= ';' && len(s.p.inter) == 0:
		s.p.params = append(s.p.params, byte(r))
	case r < 0x30:
		s.p.inter = append(s.p.inter, byte(r))
	default:
		s.bad = true
	}
}

// done hands a sequence on.
func (s *sequences) done() {
	p, bad := s.p, s.bad
	s.reset()
	if !bad {
		s.emit(&p)
	}
}

func (s *sequences) inString(r rune) {
	if r == '\a' && s.osc {
		s.reset()
	}
}

// stringEscape takes what follows ESC in a string: its end, or what ends it by
// beginning something else.
func (s *sequences) stringEscape(r rune) {
	s.begin((*sequences).escape)
	s.escape(r)
}

// numbers is the parameters, each at most 65535; missing ones and what follows a
// colon are 0. It is nil where there are none.
func (p *piece) numbers() []int {
	if len(p.params) == 0 {
		return nil
	}
	list, sub := []int{0}, false
	for _, c := range p.params {
		switch {
		case c == ';':
			list, sub = append(list, 0), false
		case c == ':':
			sub = true
		case !sub:
			n := &list[len(list)-1]
			*n = min(*n*10+int(c-'0'), 0xffff)
		}
	}
	return list
}

// number is the parameter i, or other where it is missing or 0.
func (p *piece) number(i, other int) int {
	if n := p.numbers(); i < len(n) && n[i] > 0 {
		return n[i]
	}
	return other
}

// append appends the piece as a terminal reads it.
func (p *piece) append(b []byte) []byte {
	switch p.kind {
	case kindText, kindControl:
		return utf8.AppendRune(b, p.char)
	case kindCSI:
		b = append(b, 0x1b, '[')
		if p.mark != 0 {
			b = append(b, p.mark)
		}
		b = append(b, p.params...)
	default:
		b = append(b, 0x1b)
	}
	b = append(b, p.inter...)
	return append(b, p.final)
}
