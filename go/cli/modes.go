package cli

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// Modes of a terminal (DEC private modes, as in xterm's control sequences) that
// make it hard to use when a program that set them is gone. The cursor is the
// one that is on by nature.
const (
	modeCursor = 25
	maxMode    = 9999 // larger numbers are nobody's mode
)

var strayModes = []int{
	1,                                           // arrow keys send application codes
	9, 1000, 1001, 1002, 1003, 1005, 1006, 1015, // mouse
	1004,           // focus reports
	2004,           // bracketed paste
	47, 1047, 1049, // alternate screen; last, because it moves the cursor
}

// modes follows which of these modes a program has set, by reading its output.
// It changes nothing in it. It serves one writer at a time.
type modes struct {
	state  byte // 0: text, else the last byte of a sequence's beginning
	number int
	params []int
	on     map[int]bool
	noCur  bool
	keypad bool
}

// scan looks at output.
func (m *modes) scan(p []byte) {
	for len(p) > 0 {
		if m.state == 0 {
			i := bytes.IndexByte(p, 0x1b)
			if i < 0 {
				break
			}
			m.state, p = 0x1b, p[i+1:]
			continue
		}
		m.step(p[0])
		p = p[1:]
	}
}

// step takes one byte inside a sequence: ESC [ ? number ; number h, or l.
func (m *modes) step(b byte) {
	switch {
	case b == 0x1b:
		m.state = 0x1b
	case m.state == 0x1b:
		m.escape(b)
	case m.state == '[' && b == '?':
		m.state, m.number, m.params = '?', 0, m.params[:0]
	case m.state == '?' && b >= '0' && b <= '9':
		m.number = min(m.number*10+int(b-'0'), maxMode+1)
	case m.state == '?' && b == ';' && len(m.params) < 16:
		m.params, m.number = append(m.params, m.number), 0
	case m.state == '?' && (b == 'h' || b == 'l'):
		m.set(append(m.params, m.number), b == 'h')
		m.state = 0
	default:
		m.state = 0
	}
}

// escape takes the byte after ESC.
func (m *modes) escape(b byte) {
	m.state = 0
	switch b {
	case '[':
		m.state = '['
	case '=':
		m.keypad = true
	case '>':
		m.keypad = false
	case 'c': // full reset
		m.on, m.noCur, m.keypad = nil, false, false
	}
}

func (m *modes) set(numbers []int, on bool) {
	for _, n := range numbers {
		switch {
		case n == modeCursor:
			m.noCur = !on
		case !slices.Contains(strayModes, n):
		case on:
			if m.on == nil {
				m.on = map[int]bool{}
			}
			m.on[n] = true
		default:
			delete(m.on, n)
		}
	}
}

// fullScreen reports whether the alternate screen is shown, as programs do that
// use the whole of it.
func (m *modes) fullScreen() bool { return m.on[47] || m.on[1047] || m.on[1049] }

// keyModes are those of the modes that change what the terminal sends.
type keyModes struct {
	on     map[int]bool
	keypad bool
}

// keys are the modes as they are now.
func (m *modes) keys() keyModes {
	k := keyModes{map[int]bool{}, m.keypad}
	for n := range m.on {
		if n != 47 && n != 1047 && n != 1049 {
			k.on[n] = true
		}
	}
	return k
}

// since is what makes of a terminal with other modes one with these.
func (k keyModes) since(before keyModes) string {
	var b strings.Builder
	for _, n := range strayModes {
		switch {
		case k.on[n] && !before.on[n]:
			b.WriteString("\x1b[?" + strconv.Itoa(n) + "h")
		case !k.on[n] && before.on[n]:
			b.WriteString("\x1b[?" + strconv.Itoa(n) + "l")
		}
	}
	switch {
	case k.keypad && !before.keypad:
		b.WriteString("\x1b=")
	case !k.keypad && before.keypad:
		b.WriteString("\x1b>")
	}
	return b.String()
}

// undo is what puts a terminal right whose program is gone: nothing for modes
// that were not set, because leaving an alternate screen that was never entered
// moves the cursor.
func (m *modes) undo() string {
	var b strings.Builder
	b.WriteString("\x1b[m")
	if m.keypad {
		b.WriteString("\x1b>")
	}
	for _, n := range strayModes {
		if m.on[n] {
			b.WriteString("\x1b[?" + strconv.Itoa(n) + "l")
		}
	}
	if m.noCur {
		b.WriteString("\x1b[?" + strconv.Itoa(modeCursor) + "h")
	}
	return b.String()
}
