package cli

import "strings"

// escapeAction is what an escape sequence asks of the client.
type escapeAction int

const (
	escapeNone escapeAction = iota
	escapeEnd
	escapeDetach
	escapeSuspend
	escapeInfo
	escapeHelp
)

const ctrlZ = 0x1a

// A terminal that was told to brackets what is pasted with these (xterm's
// control sequences, mode 2004). Nothing in between was typed.
const (
	pasteBegin = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
)

// escapes finds escape sequences in what is typed: the escape character as the
// first of a line and one more. As in ssh(1) a line starts at the start of the
// session and after CR or LF; unlike there, not inside a bracketed paste. It
// serves one goroutine.
type escapes struct {
	char    byte
	off     bool
	midLine bool // something stands before the next byte on its line
	held    bool // the escape character was typed and is not sent yet
	paste   bool // between pasteBegin and pasteEnd
	matched int  // bytes of the bracket looked for that were just seen
}

// scan takes typed bytes up to the end of the first escape sequence. It appends
// to dst what is for the program, and returns it with the action and the bytes
// after the sequence; without a sequence the action is escapeNone and rest nil.
func (e *escapes) scan(dst, typed []byte) (out []byte, act escapeAction, rest []byte) {
	if e.off {
		return append(dst, typed...), escapeNone, nil
	}
	for i, b := range typed {
		e.bracket(b)
		if e.held {
			e.held = false
			if act := e.action(b); act != escapeNone {
				return dst, act, typed[i+1:]
			}
			if b == e.char { // twice: one for the program
				e.midLine = true
				dst = append(dst, b)
				continue
			}
			dst = append(dst, e.char)
		} else if b == e.char && !e.midLine && !e.paste {
			e.held = true
			continue
		}
		e.midLine = b != '\r' && b != '\n'
		dst = append(dst, b)
	}
	return dst, escapeNone, nil
}

func (e *escapes) action(b byte) escapeAction {
	switch b {
	case '.':
		return escapeEnd
	case 'd':
		return escapeDetach
	case ctrlZ:
		return escapeSuspend
	case '#':
		return escapeInfo
	case '?':
		return escapeHelp
	default:
		return escapeNone
	}
}

// bracket follows the brackets of a paste, which may be split over reads.
func (e *escapes) bracket(b byte) {
	want := pasteBegin
	if e.paste {
		want = pasteEnd
	}
	if b != want[e.matched] {
		e.matched = strings.IndexByte(want[:1], b) + 1 // ESC starts anew
		return
	}
	e.matched++
	if e.matched == len(want) {
		e.paste, e.matched = !e.paste, 0
	}
}

// parseEscape reads the value of --escape: a character, "^" and a letter for a
// control character, or "none".
func parseEscape(s string) (escapes, bool) {
	switch {
	case s == "none":
		return escapes{off: true}, true
	case len(s) == 1 && s[0] < 0x80:
		return escapes{char: s[0]}, true
	case len(s) == 2 && s[0] == '^' && s[1] >= '?' && s[1] < 0x80:
		return escapes{char: control(s[1])}, true
	default:
		return escapes{}, false
	}
}

// control is the character that Ctrl and c give: ^A to ^_, in either case, and
// ^? for DEL.
func control(c byte) byte {
	if c == '?' {
		return 0x7f
	}
	return c & 0x1f
}

// name is the escape character as it is typed.
func (e *escapes) name() string {
	switch {
	case e.char == 0x7f:
		return "^?"
	case e.char < 0x20:
		return "^" + string(rune(e.char|0x40))
	default:
		return string(rune(e.char))
	}
}
