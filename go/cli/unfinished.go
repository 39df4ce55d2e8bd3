package cli

import (
	"bytes"
	"unicode/utf8"
)

// maxUnfinished bounds the beginning of a control sequence that is remembered,
// bytes.
const maxUnfinished = 4 << 10

// States of [unfinished] that are no byte of a sequence's beginning.
const (
	inText      = 0
	inRune      = 'u' // a character of several bytes
	inString    = ']' // OSC, DCS, SOS, PM and APC: up to BEL or ST
	inStringEnd = '\\'
	inBetween   = ' ' // intermediate bytes after ESC
)

// unfinished follows a terminal's output and knows the beginning of the control
// sequence or character that it ends in the middle of. Who writes something in
// between writes that beginning once more behind it. It serves one writer.
type unfinished struct {
	state byte
	held  []byte
}

func (u *unfinished) scan(p []byte) {
	for i := 0; i < len(p); i++ {
		if u.state == inText {
			j := bytes.IndexByte(p[i:], 0x1b)
			if j < 0 {
				u.tail(p[i:])
				return
			}
			i += j
			u.begin(0x1b, 0x1b)
			continue
		}
		u.step(p[i])
	}
}

// tail looks at text for a character that is cut at its end.
func (u *unfinished) tail(p []byte) {
	for k := 1; k < utf8.UTFMax && k <= len(p); k++ {
		if b := p[len(p)-k:]; utf8.RuneStart(b[0]) {
			if !utf8.FullRune(b) {
				u.begin(inRune, b...)
			}
			return
		}
	}
}

func (u *unfinished) begin(state byte, b ...byte) {
	u.state, u.held = state, append(u.held[:0], b...)
}

func (u *unfinished) step(b byte) {
	if len(u.held) < maxUnfinished {
		u.held = append(u.held, b)
	}
	switch {
	case b == 0x1b && u.state == inString:
		u.state = inStringEnd
	case b == 0x1b:
		u.begin(0x1b, b)
	case b == 0x18 || b == 0x1a: // CAN and SUB end every sequence
		u.end()
	case u.state == inRune:
		if utf8.FullRune(u.held) {
			u.end()
		}
	case u.state == inString:
		if b == 0x07 {
			u.end()
		}
	case u.state == 0x1b:
		u.escape(b)
	case u.state == '[' && b < 0x40, u.state == inBetween && b < 0x30: // parameters
	default:
		u.end()
	}
}

// escape takes the byte after ESC.
func (u *unfinished) escape(b byte) {
	switch {
	case b == '[':
		u.state = '['
	case bytes.IndexByte([]byte("]PX^_"), b) >= 0:
		u.state = inString
	case b >= 0x20 && b < 0x30:
		u.state = inBetween
	default:
		u.end()
	}
}

func (u *unfinished) end() { u.state, u.held = inText, u.held[:0] }

// again is what to write once more. A sequence that is too long is let go.
func (u *unfinished) again() string {
	if u.state == inText || len(u.held) >= maxUnfinished {
		return ""
	}
	return string(u.held)
}
