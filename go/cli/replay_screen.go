package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// What [modes.undo] does not undo because programs tidy it up by themselves,
// but a recording may end before: reverse video, wrapping, margins, insert mode,
// new line mode, character sets, protection, the cursor's shape, attributes.
const (
	drawModesOff  = "\x1b[?5l\x1b[?7h\x1b[?45l\x1b[?69l\x1b[4l\x1b[20l\x1b(B\x1b)B\x0f\x1b[0\"q\x1b[0 q\x1b[m"
	marginsOff    = "\x1b[r"
	originOff     = "\x1b[?6l"
	saveCursor    = "\x1b7"
	restoreCursor = "\x1b8"
	clearScreen   = "\x1b[H\x1b[2J"
	cursorOn      = "\x1b[?25h"
	syncBegin     = "\x1b[?2026h" // terminals that know it show what follows at once
	syncEnd       = "\x1b[?2026l"
)

// replayScreen is stdout with a recording on it.
type replayScreen struct {
	out      *os.File
	terminal bool
	modes    modes
	origin   bool // origin mode was set: the cursor's place cannot be kept
	last     byte // written last; 0: nothing
}

// Write implements io.Writer.
func (s *replayScreen) Write(p []byte) (int, error) {
	if s.terminal && len(p) > 0 {
		s.modes.scan(p)
		s.origin = s.origin || bytes.Contains(p, []byte("?6h")) || bytes.Contains(p, []byte(";6h")) || bytes.Contains(p, []byte("?6;"))
		s.last = p[len(p)-1]
	}
	return s.out.Write(p)
}

// Reset implements [record.Screen].
func (s *replayScreen) Reset() error {
	undo := s.modes.undo()
	s.modes, s.origin, s.last = modes{}, false, 0
	return s.write(undo + drawModesOff + marginsOff + originOff + clearScreen)
}

// empty makes the screen empty for the first time: what is on it scrolls away.
func (s *replayScreen) empty() error {
	_, rows := s.size()
	return s.write(strings.Repeat("\n", int(rows)) + clearScreen)
}

// leave makes the terminal usable for what comes after.
func (s *replayScreen) leave() error {
	end := s.modes.undo()
	if s.origin {
		_, rows := s.size()
		end += originOff + marginsOff + fmt.Sprintf("\x1b[%d;1H", rows)
	} else {
		end += saveCursor + marginsOff + restoreCursor
	}
	end += drawModesOff
	if s.last != 0 && s.last != '\n' {
		end += "\r\n"
	}
	return s.write(end)
}

// synced has all that f draws appear at once.
func (s *replayScreen) synced(f func() error) error {
	if err := s.write(syncBegin); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return s.write(syncEnd)
}

// bar draws a line over the lowest of the screen, with the cursor at column
// (0: where it was). What it covers comes back only with the whole picture.
func (s *replayScreen) bar(text string, column int) error {
	cols, rows := s.size()
	text = fit(text, int(cols))
	end := restoreCursor
	if column > 0 {
		end = fmt.Sprintf("\x1b[%d;%dH", rows, min(column, int(cols))) + cursorOn
	}
	return s.write(saveCursor + originOff + marginsOff + fmt.Sprintf("\x1b[%d;1H", rows) +
		"\x1b[?7l\x1b(B\x0f\x1b[0;7m" + text + "\x1b[m\x1b[?7h" + end)
}

// fit cuts or fills text to the width, characters.
func fit(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n > width {
		return string([]rune(text)[:width])
	}
	return text + strings.Repeat(" ", width-n)
}

func (s *replayScreen) size() (cols, rows uint16) { return windowSize(s.out) }

func (s *replayScreen) write(text string) error {
	_, err := io.WriteString(s.out, text)
	return err
}
