package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Keys of a replay that are no characters.
const (
	keyLeft rune = -1 - iota
	keyRight
	keyOther // one that means nothing
)

const (
	keyInterrupt = 0x03
	keyEnd       = 0x04
	keyEscape    = 0x1b
	keyErase     = 0x7f
	keyBackspace = '\b'
	keyClear     = 0x15
)

// seekStep is how far an arrow key goes.
const seekStep = 5 * time.Second

// maxQuery bounds what is searched for, characters.
const maxQuery = 200

// statusInterrupted is the exit status after Ctrl-C.
const statusInterrupted = 128 + 2

// decodeKey takes the first key of b, which is not empty. An escape sequence
// comes in one piece from a terminal; ESC alone is the key.
func decodeKey(b []byte) (key rune, rest []byte) {
	if b[0] == keyEscape && len(b) > 2 && (b[1] == '[' || b[1] == 'O') {
		i := 2
		for i < len(b)-1 && (b[i] < 0x40 || b[i] > 0x7e) {
			i++
		}
		switch {
		case b[i] == 'D' && i == 2:
			return keyLeft, b[i+1:]
		case b[i] == 'C' && i == 2:
			return keyRight, b[i+1:]
		}
		return keyOther, b[i+1:]
	}
	r, n := utf8.DecodeRune(b)
	return r, b[n:]
}

// keys does what was typed.
func (r *replay) keys(b []byte) error {
	for len(b) > 0 && !r.quitting {
		var key rune
		key, b = decodeKey(b)
		do := r.key
		if r.typing {
			do = r.typeQuery
		}
		if err := do(key); err != nil {
			return err
		}
	}
	return nil
}

// key does what a key is for.
func (r *replay) key(key rune) error {
	switch key {
	case 'q', keyEnd:
		r.quitting = true
	case keyInterrupt:
		return exit(statusInterrupted)
	case ' ':
		return r.toggle()
	case '+', '=':
		return r.speed(2)
	case '-':
		return r.speed(0.5)
	case keyLeft:
		return r.seek(-seekStep)
	case keyRight:
		return r.seek(seekStep)
	case '.':
		return r.draw(r.player.Step)
	case '/':
		r.player.Pause()
		r.typing, r.typed = true, nil
		return r.draw(nil)
	case 'n', 'N':
		return r.find(key == 'n')
	}
	return nil
}

// toggle pauses or goes on.
func (r *replay) toggle() error {
	if !r.player.Paused() {
		r.player.Pause()
		return r.draw(nil)
	}
	return r.draw(func() error { r.player.Play(); return nil })
}

func (r *replay) speed(factor float64) error {
	r.player.SetSpeed(min(max(r.player.Speed()*factor, minSpeed), maxSpeed))
	return r.draw(nil)
}

func (r *replay) seek(by time.Duration) error {
	return r.draw(func() error { return r.player.Seek(min(r.player.Position()+by, r.length)) })
}

// find goes to the next match or the previous one, and pauses there.
func (r *replay) find(forward bool) error {
	if r.query == "" {
		return nil
	}
	r.player.Pause()
	return r.draw(func() error {
		found, err := r.player.Find(r.query, forward)
		if err == nil && !found {
			r.message = fmt.Sprintf("%q: not found", r.query)
		}
		return err
	})
}

// typeQuery takes a key of what is to be searched for.
func (r *replay) typeQuery(key rune) error {
	switch {
	case key == '\r' || key == '\n':
		r.typing = false
		if len(r.typed) > 0 {
			r.query = string(r.typed)
		}
		if r.query == "" {
			return r.draw(nil)
		}
		return r.find(true)
	case key == keyEscape || key == keyInterrupt:
		r.typing = false
	case (key == keyErase || key == keyBackspace) && len(r.typed) == 0:
		r.typing = false
	case key == keyErase || key == keyBackspace:
		r.typed = r.typed[:len(r.typed)-1]
	case key == keyClear:
		r.typed = nil
	case unicode.IsPrint(key) && len(r.typed) < maxQuery:
		r.typed = append(r.typed, key)
	}
	return r.draw(nil)
}

// draw changes the picture, without a status line in it, and puts one over it
// while there is something to say: when it is paused.
func (r *replay) draw(change func() error) error {
	if change == nil && !r.player.Paused() {
		return nil
	}
	return r.screen.synced(func() error {
		if r.status && change != nil {
			if err := r.player.Redraw(); err != nil {
				return err
			}
			r.status = false
		}
		if change != nil {
			if err := change(); err != nil {
				return err
			}
		}
		if !r.player.Paused() {
			return nil
		}
		return r.bar()
	})
}

// refresh draws everything again.
func (r *replay) refresh() error {
	r.status = true
	return r.draw(func() error { return nil })
}

// resized draws everything again when the terminal has another size.
func (r *replay) resized() error {
	cols, rows := r.screen.size()
	if now := [2]uint16{cols, rows}; now != r.size {
		r.size = now
		return r.refresh()
	}
	return nil
}

// bar draws the status line.
func (r *replay) bar() error {
	r.status = true
	if r.typing {
		return r.screen.bar("/"+string(r.typed), 2+len(r.typed))
	}
	parts := []string{"paused"}
	if r.player.AtEnd() {
		parts[0] = "end"
	}
	parts = append(parts, clock(r.player.Position())+" / "+clock(r.length), fmt.Sprintf("%gx", r.player.Speed()))
	if r.message != "" {
		parts, r.message = append(parts, r.message), ""
	}
	if r.sizes != "" {
		parts = append(parts, r.sizes)
	}
	parts = append(parts, "space . ←→ +- / n N q")
	return r.screen.bar(" "+strings.Join(parts, " │ "), 0)
}

// clock is a time as hours, minutes and seconds.
func clock(d time.Duration) string {
	s := int(d / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%02d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
