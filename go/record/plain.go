package record

import "slices"

// plain is what was on the screen, line by line: sequences are carried out as
// far as they change the present line (the editing of a shell's line does no
// more) and end it where they move the cursor elsewhere. A program that draws
// over the whole screen gives the lines in the order in which it drew them.
type plain struct {
	seq    sequences
	line   []rune
	column int
	done   func(line []rune) // gets each line when it is finished; valid during the call
}

const (
	// maxColumns is the longest line, characters. A longer one is broken.
	maxColumns = 64 << 10
	// maxBlank is how far the cursor goes beyond what was written: a few bytes
	// must not become a long line.
	maxBlank = 1 << 10
)

const tabStop = 8

func (t *plain) feed(text string) { t.seq.feed(text, t.piece) }

// end finishes a line that has not ended.
func (t *plain) end() {
	if len(t.line) > 0 {
		t.newline()
	}
}

func (t *plain) newline() {
	t.done(t.line)
	t.line, t.column = t.line[:0], 0
}

func (t *plain) piece(p *piece) {
	switch p.kind {
	case kindText:
		t.put(p.char)
	case kindControl:
		t.control(p.char)
	case kindEscape:
		if len(p.inter) == 0 && (p.final == 'D' || p.final == 'E' || p.final == 'M' || p.final == 'c') {
			t.end()
		}
	case kindCSI:
		if p.mark == 0 && len(p.inter) == 0 {
			t.edit(p)
		} else if p.mark == '?' && slices.Contains(p.numbers(), 1049) {
			t.end() // to the other screen
		}
	}
}

func (t *plain) control(c rune) {
	switch c {
	case '\n', '\v', '\f':
		t.newline()
	case '\r':
		t.column = 0
	case '\b':
		t.column = max(t.column-1, 0)
	case '\t':
		t.move(t.column + tabStop - t.column%tabStop)
	}
}

// put writes a character where the cursor is.
func (t *plain) put(r rune) {
	if t.column >= maxColumns {
		t.newline()
	}
	t.pad(t.column + 1)
	t.line[t.column] = r
	t.column++
}

// pad makes the line at least n long.
func (t *plain) pad(n int) {
	for len(t.line) < n {
		t.line = append(t.line, ' ')
	}
}

func (t *plain) move(column int) {
	t.column = min(max(column, 0), max(len(t.line), maxBlank), maxColumns-1)
}

// edit carries a control sequence out.
func (t *plain) edit(p *piece) {
	n := p.number(0, 1)
	switch p.final {
	case 'C', 'a':
		t.move(t.column + n)
	case 'D':
		t.move(t.column - n)
	case 'G', '`':
		t.move(n - 1)
	case 'K':
		t.erase(p.number(0, 0))
	case 'P':
		t.pad(t.column)
		t.line = slices.Delete(t.line, t.column, min(t.column+n, len(t.line)))
	case '@':
		t.pad(t.column)
		t.line = slices.Insert(t.line, t.column, slices.Repeat([]rune{' '}, min(n, maxBlank))...)
		t.line = t.line[:min(len(t.line), maxColumns)]
	case 'X':
		t.blank(t.column, t.column+n)
	case 'J':
		if p.number(0, 0) == 0 { // a shell clears below its line
			t.erase(0)
			return
		}
		t.end()
	case 'H', 'f', 'A', 'B', 'E', 'F', 'd':
		t.end()
	}
}

// erase is EL: to the end of the line, from its beginning, all.
func (t *plain) erase(how int) {
	switch how {
	case 0:
		t.line = t.line[:min(t.column, len(t.line))]
	case 1:
		t.blank(0, t.column+1)
	case 2:
		t.line = t.line[:0]
	}
}

func (t *plain) blank(from, to int) {
	for i := from; i < min(to, len(t.line)); i++ {
		t.line[i] = ' '
	}
}
