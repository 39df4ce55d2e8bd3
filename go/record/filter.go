package record

import (
	"slices"
	"strconv"
	"strings"
)

// Filter lets through what draws, and nothing that makes a terminal answer,
// act, or keep something: whoever looks at a recording did not run the program
// that wrote it. It is a list of what is allowed; everything else is dropped:
//
//   - queries, which the terminal would answer as if it had been typed: ENQ,
//     DA, DSR, DECRQM, DECRQSS, XTGETTCAP, DECRQCRA, reports of titles, colours,
//     window and keyboard;
//   - all strings: OSC (titles, colours, clipboard, links, notifications, files
//     of iTerm2), DCS (macros, Sixel, what tmux passes through), APC, PM, SOS;
//   - what changes what keys and mouse send: application keys, mouse and focus
//     reports, bracketed paste, keyboard protocols, VT52;
//   - what is not of the picture: window operations, printing, locking the
//     keyboard, scrollback erased, 132 columns.
//
// Sequences are controls.html of xterm's and ECMA-48.
type Filter struct {
	seq sequences
}

// maxNumber is the largest parameter: what repeats something must end.
const maxNumber = 9999

// clearAll is for ESC c, which in some terminals takes the scrollback with it.
const clearAll = "\x1b[!p\x1b[r\x1b[m\x1b[H\x1b[2J"

// Append appends what may pass of text to b. A sequence that is not complete
// waits for the next call.
func (f *Filter) Append(b []byte, text string) []byte {
	if f.seq.state == nil { // most of what there is needs no looking at
		n := 0
		for n < len(text) && text[n] >= ' ' && text[n] < 0x7f {
			n++
		}
		b, text = append(b, text[:n]...), text[n:]
	}
	f.seq.feed(text, func(p *piece) {
		switch {
		case p.kind == kindEscape && p.final == 'c' && len(p.inter) == 0:
			b = append(b, clearAll...)
		case allowed(p):
			b = p.append(b)
		}
	})
	return b
}

// allowed is the list.
func allowed(p *piece) bool {
	switch p.kind {
	case kindText:
		return true
	case kindControl:
		return strings.ContainsRune("\a\b\t\n\v\f\r\x0e\x0f", p.char)
	case kindEscape:
		return allowedEscape(p)
	default:
		large := func(n int) bool { return n > maxNumber }
		return !slices.ContainsFunc(p.numbers(), large) && allowedCSI(p)
	}
}

func allowedEscape(p *piece) bool {
	switch string(p.inter) {
	case "":
		return strings.IndexByte("78DEHMNO", p.final) >= 0
	case "#": // double height and width, alignment pattern
		return strings.IndexByte("34568", p.final) >= 0
	case "(", ")", "*", "+": // ASCII, British, line drawing
		return strings.IndexByte("AB0", p.final) >= 0
	default:
		return false
	}
}

func allowedCSI(p *piece) bool {
	if len(p.inter) > 0 {
		what := string(p.inter) + string(p.final)
		return p.mark == 0 && (what == "!p" || what == " q" || what == "\"q" || what == "'}" || what == "'~")
	}
	switch p.mark {
	case 0:
		return allowedPlain(p)
	case '?':
		switch p.final {
		case 'h', 'l':
			return keepModes(p, privateModes)
		case 'J', 'K':
			return true
		}
	}
	return false
}

func allowedPlain(p *piece) bool {
	switch p.final {
	case 'h', 'l':
		return keepModes(p, plainModes)
	case 'J': // 3 erases what has scrolled away
		return p.number(0, 0) <= 2
	case 'T': // with more parameters it is about the mouse
		return len(p.numbers()) <= 1
	case 'u':
		return len(p.params) == 0
	}
	return strings.IndexByte("@ABCDEFGHIKLMPSXZ`abdefgmrs", p.final) >= 0
}

// Modes that are of the picture. plainModes: insert, new line. privateModes:
// reverse video, origin, wrap, blinking and visible cursor, reverse wrap, the
// alternate screens, left and right margins.
var (
	plainModes   = []int{4, 20}
	privateModes = []int{5, 6, 7, 12, 25, 45, 47, 1047, 1048, 1049, 69}
)

// keepModes leaves those of the modes that are on a list, and reports whether
// there are any.
func keepModes(p *piece, list []int) bool {
	var kept []byte
	for _, n := range p.numbers() {
		if slices.Contains(list, n) {
			kept = strconv.AppendInt(append(kept, ';'), int64(n), 10)
		}
	}
	if len(kept) == 0 {
		return false
	}
	p.params = kept[1:]
	return true
}
